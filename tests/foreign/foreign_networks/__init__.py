"""A network of another package, as a reader of the documentation would write one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OneLayer(nn.Module):
    """One convolution over the spectrogram."""

    def __init__(self, features: int = 4) -> None:
        super().__init__()
        self.init_args = {"features": features}
        self.dims, self.features = 2, features
        self.layer: nn.Module = nn.Identity()

    def attach(self, inputs: int) -> None:
        if isinstance(self.layer, nn.Identity):
            self.layer = nn.Conv2d(inputs, self.features, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return torch.tanh(self.layer(x))


def not_a_class() -> None:
    raise AssertionError("called")
