"""STOI and ESTOI: short-time objective intelligibility, by the ``pystoi`` package."""

from __future__ import annotations

import warnings

import numpy as np

from diffgmm.metrics.base import NoScore, metric

_TOO_SHORT = 1e-5  # what pystoi returns, with a warning, when under 30 frames are left


@metric(seconds=0.4)
def stoi(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Short-time objective intelligibility (Taal et al., IEEE TASLP 2011).

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz, any; the algorithm itself works at 10 kHz.

    Returns:
        About 0 (unintelligible) to 1. NaN when there is no score: silence, NaN, or under 0.4 s of speech
        without its pauses.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> round(stoi(noise, noise, 16000), 3)
    1.0
    """
    return _stoi(estimate, reference, sample_rate, extended=False)


@metric(seconds=0.4)
def estoi(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Extended STOI (Jensen and Taal, IEEE TASLP 2016), valid also for modulated noise.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz, any; the algorithm itself works at 10 kHz.

    Returns:
        About 0 (unintelligible) to 1, NaN as for :func:`stoi`.

    Raises:
        ValueError: signals of unequal length.
    """
    return _stoi(estimate, reference, sample_rate, extended=True)


def _stoi(estimate: np.ndarray, reference: np.ndarray, sample_rate: int, extended: bool) -> float:
    from pystoi import stoi as pystoi

    # pystoi adds rounding-sized noise from numpy's global generator: the same noise each time makes the score
    # repeatable, and restoring the generator keeps a metric from changing what a training run draws next.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            value = float(pystoi(reference, estimate, sample_rate, extended=extended))
    finally:
        np.random.set_state(state)
    if value == _TOO_SHORT:
        raise NoScore("under 0.4 s of speech without its pauses")
    return value
