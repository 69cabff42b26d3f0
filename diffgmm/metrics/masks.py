"""IoU, F1 and Dice: overlap of binary masks of the spectrogram bins that hold sound, as in segmentation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diffgmm.metrics.base import hann_frames, metric, remembering

#: How far below the reference's loudest bin, in dB, a bin still belongs to the sound.
THRESHOLD = -40.0


class Overlap(NamedTuple):
    """Bins by mask: in both, in the estimate's only, in the reference's only.

    Recordings add up: the sum of several overlaps gives the pooled scores.
    """

    both: int
    estimate_only: int
    reference_only: int

    @property
    def iou(self) -> float:
        """Intersection over union, 0 to 1; NaN when both masks are empty."""
        union = self.both + self.estimate_only + self.reference_only
        return self.both / union if union else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1; NaN when both masks are empty."""
        sizes = 2 * self.both + self.estimate_only + self.reference_only
        return 2 * self.both / sizes if sizes else float("nan")


def overlap(estimate: np.ndarray, reference: np.ndarray) -> Overlap:
    """Compare two masks, boolean of one shape, given (labelled by hand, say) or from :func:`spectral_masks`.

    Raises:
        ValueError: the shapes differ or a mask is not boolean.

    >>> masks = overlap(np.array([True, True, False]), np.array([True, False, True]))
    >>> masks, round(masks.iou, 3), masks.f1
    (Overlap(both=1, estimate_only=1, reference_only=1), 0.333, 0.5)
    """
    a, b = np.asarray(estimate), np.asarray(reference)
    if a.shape != b.shape or a.dtype != bool or b.dtype != bool:
        given = f"{a.dtype} {a.shape} and {b.dtype} {b.shape}"
        raise ValueError(f"masks are boolean and of one shape, got {given}")
    return Overlap(*(int(np.count_nonzero(x)) for x in (a & b, a & ~b, ~a & b)))


def spectral_masks(
    estimate: np.ndarray, reference: np.ndarray, sample_rate: int, threshold: float = THRESHOLD
) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the bins that hold sound, ``[frames, bins]``: magnitude above one threshold for both signals.

    Args:
        estimate: processed sound, float ``[samples]``.
        reference: clean sound, float ``[samples]``.
        sample_rate: Hz; frames are 32 ms long, a quarter of that apart.
        threshold: dB relative to the loudest bin of the reference. One level for both: what an estimate adds or loses
            shows.
    """
    length = round(0.032 * sample_rate)
    magnitude = [np.abs(np.fft.rfft(hann_frames(x, length))) for x in (estimate, reference)]
    level = magnitude[1].max() * 10 ** (threshold / 20)
    return magnitude[0] >= level, magnitude[1] >= level


@remembering
def sound_overlap(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> Overlap:
    """Overlap of the masks of two signals."""
    return overlap(*spectral_masks(estimate, reference, sample_rate))


@metric(seconds=0.032)
def iou(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Intersection over union of where the sounds are in the spectrogram.

    As in the segmentation view of bird-sound denoising (Zhang and Li, BirdSoundsDenoising, WACV 2023), with masks
    by threshold (:func:`spectral_masks`); for masks of your own use
    :func:`overlap`.

    Args:
        estimate: processed sound, float ``[samples]``.
        reference: clean sound, float ``[samples]``.
        sample_rate: Hz.

    Returns:
        0 (nothing in common) to 1 (equal masks); NaN when either is silent, holds NaN or is shorter than a frame.

    Raises:
        ValueError: signals of unequal length.

    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> iou(noise, noise, 16000)
    1.0
    """
    return sound_overlap(estimate, reference, sample_rate).iou


@metric(seconds=0.032)
def f1(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """F1 score of where the sounds are in the spectrogram.

    Of one recording it equals :func:`dice`; they differ over several, where F1 may also be pooled
    over all bins: add up :class:`Overlap`. The masks are those of :func:`iou`.

    Args:
        estimate: processed sound, float ``[samples]``.
        reference: clean sound, float ``[samples]``.
        sample_rate: Hz.

    Returns:
        0 (nothing in common) to 1 (equal masks); NaN when either is silent, holds NaN or is shorter than a frame.

    Raises:
        ValueError: signals of unequal length.

    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> f1(noise, noise, 16000)
    1.0
    """
    return sound_overlap(estimate, reference, sample_rate).f1


@metric(seconds=0.032)
def dice(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Dice coefficient (Dice, Ecology 1945) of where the sounds are in the spectrogram.

    Twice the common bins over the sum of both masks' bins. The masks are those of :func:`iou`.

    Args:
        estimate: processed sound, float ``[samples]``.
        reference: clean sound, float ``[samples]``.
        sample_rate: Hz.

    Returns:
        0 (nothing in common) to 1 (equal masks); NaN when either is silent, holds NaN or is shorter than a frame.

    Raises:
        ValueError: signals of unequal length.

    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> dice(noise, noise, 16000)
    1.0
    """
    return sound_overlap(estimate, reference, sample_rate).f1
