"""Dice: overlap of spectral masks relative to their mean size."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import metric
from diffgmm.metrics.masks import sound_overlap


@metric(seconds=0.032)
def dice(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Dice coefficient (Dice, Ecology 1945) of where the sounds are in the spectrogram.

    Twice the common bins over the sum of both masks' bins. The masks are those of :func:`diffgmm.metrics.iou`.

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
    >>> dice(noise, noise, 16000)
    1.0
    """
    return sound_overlap(estimate, reference, sample_rate).f1
