"""SDR: signal-to-distortion ratio of BSS Eval."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import metric

_TAPS = 512


@metric(unit="dB", seconds=0.1)
def sdr(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Signal-to-distortion ratio of BSS Eval (Vincent et al., IEEE TASLP 2006; Scheibler, ICASSP 2022).

    The reference may pass through the best filter of 512 taps, so level, delay and a smooth equalisation cost
    nothing.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz; the filter is 512 samples long at any rate, as in the original.

    Returns:
        dB, NaN when either signal is silent, holds NaN or is shorter than 0.1 s.

    Raises:
        ValueError: signals of unequal length.
    """
    from scipy.linalg import solve_toeplitz

    reference = reference / np.linalg.norm(reference)
    estimate = estimate / np.linalg.norm(estimate)
    size = 1 << (reference.size + _TAPS - 1).bit_length()
    spectrum, other = np.fft.rfft(reference, size), np.fft.rfft(estimate, size)
    auto = np.fft.irfft(np.abs(spectrum) ** 2, size)[:_TAPS]
    cross = np.fft.irfft(spectrum.conj() * other, size)[:_TAPS]
    # A band-limited reference makes the equations singular; this is far below what float32 audio resolves.
    auto[0] += 1e-12
    explained = float(cross @ solve_toeplitz(auto, cross))
    if explained >= 1.0:
        return float("inf")
    return float(10 * np.log10(max(explained, np.finfo(np.float64).tiny) / (1.0 - explained)))
