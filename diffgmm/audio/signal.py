"""Rates and lengths of arrays: everything about audio that needs no file."""

from __future__ import annotations

from math import ceil

import numpy as np
import soxr


def resampled_length(samples: int, from_rate: int, to_rate: int) -> int:
    """Samples after resampling: the smallest count that covers the input's duration."""
    return ceil(samples * to_rate / from_rate) if from_rate != to_rate else samples


def resample(x: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample along the last axis (soxr HQ, linear phase, no shift); equal rates return ``x`` itself.

    >>> resample(np.zeros((2, 44100), np.float32), 44100, 16000).shape
    (2, 16000)
    """
    if from_rate <= 0 or to_rate <= 0:
        raise ValueError(f"rates must be positive, got {from_rate} and {to_rate} Hz")
    if from_rate == to_rate:
        return x
    length = resampled_length(x.shape[-1], from_rate, to_rate)
    if x.size == 0:
        return np.zeros((*x.shape[:-1], length), np.float32)
    flat = np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T, dtype=np.float32)
    y = soxr.resample(flat, from_rate, to_rate, quality="HQ").reshape(-1, flat.shape[1])
    return np.ascontiguousarray(fit_length(y.T, length)).reshape(*x.shape[:-1], length)


def fit_length(x: np.ndarray, samples: int) -> np.ndarray:
    """Trim or zero-pad the end of the last axis to exactly ``samples``."""
    if x.shape[-1] >= samples:
        return x[..., :samples]
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, samples - x.shape[-1])])
