"""Segmental SNR: the mean of short frames' SNR."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import hann_frames, metric


@metric(unit="dB", seconds=0.03)
def segmental_snr(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Segmental SNR (Hansen and Pellom, ICSLP 1998; as in Loizou's *Speech Enhancement*).

    The mean over Hann-windowed frames of 30 ms (a quarter apart) of each frame's SNR, limited to [-10, 35]
    dB. Pauses count.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz.

    Returns:
        -10 to 35 dB, NaN when either signal is silent, holds NaN or is shorter than one frame.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> round(segmental_snr(1.1 * noise, noise, 16000), 3)
    20.0
    """
    length = round(0.03 * sample_rate)
    signal, error = (
        np.square(hann_frames(x, length)).sum(axis=1) + np.finfo(np.float64).tiny
        for x in (reference, estimate - reference)
    )
    return float(np.clip(10 * (np.log10(signal) - np.log10(error)), -10, 35).mean())
