"""Active level: the level of a sound while it lasts, not counting the pauses."""

from __future__ import annotations

import math

import numpy as np

FRAME_SECONDS = 0.02
ACTIVE_RANGE_DB = 40.0


def frame_powers(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean square of each 20 ms frame, [frames]; a rest at the end is left out unless it is all there is."""
    size = max(1, round(FRAME_SECONDS * sample_rate))
    frames = len(samples) // size
    if frames == 0:
        size, frames = max(1, len(samples)), min(1, len(samples))
    cut = samples[: frames * size].reshape(frames, size)
    return np.matmul(cut[:, None, :], cut[:, :, None])[:, 0, 0] / size  # faster than squaring and summing


def active_power(samples: np.ndarray, sample_rate: int) -> float:
    """Mean square over the active frames: those within 40 dB of the loudest. Zero for silence.

    Args:
        samples: float [samples].
        sample_rate: in Hz.
    """
    powers = frame_powers(samples, sample_rate)
    if len(powers) == 0:
        return 0.0
    top = float(powers.max())
    if not top > 0.0:
        return 0.0
    active = powers >= top * 10.0 ** (-ACTIVE_RANGE_DB / 10.0)
    return float(np.dot(powers, active)) / int(np.count_nonzero(active))


def active_level(samples: np.ndarray, sample_rate: int) -> float:
    """Active level in dBFS (a full-scale square wave has 0); minus infinity for silence.

    >>> round(active_level(np.concatenate([np.zeros(16000), np.full(16000, 0.1)]), 16000), 3)
    -20.0
    """
    power = active_power(samples, sample_rate)
    return 10.0 * math.log10(power) if power > 0.0 else -math.inf
