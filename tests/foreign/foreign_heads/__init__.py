"""A head of another package, as a reader of the documentation would write one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffgmm.diffusion.head import Head
from diffgmm.diffusion.mixture import GaussianMixture


class GainHead(Head):
    """One Gaussian around a gain between 0 and 1 times the reference, its scale learned as one number.

    Args:
        scale: standard deviation at the start.
    """

    def __init__(self, scale: float = 0.3) -> None:
        super().__init__()
        self.components, self.start = 1, scale

    def build(self, features: int, channels: int, dims: int) -> None:
        self.gain = (nn.Conv1d if dims == 1 else nn.Conv2d)(features, 1, 1)
        self.log_scale = nn.Parameter(torch.tensor(self.start).log())

    def forward(self, features: Tensor, reference: Tensor, state: Tensor) -> GaussianMixture:
        mean = torch.sigmoid(self.gain(features)) * reference
        log_scale = self.log_scale.expand_as(mean[:, :1])
        return GaussianMixture(torch.zeros_like(log_scale), mean.unsqueeze(1), log_scale)
