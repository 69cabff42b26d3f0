"""SI-SDR: scale-invariant signal-to-distortion ratio."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import metric


@metric(unit="dB")
def si_sdr(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., ICASSP 2019), without removing means.

    With ``target = <estimate, reference> / |reference|^2 * reference`` it is ``10 lg |target|^2 / |estimate -
    target|^2``.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz, not used.

    Returns:
        dB; ``inf`` when the estimate is a scaled copy of the reference, NaN when either is silent or holds
        NaN.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> round(si_sdr(np.array([2.5, 0.0, 2.0, 8.0]), np.array([3.0, -0.5, 2.0, 7.0]), 16000), 4)
    18.403
    """
    target = (estimate @ reference) / (reference @ reference) * reference
    error = estimate - target
    with np.errstate(divide="ignore"):
        return float(10 * (np.log10(target @ target) - np.log10(error @ error)))
