"""IoU: intersection over union of spectral masks."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import metric
from diffgmm.metrics.masks import sound_overlap


@metric(seconds=0.032)
def iou(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Intersection over union of where the sounds are in the spectrogram.

    As in the segmentation view of bird-sound denoising (Zhang and Li, BirdSoundsDenoising, WACV 2023), with masks
    by threshold (:func:`diffgmm.metrics.masks.spectral_masks`); for masks of your own use
    :func:`diffgmm.metrics.masks.overlap`.

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
    >>> iou(noise, noise, 16000)
    1.0
    """
    return sound_overlap(estimate, reference, sample_rate).iou
