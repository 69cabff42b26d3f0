"""Coverage: how often the truth lies where a mixture says that it lies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffgmm.diffusion.mixture import GaussianMixture


def pit(mixture: GaussianMixture, value: Tensor) -> Tensor:
    """Probability integral transform (Dawid, JRSS A 1984): the mixture's distribution function at the truth.

    Uniform on [0, 1] for a calibrated model; heaped at the ends if it is too sure, in the middle if too unsure.

    Args:
        mixture: one per position ``*S``; of each real dimension its marginal is judged.
        value: the truth, ``[B, C, *S]``.

    Returns:
        ``[B, C, *S]``, 0 to 1.

    >>> normal = GaussianMixture(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1))
    >>> round(float(pit(normal, torch.full((1, 1, 1), 1.0))), 4)
    0.8413
    """
    z = (value.to(mixture.means.dtype).unsqueeze(1) - mixture.means) / mixture.scales.unsqueeze(2)
    below = 0.5 * torch.erfc(-z / math.sqrt(2))
    return (mixture.weights.unsqueeze(2) * below).sum(1)


def inside(transformed: Tensor, level: float) -> Tensor:
    """Whether the truth lies in the central interval that should hold it with probability ``level``.

    The interval leaves ``(1 - level) / 2`` of the probability on either side; whether it holds the truth is read off
    the distribution function (:func:`pit`), without looking for its ends. Of a calibrated model, the mean is ``level``.

    Args:
        transformed: what :func:`pit` gave.
        level: in (0, 1).

    Returns:
        1.0 or 0.0, NaN where ``transformed`` is.

    Raises:
        ValueError: ``level`` out of range.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is a probability between 0 and 1, got {level}")
    within = (transformed - 0.5).abs() <= level / 2
    return torch.where(transformed.isnan(), transformed, within.to(transformed.dtype))
