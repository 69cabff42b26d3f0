"""SNR: signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import metric


@metric(unit="dB")
def snr(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Signal-to-noise ratio, ``10 lg |reference|^2 / |estimate - reference|^2``.

    A wrong level counts as noise.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz, not used.

    Returns:
        dB; ``inf`` for equal signals, NaN when either is silent or holds NaN.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> round(snr(np.array([1.1, -1.1]), np.array([1.0, -1.0]), 16000), 3)
    20.0
    """
    error = estimate - reference
    with np.errstate(divide="ignore"):
        return float(10 * (np.log10(reference @ reference) - np.log10(error @ error)))
