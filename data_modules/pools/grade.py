"""Grade of how clean speech is within its phrases, where a denoiser learns what to leave alone.

Between the first and the last word a target must not hold noise: hiss left there is learnt as part of speech. The level
in short pauses tells, for it holds what the recording keeps while somebody speaks; long pauses don't, since they are
often gated or edited. Measured on frames of 20 ms, which overlap by three quarters.
"""

from __future__ import annotations

import itertools
import warnings
from typing import NamedTuple

import numpy as np

from diffgmm.audio.levels import active_level

FRAME_SECONDS = 0.02
ACTIVE_DB = 15.0
"""A frame is active if it lies less than so many dB below the active level of the clip."""
PAUSE_SECONDS = (0.06, 0.30)
"""Shortest and longest pause that counts: not a plosive, and no breath between sentences."""
GATED_DBFS = -88.0
"""Frames below are digital silence, but for the rounding of 16 bits."""
BAND_DB = 50.0
"""The bandwidth ends where the spectrum of the active frames stays so far below its strongest band of 250 Hz."""
FLAT_SAMPLES = 3
"""So many equal samples in a row near the peak are clipped ones."""
_FULL_WEIGHT_DB = 5.0


class Grade(NamedTuple):
    """What a clip of speech is like.

    Args:
        pause: median level in dB, re the active level, of the quietest 20 ms of each short pause; NaN without any.
        gated: share of the frames that are digital silence.
        bandwidth: in Hz.
        clipped: share of samples that are clipped, at whatever level.
    """

    pause: float
    gated: float
    bandwidth: float
    clipped: float


def grade(samples: np.ndarray, sample_rate: int) -> Grade:
    """Grades a clip of speech.

    Args:
        samples: float32 [samples].
        sample_rate: in Hz.
    """
    size = max(4, round(FRAME_SECONDS * sample_rate))
    samples = samples - np.float32(samples.mean() if len(samples) else 0.0)
    if len(samples) < 2 * size or not samples.any():
        return Grade(np.nan, float(not samples.any()), np.nan, 0.0)
    hop = size // 4
    total = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
    starts = np.arange(0, len(samples) - size + 1, hop)
    levels = 10.0 * np.log10(np.maximum((total[starts + size] - total[starts]) / size, 1e-12))
    sums = np.concatenate(([0.0], np.cumsum(samples, dtype=np.float64)))
    means = (sums[starts + size] - sums[starts]) / size
    silent = 10.0 * np.log10(np.maximum(10.0 ** (levels / 10.0) - means**2, 1e-12)) < GATED_DBFS
    top = active_level(samples, sample_rate)
    active = np.flatnonzero(levels > top - ACTIVE_DB)
    low, high = (seconds * sample_rate / hop for seconds in PAUSE_SECONDS)
    gaps = itertools.pairwise(active)
    pauses = [levels[a + 1 : b].min() - top for a, b in gaps if low <= b - a - 1 <= high]
    pause = float(np.median(pauses)) if pauses else np.nan
    bandwidth = _bandwidth(samples, starts[active], sample_rate)
    return Grade(pause, float(np.mean(silent)), bandwidth, _clipped(samples))


def _bandwidth(samples: np.ndarray, starts: np.ndarray, sample_rate: int) -> float:
    size = max(4, round(FRAME_SECONDS * sample_rate))
    if not len(starts):
        return float(np.nan)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[starts[:: max(1, len(starts) // 400)]]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1))).mean(axis=0)
    per_band = max(1, round(250.0 * size / sample_rate))
    bands = power[1 : 1 + (len(power) - 1) // per_band * per_band].reshape(-1, per_band).mean(axis=1)
    reached = np.flatnonzero(bands >= bands.max() * 10.0 ** (-BAND_DB / 10.0))
    return float((reached[-1] + 1) * per_band * sample_rate / size)


def _clipped(samples: np.ndarray) -> float:
    """Share of samples in flat tops: rows of equal samples within 10 % of the peak."""
    near = np.abs(samples) > 0.9 * np.abs(samples).max()
    same = near[1:] & (samples[1:] == samples[:-1])
    edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
    lengths = edges[1::2] - edges[::2] + 1
    return float(lengths[lengths >= FLAT_SAMPLES].sum() / len(samples))


def medians(grades: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Median grade of each group, clips that have none left out.

    Args:
        grades: float [clips, 4], in the order of :class:`Grade`.
        groups: number of each clip's group, int [clips].
        count: how many groups there are.

    Returns:
        float [count, 4]; NaN where no clip of a group has this grade.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice|Mean of empty slice", RuntimeWarning)
        return np.array([np.nanmedian(grades[groups == group], axis=0) for group in range(count)])


def group_weights(pauses: np.ndarray, most: float) -> np.ndarray:
    """How often speakers are heard, by the level in their pauses.

    Args:
        pauses: median of each speaker in dB re the active level; NaN where unknown.
        most: above it a weight is 0; up to 5 dB below it lies between a quarter and 1; unknown ones get a half.

    Returns:
        float [speakers]
    """
    weights = np.clip(0.25 + 0.75 * (most - pauses) / _FULL_WEIGHT_DB, 0.25, 1.0)
    weights = np.where(pauses > most, 0.0, weights)
    return np.where(np.isnan(pauses), 0.5, weights)
