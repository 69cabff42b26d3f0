"""SI-SDR: scale-invariant signal-to-distortion ratio."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import SILENCE, NoScore, metric


@metric(unit="dB")
def si_sdr(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., ICASSP 2019) of signals without their means.

    With ``target = <estimate, reference> / |reference|^2 * reference`` it is ``10 lg |target|^2 / |estimate -
    target|^2``. Means are removed first, as the paper assumes and most toolkits do, so that a constant offset counts
    for nothing; the training loss of this name is the same with a soft limit.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz, not used.

    Returns:
        dB; ``inf`` when the estimate is a scaled copy of the reference, NaN when either is silent or constant or holds
        NaN.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> round(si_sdr(np.array([2.5, 0.0, 2.0, 8.0]), np.array([3.0, -0.5, 2.0, 7.0]), 16000), 4)
    15.0918
    """
    estimate, reference = estimate - estimate.mean(), reference - reference.mean()
    for label, x in (("estimate", estimate), ("reference", reference)):
        if np.abs(x).max() < SILENCE:
            raise NoScore(f"{label} is silent but for an offset")
    target = (estimate @ reference) / (reference @ reference) * reference
    error = estimate - target
    with np.errstate(divide="ignore"):
        return float(10 * (np.log10(target @ target) - np.log10(error @ error)))
