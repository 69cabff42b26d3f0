"""WSS: weighted spectral slope distance."""

from __future__ import annotations

import functools

import numpy as np

from diffgmm.metrics.base import hann_frames, metric
from diffgmm.metrics.llr import kept_mean

#: Centre frequencies and bandwidths of the 25 critical bands in Hz (Klatt 1982; Loizou's book, table 11.1).
_CENTRES = (
    50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63,
)  # fmt: skip
_WIDTHS = (
    70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823,
    168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136,
)  # fmt: skip
_GLOBAL, _LOCAL = 20.0, 1.0  # Klatt's weights of the loudest band and of the nearest peak


@metric(higher_is_better=False, seconds=0.06)
def wss(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Weighted spectral slope distance (Klatt, ICASSP 1982): lower is better.

    Per Hann-windowed frame of 30 ms (a quarter apart) the squared difference of the spectral slopes between
    neighbouring critical bands, in dB, weighted towards bands near the loudest one and near a peak (Hu and Loizou, IEEE
    TASLP 2008, equation 3); then the mean over the 95 % of frames where it is smallest.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz, at least 8000 (the bands reach to 3.8 kHz).

    Returns:
        0 (equal slopes) to some hundred; NaN when either signal is silent, holds NaN or is shorter than two frames.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> round(wss(2 * noise, noise, 16000), 6)
    0.0
    """
    length = round(0.03 * sample_rate)
    filters = _filters(length, sample_rate)
    tiny = np.finfo(np.float64).eps
    levels = []
    for x in (estimate, reference):
        spectrum = np.abs(np.fft.rfft(hann_frames(x + tiny, length), 2 * filters.shape[1])) ** 2
        levels.append(10 * np.log10(np.maximum(spectrum[:, :-1] @ filters.T, 1e-10)))
    slopes = [np.diff(level, axis=1) for level in levels]
    weight = sum(_weights(level, slope) for level, slope in zip(levels, slopes, strict=True))
    distance = (weight * (slopes[0] - slopes[1]) ** 2).sum(axis=1) / np.sum(weight, axis=1)
    return kept_mean(distance)


@functools.lru_cache(maxsize=4)
def _filters(length: int, sample_rate: int) -> np.ndarray:
    """Gaussian-shaped critical bands ``[25, bins]`` over half a spectrum of twice ``length`` or more points."""
    bins = 1 << (2 * length - 1).bit_length() - 1
    centre, width = (np.array(values)[:, None] * bins / (sample_rate / 2) for values in (_CENTRES, _WIDTHS))
    shape = np.exp(-11 * ((np.arange(bins) - np.floor(centre)) / width) ** 2) * width[0] / width
    return np.where(shape > np.exp(-30 / (2 * 2.303)), shape, 0.0)  # -30 dB of each filter


def _weights(level: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Klatt's weights ``[frames, 24]`` of the slopes of ``level`` ``[frames, 25]``."""
    bands = slope.shape[1]
    # Index of the nearest peak: rightwards while the level rises, else leftwards.
    right, left = np.full(slope.shape, bands), np.full(slope.shape, -1)
    for i in range(bands - 1, -1, -1):
        right[:, i] = np.where(slope[:, i] > 0, right[:, i + 1] if i + 1 < bands else bands, i)
    for i in range(bands):
        left[:, i] = np.where(slope[:, i] > 0, i, left[:, i - 1] if i else -1)
    # Rightwards, Loizou's program takes the band below the peak. Every published figure was made with it, and these
    # are for comparing with them.
    nearest = np.where(slope > 0, right - 1, left + 1)
    peak = np.take_along_axis(level, nearest, axis=1)
    below_loudest = level.max(axis=1, keepdims=True) - level[:, :-1]
    return _GLOBAL / (_GLOBAL + below_loudest) * _LOCAL / (_LOCAL + peak - level[:, :-1])
