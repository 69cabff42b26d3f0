"""Solvers that were tried and did not pay, kept so that the figures can be made again; used by their path.

Example: ``diffgmm denoise noisy.wav -o clean.wav --solver experiments.ablations.solvers:second_order --nfe 4``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from diffgmm.diffusion.grids import intervals
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Process
from diffgmm.diffusion.samplers import Posterior

_REACH = 9.0  # standard deviations around the outermost means in which a quantile is looked for
_HALVINGS = 30


def second_order(posterior: Posterior, noisy: Tensor, process: Process, times: Tensor, **_: Any) -> Tensor:
    r"""The flow to second order without further calls: Adams and Bashforth's two-step rule on :math:`du/d\rho = -E[n]`.

    The expected noise is extrapolated in :math:`\rho = (1 - t) / \sigma_t` from the call before (compare Lu et al.,
    "DPM-Solver++", arXiv 2211.01095, algorithm 2). The last step, whose end lies at infinity, takes it as it is.
    """
    state, before = noisy, None
    for t, t_next in pairwise(intervals(times)):
        time, end = (torch.full((len(noisy),), value, dtype=noisy.dtype) for value in (t, t_next))
        mean = posterior(state, noisy, time).mean().to(noisy.dtype)
        place, there = ((1.0 - at) / process.sigma(at).clamp_min(1e-12) for at in (time, end))
        taken = mean
        if before is not None and t_next > 0.0:
            share = 0.5 * (there - place) / (place - before[0])
            taken = mean + share.reshape(-1, *[1] * (mean.dim() - 1)) * (mean - before[1])
        step = process.flow(state, noisy, time, end)
        state = step.offset + step.factor * taken
        before = place, mean
    return state


def independent_draw(
    posterior: Posterior, noisy: Tensor, *_: Any, generator: torch.Generator | None = None, **__: Any
) -> Tensor:
    """One call and one draw, each bin by itself, by :func:`quantile`: what the next is compared with."""
    return _drawn(posterior, noisy, torch.randn(noisy.shape, generator=generator))


def white_sound_draw(
    posterior: Posterior, noisy: Tensor, *_: Any, generator: torch.Generator | None = None, **__: Any
) -> Tensor:
    """One call and one draw along the spectrogram of a white sound, so that neighbouring bins agree as a sound's do.

    It is the idea of spectral sampling in Gaussian-mixture flow matching (Chen et al., arXiv 2504.05304), for
    spectrograms at half overlap with the window ``sqrt_hann``.
    """
    return _drawn(posterior, noisy, white_spectrogram(noisy.shape, generator))


def _drawn(posterior: Posterior, noisy: Tensor, normal: Tensor) -> Tensor:
    return noisy - quantile(posterior(noisy, noisy, torch.ones(len(noisy))), normal)


def white_spectrogram(shape: torch.Size, generator: torch.Generator | None = None) -> Tensor:
    """Spectrogram ``[B, 2, F, N]`` of white noise at half overlap, of unit variance per real dimension."""
    batch, _, bins, frames = shape
    n_fft = 2 * (bins - 1)
    sound = torch.randn(batch, (frames - 1) * (n_fft // 2), generator=generator)
    window = torch.hann_window(n_fft).sqrt()
    spectrum = torch.stft(sound, n_fft, n_fft // 2, window=window, return_complex=True, pad_mode="constant")
    parts = torch.view_as_real(spectrum).permute(0, 3, 1, 2)
    return parts / parts.square().mean().sqrt()


def quantile(mixture: GaussianMixture, normal: Tensor) -> Tensor:
    """Value ``[B, 2, F, N]`` at which the mixture has the quantiles of a standard normal ``normal`` of the same shape.

    First the real part by its marginal distribution, then the imaginary part by its distribution given the real one
    (Rosenblatt, "Remarks on a multivariate transformation", 1952): continuous in ``normal``, and a draw of the mixture
    if that is one of the normal distribution.
    """
    share = torch.special.ndtr(normal).clamp(1e-6, 1.0 - 1e-6)
    means, scales, logits = mixture.means, mixture.scales, mixture.log_weights
    parts = []
    for part in range(mixture.channels):
        value = _inverse(torch.softmax(logits, dim=1), means[:, :, part], scales, share[:, part])
        parts.append(value)
        logits = logits - 0.5 * ((value.unsqueeze(1) - means[:, :, part]) / scales).square()
        logits = logits - scales.log()
    return torch.stack(parts, dim=1)


def _inverse(weights: Tensor, means: Tensor, scales: Tensor, share: Tensor) -> Tensor:
    """Quantiles ``[B, *S]`` of one-dimensional mixtures ``[B, K, *S]``, by bisection."""
    low, high = (means - _REACH * scales).amin(1), (means + _REACH * scales).amax(1)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        below = (weights * torch.special.ndtr((middle.unsqueeze(1) - means) / scales)).sum(1)
        low, high = torch.where(below < share, middle, low), torch.where(below < share, high, middle)
    return 0.5 * (low + high)
