"""Spectral gating, with one threshold for the whole recording or one that follows it."""

from __future__ import annotations

from functools import partial

import numpy as np

from .base import Baseline, Denoise

RATE = 16000


def _load(threads: int, stationary: bool) -> Denoise:
    import noisereduce

    def denoise(x: np.ndarray) -> np.ndarray:
        if not x.any():
            return x  # the threshold of silence is undefined
        return noisereduce.reduce_noise(y=x, sr=RATE, stationary=stationary, n_jobs=1)

    return denoise


_ABOUT = "spectral gating, {}; T. Sainburg, noisereduce"
BASELINES = (
    Baseline(
        "noisereduce-stationary",
        ("noisereduce", "numpy", "scipy"),
        RATE,
        0,
        partial(_load, stationary=True),
        _ABOUT.format("one threshold"),
    ),
    Baseline(
        "noisereduce",
        ("noisereduce", "numpy", "scipy"),
        RATE,
        0,
        partial(_load, stationary=False),
        _ABOUT.format("threshold that follows the signal"),
    ),
)
