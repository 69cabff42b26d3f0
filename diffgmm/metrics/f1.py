"""F1: harmonic mean of precision and recall of spectral masks."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import metric
from diffgmm.metrics.masks import sound_overlap


@metric(seconds=0.032)
def f1(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """F1 score of where the sounds are in the spectrogram.

    Of one recording it equals :func:`diffgmm.metrics.dice`; they differ over several, where F1 may also be pooled
    over all bins: add up :class:`diffgmm.metrics.masks.Overlap`. The masks are those of :func:`diffgmm.metrics.iou`.

    Args:
        estimate: processed sound, float ``[samples]``.
        reference: clean sound, float ``[samples]``.
        sample_rate: Hz.

    Returns:
        0 (nothing in common) to 1 (equal masks); NaN when either is silent, holds NaN or is shorter than a frame.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> f1(noise, noise, 16000)
    1.0
    """
    return sound_overlap(estimate, reference, sample_rate).f1
