"""Augmentations that damage the finished noisy signal and leave the clean target alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from data_modules.augment_base import Augmentation
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

    def damage(self, noisy: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        limit = np.float32(rng.uniform(*self.threshold) * max(float(np.max(np.abs(noisy))), 1e-9))
        if rng.random() < 0.5:
            return np.clip(noisy, -limit, limit)
        return limit * np.tanh(noisy / limit)


@dataclass(frozen=True)
class Codec(Augmentation):
    """Quantises the noisy signal coarsely: 8-bit mu-law as in telephony, or few bits of linear PCM.

    Args:
        probability: how often.
        mu_law: share of mu-law among them.
        bits: fewest and most bits of linear PCM, relative to the peak of the window.
    """

    stage: ClassVar[str] = "noisy"
    probability: float = 0.05
    mu_law: float = 0.5
    bits: tuple[int, int] = (7, 12)

    def __post_init__(self) -> None:
        self._check("bits")
        if self.bits[0] < 2 or not 0.0 <= self.mu_law <= 1.0:
            raise DataError(f"Codec: bits are {self.bits} (at least 2), mu_law is {self.mu_law} (0 to 1)")

    def damage(self, noisy: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        peak = float(np.max(np.abs(noisy)))
        if peak <= 0.0:
            return noisy
        if rng.random() < self.mu_law:
            return mu_law(np.clip(noisy, -1.0, 1.0))
        steps = np.float32(2.0 ** (int(rng.integers(self.bits[0], self.bits[1] + 1)) - 1) / peak)
        return np.rint(noisy * steps) / steps


def mu_law(samples: np.ndarray) -> np.ndarray:
    """Compresses by the mu-law of ITU-T G.711 (continuous form), rounds to 255 levels, expands again."""
    mu = np.float32(255)
    half = np.float32(127)
    packed = np.rint(np.copysign(np.log1p(mu * np.abs(samples)) / np.log1p(mu), samples) * half) / half
    return np.copysign(np.expm1(np.abs(packed) * np.log1p(mu)) / mu, packed)
