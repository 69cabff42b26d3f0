"""Removal of what is slower than any sound from windows: a constant offset (DC), a step of it, a drift."""

from __future__ import annotations

import numpy as np

DRIFT_SECONDS = 0.5  # speech has nothing as slow as that
DRIFT_SHARE = 0.05  # of a window's power; up to it the level that the model sees is right within 0.2 dB
SHORTEST_SECONDS = 0.1  # a shorter sound is too short to tell an offset from a low tone


def without_drift(windows: np.ndarray, sample_rate: int) -> np.ndarray:
    """Windows ``[B, T]`` without a constant or slowly moving offset, where that counts in their level.

    An offset is no sound, but a model that divides by the level of its window takes a quiet voice beside it for
    nothing. The offset is the mean under a Hann window of :data:`DRIFT_SECONDS`. Windows whose offset holds at most
    :data:`DRIFT_SHARE` of the power, and those below :data:`SHORTEST_SECONDS`, are left as they are, bit for bit.

    Args:
        windows: float32, as recorded: mirroring a few samples would repeat their mean.
        sample_rate: in Hz.

    Returns:
        float32 ``[B, T]``; ``windows`` itself where no window has such an offset.
    """
    samples = windows.shape[1]
    half = min(round(DRIFT_SECONDS * sample_rate / 2), samples - 1)
    if samples < SHORTEST_SECONDS * sample_rate or half < 1:
        return windows
    powers = np.square(windows, dtype=np.float64).mean(axis=1)
    pieces = np.array_split(windows, max(1, samples // half), axis=1)
    drifts = np.mean([np.square(piece.mean(axis=1, dtype=np.float64)) for piece in pieces], axis=0)
    moved = np.flatnonzero(drifts > DRIFT_SHARE * powers)
    if not len(moved):
        return windows
    from scipy.signal import fftconvolve

    taps = np.hanning(2 * half + 3)[1:-1]
    weights = fftconvolve(np.ones(samples), taps, mode="same")
    result = windows.copy()
    for index in moved:
        result[index] -= fftconvolve(windows[index].astype(np.float64), taps, mode="same") / weights
    return result
