"""A loss as a researcher would bring it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from diffgmm.training.losses import Loss, LossInputs


@dataclass(frozen=True)
class Loudest(Loss):
    """The largest error of the noise, to a power."""

    power: float = 2.0

    def __call__(self, x: LossInputs) -> Tensor:
        return (x.noise - x.mean).abs().amax() ** self.power
