"""Augmentations that damage the finished noisy signal and leave the clean target alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.random import Generator

from data_modules.augment.base import Augmentation, Both
from data_modules.errors import DataError


@dataclass(frozen=True)
class Clip(Augmentation):
    """Overdrives the noisy signal: everything above a share of its peak is cut, hard or softly.

    Args:
        probability: how often.
        threshold: lowest and highest share of the peak where clipping begins.
    """

    stage: ClassVar[str] = "noisy"
    probability: float = 0.05
    threshold: tuple[float, float] = (0.3, 0.9)

    def __post_init__(self) -> None:
        self._check("threshold")
        if self.threshold[0] <= 0.0:
            raise DataError(f"Clip: threshold is {self.threshold}, must be above 0")

    def damage(self, noisy: np.ndarray, clean: np.ndarray, sample_rate: int, rng: Generator) -> Both:
        limit = np.float32(rng.uniform(*self.threshold) * max(float(np.max(np.abs(noisy))), 1e-9))
        if rng.random() < 0.5:
            return np.clip(noisy, -limit, limit), clean
        return limit * np.tanh(noisy / limit), clean


@dataclass(frozen=True)
class Quantise(Augmentation):
    """Rounds the noisy signal to few bits of linear PCM, as cheap converters and quiet recordings do.

    Args:
        probability: how often.
        bits: fewest and most bits, relative to the peak of the window.
    """

    stage: ClassVar[str] = "noisy"
    probability: float = 0.03
    bits: tuple[int, int] = (7, 12)

    def __post_init__(self) -> None:
        self._check("bits", between=(2, 32))

    def damage(self, noisy: np.ndarray, clean: np.ndarray, sample_rate: int, rng: Generator) -> Both:
        peak = float(np.max(np.abs(noisy)))
        if peak <= 0.0:
            return noisy, clean
        steps = np.float32(2.0 ** (int(rng.integers(self.bits[0], self.bits[1] + 1)) - 1) / peak)
        return np.rint(noisy * steps) / steps, clean


@dataclass(frozen=True)
class Offset(Augmentation):
    """Adds a constant to the noisy signal: cheap sound cards and microphones have one, and it is no voice.

    Where the sum would pass full scale the offset is smaller.

    Args:
        probability: how often.
        level: lowest and highest level of the offset in dB re the noisy signal's root mean square.
    """

    stage: ClassVar[str] = "noisy"
    probability: float = 0.05
    level: tuple[float, float] = (-30.0, 12.0)

    def __post_init__(self) -> None:
        self._check("level")

    def damage(self, noisy: np.ndarray, clean: np.ndarray, sample_rate: int, rng: Generator) -> Both:
        wanted = 10.0 ** (rng.uniform(*self.level) / 20.0) * float(np.sqrt(np.mean(noisy**2)))
        sign = 1.0 if rng.random() < 0.5 else -1.0
        room = max(0.0, 1.0 - float(np.max(sign * noisy)))
        return noisy + np.float32(sign * min(wanted, room)), clean
