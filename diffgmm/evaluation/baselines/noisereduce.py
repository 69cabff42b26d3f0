"""Spectral gating, with one threshold for the whole recording or one that follows it."""

from __future__ import annotations

import numpy as np

from .base import Denoise

RATE = 16000


def load(name: str, threads: int) -> Denoise:
    """The denoiser."""
    import noisereduce

    stationary = name == "noisereduce-stationary"

    def denoise(x: np.ndarray) -> np.ndarray:
        if not x.any():
            return x  # the threshold of silence is undefined
        return noisereduce.reduce_noise(y=x, sr=RATE, stationary=stationary, n_jobs=1)

    return denoise
