"""A representation of another package, as a reader of the documentation would write one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffgmm.diffusion.representation import Context, Representation


class Companded(Representation):
    """The waveform through the mu-law of telephony (ITU-T G.711): quiet samples get more room.

    Args:
        sample_rate: Hz.
        mu: of the law.
    """

    channels, dims, linear = 1, 1, False

    def __init__(self, sample_rate: int = 16000, mu: float = 255.0) -> None:
        super().__init__(sample_rate)
        self.mu = mu

    def encode(self, wave: Tensor, context: Context) -> Tensor:
        x = wave / context.level
        return x.sign() * torch.log1p(self.mu * x.abs()) / math.log1p(self.mu)

    def decode(self, encoded: Tensor, context: Context) -> Tensor:
        return encoded.sign() * torch.expm1(encoded.abs() * math.log1p(self.mu)) / self.mu * context.level

    def spectrum(self, encoded: Tensor, context: Context) -> Tensor:
        return self.decode(encoded, context).squeeze(1)
