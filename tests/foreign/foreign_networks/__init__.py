"""A network of another package, as a reader of the documentation would write one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffgmm.networks import Network


class OneLayer(Network):
    """One convolution over the signal.

    Args:
        features: channels of the output.
        dims: 1 for waveforms, 2 for spectrograms.
    """

    def __init__(self, features: int = 4, dims: int = 2) -> None:
        super().__init__()
        self.dims, self.features = dims, features

    def build(self, inputs: int) -> None:
        make = nn.Conv1d if self.dims == 1 else nn.Conv2d
        self.layer = make(inputs, self.features, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return torch.tanh(self.layer(x) * time.reshape(-1, *[1] * (x.dim() - 1)))


class Unlike(Network):
    """Attributes called as in this project's U-Net that mean something else, and a norm before its convolution."""

    dims, features = 2, 4

    def build(self, inputs: int) -> None:
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, self.features, 1)
        self.embed = nn.Linear(1, self.features)
        self.inputs = nn.Identity()
        self.down = nn.ModuleList([nn.Identity()])

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.conv(self.norm(x)) + self.embed(time[:, None])[:, :, None, None]


def not_a_class() -> None:
    raise AssertionError("called")
