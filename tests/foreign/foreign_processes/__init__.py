"""A process of another package, as a reader of the documentation would write one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffgmm.diffusion.process import Process, ReverseStep


@dataclass(frozen=True)
class Constant(Process):
    """``x_t = s + t n + level eps`` with the same level at every time before the noisy end, and none at either end."""

    level: float = 0.1

    def sigma(self, time: Tensor) -> Tensor:
        inside = (time > 0) & (time < 1)
        return torch.where(inside, torch.full_like(time, self.level), torch.zeros_like(time))

    def state(self, clean: Tensor, noise: Tensor, time: Tensor, eps: Tensor) -> Tensor:
        shape = (-1, *[1] * (clean.dim() - 1))
        return clean + time.reshape(shape) * noise + self.sigma(time).reshape(shape) * eps

    def reverse(self, state: Tensor, noisy: Tensor, time: Tensor, t_next: Tensor) -> ReverseStep:
        shape = (-1, *[1] * (state.dim() - 1))
        factor = (t_next - 1.0).reshape(shape)
        return ReverseStep(noisy, factor, self.sigma(t_next).square().reshape(shape))
