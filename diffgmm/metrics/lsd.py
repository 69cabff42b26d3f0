"""LSD: log-spectral distance."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import hann_frames, metric


@metric(unit="dB", higher_is_better=False)
def lsd(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Log-spectral distance (Gray and Markel, IEEE TASSP 1976), a distance: lower is better.

    Per frame (32 ms Hann, a quarter apart) the root mean square over frequency of the difference of the power
    spectra in dB; then the mean over frames. Both spectra are floored 80 dB below the reference's loudest
    bin, so that what nobody hears in digital silence does not decide.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz.

    Returns:
        dB, 0 for equal signals; NaN when either is silent or holds NaN.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> round(lsd(noise / 10, noise, 16000), 2)
    20.0
    """
    length = round(0.032 * sample_rate)
    power = [np.abs(np.fft.rfft(hann_frames(x, length))) ** 2 for x in (estimate, reference)]
    floor = power[1].max() * 1e-8
    a, b = (10 * np.log10(np.maximum(p, floor)) for p in power)
    return float(np.sqrt(np.square(a - b).mean(axis=1)).mean())
