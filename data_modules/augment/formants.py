"""Other speakers out of the same recordings: formants are moved while the pitch stays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy import fft

from data_modules.augment.base import Augmentation

_FRAME_SECONDS = 0.032
_LIFTER_SECONDS = 0.0018  # quefrencies below the pitch period of a child: the envelope without the harmonics
_LIMIT = 2.0  # neper: no gain beyond 17 dB, which would raise what is only noise in the recording
_FLOOR = 1e-4  # of the loudest bin: -80 dB


@lru_cache(maxsize=8)
def _frame(sample_rate: int) -> tuple[int, np.ndarray]:
    """Hop and window (root of a periodic Hann window of twice the hop)."""
    hop = round(_FRAME_SECONDS * sample_rate / 2)
    return hop, np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop)).astype(np.float32)


def _warp(bins: int, factor: float) -> np.ndarray:
    """Where each bin's envelope comes from: f / factor up to a corner, then straight to the top of the band."""
    top = bins - 1
    corner = 0.8 * top * min(1.0, factor)
    return np.interp(np.arange(bins), [0.0, corner, top], [0.0, corner / factor, top])


def move_formants(sound: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
    """``sound`` float32 [samples] with its formants at ``factor`` times their frequencies; pitch and length stay.

    The spectral envelope of each frame (cepstral smoothing) is warped, the fine structure kept.
    """
    hop, window = _frame(sample_rate)
    size = 2 * hop
    padded = np.pad(sound, (hop, 2 * hop))
    count = (len(padded) - size) // hop + 1
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: count * hop : hop]
    spectra = fft.rfft(frames * window, axis=1)
    level = np.abs(spectra)
    logs = np.log(np.maximum(level, _FLOOR * max(float(level.max()), 1e-9)))
    cepstra = fft.irfft(logs, axis=1)
    kept = round(_LIFTER_SECONDS * sample_rate)
    cepstra[:, kept : size - kept + 1] = 0.0
    envelope = fft.rfft(cepstra, axis=1).real
    source = _warp(envelope.shape[1], factor)
    low = np.minimum(source.astype(int), envelope.shape[1] - 2)
    part = (source - low).astype(np.float32)
    warped = envelope[:, low] * (1.0 - part) + envelope[:, low + 1] * part
    spectra *= np.exp(np.clip(warped - envelope, -_LIMIT, _LIMIT))
    pieces = fft.irfft(spectra, size, axis=1) * window
    out = np.zeros((count + 1) * hop, np.float32)
    out[: count * hop] += pieces[:, :hop].ravel()
    out[hop:] += pieces[:, hop:].ravel()
    return out[hop : hop + len(sound)]


@dataclass(frozen=True)
class Formants(Augmentation):
    """Moves the formants of the voice as a longer or shorter vocal tract would, and leaves its pitch.

    Together with `Speed`, which moves both, the pitch and the tract of few speakers become those of many. After vocal
    tract length perturbation: Jaitly and Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition",
    2013, whose warp is applied to the envelope alone.

    Args:
        probability: how often.
        factor: lowest and highest factor of the formants' frequencies.
    """

    stage: ClassVar[str] = "voice"
    probability: float = 0.3
    factor: tuple[float, float] = (0.85, 1.18)

    def __post_init__(self) -> None:
        self._check("factor", between=(0.5, 2.0))

    def reshape(self, sound: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        return move_formants(sound, sample_rate, rng.uniform(*self.factor))
