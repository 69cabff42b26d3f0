"""How far the output may be from the speech: the mixture's expected error, at the level of the sound.

One step of the model predicts a mixture for the noise in every bin, so the speech s = y - n has a distribution in
every bin too. What is reported is the expected squared distance of that speech to the *output*, whatever made it (mean,
sample, mode, any number of steps), after the representation's compression and level are undone. By Parseval's theorem
the bins of a frame then add up to the mean square of the waveform's error under the frame's window.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor, nn

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.representation import Context, Representation, Spectral
from diffgmm.utils.errors import UserError

FRAME = 160  # samples that an error is averaged over where the representation has no frames


class BinErrors(NamedTuple):
    """What a window's bins say; mean squares in full-scale amplitude, so sums over frequencies are those of frames."""

    error: Tensor  # [B, F, N]: expected squared error
    power: Tensor  # [B, F, N]: square of the output
    responsibilities: Tensor  # [B, K, F, N]: probability that a component made the bin's noise


def frame_hop(representation: Representation) -> int:
    """Samples from one frame to the next."""
    return int(getattr(representation, "hop", FRAME))


def frame_count(representation: Representation, samples: int) -> int:
    """Frames of a window of ``samples``; the first is centred on its beginning."""
    frames = -(-samples // frame_hop(representation))
    # A window of odd length, padded by half of it at either end, misses one sample for the last frame.
    return frames + 1 - int(getattr(representation, "n_fft", 0)) % 2


def bin_errors(
    representation: Representation, noisy: Tensor, waveform: Tensor, posterior: GaussianMixture
) -> BinErrors:
    """Expected error of ``waveform`` per bin.

    Args:
        representation: of the model.
        noisy: the model's input, ``[B, 1, T]``.
        waveform: the model's output, ``[B, 1, T]``.
        posterior: of the noise given ``noisy``, in the representation's units
            (:attr:`diffgmm.diffusion.model.Enhanced.posterior`).

    Returns:
        Errors whose frame m is centred on sample ``m * frame_hop(representation)``, with
        N = ``frame_count(representation, T)`` and one frequency in the waveform domain. A magnitude representation
        keeps the noisy phase, and its errors do not hold that of the phase.

    Raises:
        UserError: the representation has two axes and is no
            :class:`~diffgmm.diffusion.representation.Spectral` one, so that its bins are not known to be those of a
            Fourier transform.
    """
    context = representation.context(noisy)
    encoded = representation.encode(noisy, context)
    output = representation.spectrum(representation.encode(waveform, context), context)
    error = expected_error(representation, encoded, output, posterior, context)
    power, shares = output.abs().square(), posterior.weights
    if representation.dims == 1:
        audible = (noisy.squeeze(1) != 0).to(error.dtype)
        values = error * audible, power, shares
        return BinErrors(*(_averaged(value).unsqueeze(value.dim() - 1) for value in values))
    if not isinstance(representation, Spectral):
        kind = type(representation).__name__
        raise UserError(f"no uncertainty for a model of {kind}: that takes a Spectral representation")
    n_fft, sides = representation.n_fft, representation.sides()[:, None].to(error.device)
    audible = (representation.spectrum(encoded, context).abs().sum(1, keepdim=True) > 0).to(error.dtype)
    return BinErrors(error * audible * sides / n_fft, power * sides / n_fft, shares)


def expected_error(
    representation: Representation, noisy: Tensor, output: Tensor, mixture: GaussianMixture, context: Context
) -> Tensor:
    r"""Expected squared distance of the speech to ``output`` per bin of the linear spectrum.

    :math:`\sum_k \pi_k E |g(y - n) - X|^2` with :math:`n \sim N(\mu_k, \sigma_k^2 I)` and g from the
    representation's values to the linear spectrum; the expectation by Gauss-Hermite quadrature.

    Args:
        representation: has g, :meth:`diffgmm.diffusion.representation.Representation.spectrum`.
        noisy: y, ``[B, C, *S]``.
        output: X, ``[B, *S]``, real or complex.
        mixture: of n.
        context: of the noisy window.

    Returns:
        ``[B, *S]``.
    """
    # Three points a dimension are exact for the fourth moments that the complex spectrogram's exponent of one half asks
    # for; decibels are steeper.
    points, weights = (values.tolist() for values in hermegauss(3 if mixture.channels == 2 else 5))
    shares, scales, total = mixture.weights, mixture.scales, torch.zeros_like(output.abs())
    for k in range(mixture.components):
        centre, scale = noisy - mixture.means[:, k], scales[:, k].unsqueeze(1)
        for nodes in product(range(len(points)), repeat=mixture.channels):
            offset = torch.tensor([points[i] for i in nodes], dtype=scale.dtype, device=scale.device)
            speech = centre + scale * offset.view(1, -1, *[1] * (noisy.dim() - 2))
            distance = (representation.spectrum(speech, context) - output).abs().square()
            weight = math.prod(weights[i] / sum(weights) for i in nodes)
            total = total + weight * shares[:, k] * distance
    return total


def _averaged(x: Tensor) -> Tensor:
    """Means ``[..., N]`` of the samples ``[..., T]`` around every :data:`FRAME`-th one."""
    samples = x.shape[-1]
    margin = (FRAME // 2, FRAME // 2 + -samples % FRAME)
    flat, counted = x.reshape(-1, 1, samples), torch.ones_like(x.reshape(-1, 1, samples)[:1])
    sums, share = (nn.functional.avg_pool1d(nn.functional.pad(v, margin), FRAME) for v in (flat, counted))
    return (sums / share.clamp_min(1.0 / FRAME)).reshape(*x.shape[:-1], -1)
