"""A case whose answers are known: speech and noise, independent, each from a mixture of two Gaussians."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffgmm.diffusion.mixture import GaussianMixture

NOISE = ((0.7, 0.3), (-1.0, 2.0), (0.09, 0.25))  # weights, means, variances
CLEAN = ((0.4, 0.6), (0.0, 1.5), (0.5, 0.04))


def posterior(noisy: Tensor) -> GaussianMixture:
    """p(n | y) for y = s + n, ``noisy`` ``[B, 1, T]``.

    A product of Gaussians in n, N(n; m, v) N(y - n; u, w), is N(y; m + u, v + w) times a Gaussian in n.
    """
    weights_n, means_n, var_n = (torch.tensor(v, dtype=noisy.dtype) for v in NOISE)
    weights_s, means_s, var_s = (torch.tensor(v, dtype=noisy.dtype) for v in CLEAN)
    y = noisy[:, 0, :, None, None]  # [B, T, 2 of noise, 2 of speech]
    total = var_n[:, None] + var_s[None, :]
    gap = y - means_n[:, None] - means_s[None, :]
    logits = (weights_n[:, None] * weights_s[None, :]).log() - 0.5 * (gap**2 / total + total.log())
    precision = 1 / var_n[:, None] + 1 / var_s[None, :]
    information = means_n[:, None] / var_n[:, None] + (y - means_s[None, :]) / var_s[None, :]
    means = (information / precision).flatten(2).movedim(-1, 1)
    scales = (-0.5 * precision.log()).expand_as(gap).flatten(2).movedim(-1, 1)
    return GaussianMixture(logits.flatten(2).movedim(-1, 1), means.unsqueeze(2), scales)


def draw(shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Speech and noise of ``shape``."""

    def one(weights: tuple[float, ...], means: tuple[float, ...], variances: tuple[float, ...]) -> Tensor:
        second = torch.rand(shape, generator=generator) < weights[1]
        mean = torch.where(second, torch.tensor(means[1]), torch.tensor(means[0]))
        scale = torch.where(second, torch.tensor(variances[1]), torch.tensor(variances[0])).sqrt()
        return mean + scale * torch.randn(shape, generator=generator)

    return one(*CLEAN), one(*NOISE)


def cdf(q: GaussianMixture, level: float) -> Tensor:
    """Probability below ``level`` at every position of a mixture of one dimension, ``[B, *S]``."""
    return (q.weights * 0.5 * (1 + torch.erf((level - q.means[:, :, 0]) / (q.scales * 2**0.5)))).sum(1)


def density(parts: tuple[tuple[float, ...], ...], axis: Tensor) -> Tensor:
    """Density of a mixture given as weights, means and variances."""
    total = torch.zeros_like(axis)
    for weight, mean, variance in zip(*parts, strict=True):
        total += weight * torch.exp(-0.5 * (axis - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)
    return total


def conditional_entropy() -> float:
    """h(n | y) in nats: h(n) + h(s) - h(y), since (n, y) is a rotation without stretch of (n, s)."""
    axis = torch.linspace(-12.0, 12.0, 400001, dtype=torch.float64)

    def entropy(parts: tuple[tuple[float, ...], ...]) -> float:
        p = density(parts, axis)
        return float(torch.trapezoid(-torch.special.xlogy(p, p), axis))

    pairs = [(a, b) for a in zip(*NOISE, strict=True) for b in zip(*CLEAN, strict=True)]
    noisy = tuple(zip(*((v * w, m + u, p + q) for (v, m, p), (w, u, q) in pairs), strict=True))
    return entropy(NOISE) + entropy(CLEAN) - entropy(noisy)
