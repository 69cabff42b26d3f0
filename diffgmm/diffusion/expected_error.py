"""How far the output may be from the speech: the mixture's expected error, at the level of the sound.

One step of the model answers with a mixture for the noise in every bin, so the speech s = y - n has a distribution in
every bin too. What is reported is the expected squared distance of that speech to the *output*, whatever made it (mean,
sample, mode, any number of steps), after the representation's compression and level are undone. By Parseval's theorem
the bins of a frame then add up to the mean square of the waveform's error under the frame's window.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.representation import Context, Representation, Spectral
from diffgmm.utils.errors import UserError

FRAME = 160  # samples that an error is averaged over where the representation has no frames

# Gauss-Hermite points and weights for a standard normal variable. Three points a dimension are exact for the fourth
# moments that the complex spectrogram's exponent of one half asks for; decibels are steeper.
_THREE = ([-(3.0**0.5), 0.0, 3.0**0.5], [1 / 6, 2 / 3, 1 / 6])

_FIVE = (
    [-2.8569700138728056, -1.3556261799742659, 0.0, 1.3556261799742659, 2.8569700138728056],
    [
        0.011257411327720691,
        0.22207592200561266,
        0.53333333333333333,
        0.22207592200561266,
        0.011257411327720691,
    ],
)


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
        heard = (noisy.squeeze(1) != 0).to(error.dtype)
        return BinErrors(
            _averaged(error * heard).unsqueeze(1),
            _averaged(power).unsqueeze(1),
            _averaged(shares).unsqueeze(2),
        )
    if not isinstance(representation, Spectral):
        kind = type(representation).__name__
        raise UserError(
            f"how sure a model of {kind} is can't be told in sound: that takes a Spectral representation"
        )
    n_fft, sides = representation.n_fft, representation.sides()[:, None].to(error.device)
    heard = (representation.spectrum(encoded, context).abs().sum(1, keepdim=True) > 0).to(error.dtype)
    return BinErrors(error * heard * sides / n_fft, power * sides / n_fft, shares)


def expected_error(
    representation: Representation,
    noisy: Tensor,
    output: Tensor,
    posterior: GaussianMixture,
    context: Context,
) -> Tensor:
    r"""Expected squared distance of the speech to ``output`` per bin of the linear spectrum.

    :math:`\sum_k \pi_k E |g(y - n) - X|^2` with :math:`n \sim N(\mu_k, \sigma_k^2 I)` and g from the
    representation's values to the linear spectrum; the expectation by Gauss-Hermite quadrature.

    Args:
        representation: has g, :meth:`diffgmm.diffusion.representation.Representation.spectrum`.
        noisy: y, ``[B, C, *S]``.
        output: X, ``[B, *S]``, real or complex.
        posterior: of n.
        context: of the noisy window.

    Returns:
        ``[B, *S]``.
    """
    points, weights = _THREE if posterior.channels == 2 else _FIVE
    total = torch.zeros_like(output.abs())
    shares, scales = posterior.weights, posterior.scales
    first = list(enumerate(points))
    second = first if posterior.channels == 2 else [(-1, 0.0)]
    for k in range(posterior.components):
        centre, scale = noisy - posterior.means[:, k], scales[:, k].unsqueeze(1)
        for i, a in first:
            for j, b in second:
                offset = torch.tensor([a, b] if j >= 0 else [a], dtype=scale.dtype, device=scale.device)
                speech = centre + scale * offset.view(1, -1, *[1] * (noisy.dim() - 2))
                distance = (representation.spectrum(speech, context) - output).abs().square()
                weight = weights[i] * (weights[j] if j >= 0 else 1.0)
                total = total + weight * shares[:, k] * distance
    return total


def _averaged(x: Tensor) -> Tensor:
    """Means ``[..., N]`` of the samples ``[..., T]`` around every :data:`FRAME`-th one."""
    samples = x.shape[-1]
    half, rest = FRAME // 2, -samples % FRAME
    flat = torch.nn.functional.pad(x.reshape(-1, 1, samples), (half, half + rest))
    count = torch.nn.functional.pad(torch.ones_like(x.reshape(-1, 1, samples)[:1]), (half, half + rest))
    sums = torch.nn.functional.avg_pool1d(flat, FRAME) / torch.nn.functional.avg_pool1d(
        count, FRAME
    ).clamp_min(1.0 / FRAME)
    return sums.reshape(*x.shape[:-1], -1)
