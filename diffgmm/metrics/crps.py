"""CRPS: continuous ranked probability score of a mixture."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffgmm.diffusion.mixture import GaussianMixture


def crps(mixture: GaussianMixture, value: Tensor) -> Tensor:
    r"""Continuous ranked probability score, a proper score in the values' own unit: lower is better.

    :math:`\int (F(v) - 1[v \ge \mathrm{value}])^2 dv`, in closed form for Gaussian mixtures (Grimit, Gneiting,
    Berrocal and Johnson, QJRMS 2006, equations 5 and 6): :math:`\sum_k \pi_k A(v - \mu_k, \sigma_k^2) -
    \frac12 \sum_{kl} \pi_k \pi_l A(\mu_k - \mu_l, \sigma_k^2 + \sigma_l^2)` with :math:`A(m, s^2) = 2 s \phi(m/s) +
    m (2 \Phi(m/s) - 1)`. For a certain prediction it is the absolute error.

    Args:
        mixture: one per position ``*S``; of each real dimension its marginal is judged.
        value: the truth, ``[B, C, *S]``.

    Returns:
        ``[B, C, *S]``, 0 or more.

    >>> normal = GaussianMixture(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1))
    >>> round(float(crps(normal, torch.zeros(1, 1, 1))), 4)  # (sqrt(2) - 1) / sqrt(pi)
    0.2337
    """
    weights, scales, means = mixture.weights.unsqueeze(2), mixture.scales.unsqueeze(2), mixture.means
    score = (weights * _mean_magnitude(value.to(means.dtype).unsqueeze(1) - means, scales)).sum(1)
    for k in range(mixture.components):  # one component at a time: pairs of all would take K times the memory
        difference = means - means[:, k : k + 1]
        scale = torch.sqrt(scales.square() + scales[:, k : k + 1].square())
        score = score - 0.5 * (weights * weights[:, k : k + 1] * _mean_magnitude(difference, scale)).sum(1)
    return score


def _mean_magnitude(mean: Tensor, scale: Tensor) -> Tensor:
    """Expected absolute value of a normal variable."""
    z = mean / scale
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    return 2 * scale * density + mean * torch.erf(z / math.sqrt(2))
