"""An energy score on draws of the waveform: a loss that was tried beside the likelihood; used by its path.

Example: ``--model.losses.energy experiments.ablations.energy.Energy``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.training.losses import Loss, LossInputs


@dataclass(frozen=True)
class Energy(Loss):
    r"""Energy score of the waveforms that draws of the mixture give, relative to the noisy level.

    :math:`E|X - s| - \frac{1}{2} E|X - X'|` with root mean squares over a window as norms, from two draws X and X'
    (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 2007, eq. 20). The
    likelihood asks each bin for its own distribution; this asks for that of the sound, after overlapping frames were
    added.

    Components are drawn with the gradient of their probabilities in place of the choice's, which has none
    (straight-through Gumbel; Jang et al., arXiv 1611.01144). The draws are keyed by the window's own noise, so that a
    resumed run draws the same.
    """

    def __call__(self, x: LossInputs) -> Tensor:
        key = int(x.noise.detach().double().sum().view(torch.int64).item()) & (2**63 - 1)
        generator = torch.Generator(x.noise.device).manual_seed(key)
        first, second = (self._wave(x, generator) for _ in range(2))
        clean = x.clean_wave / x.level
        to_clean = 0.5 * (_rms(first - clean) + _rms(second - clean))
        return (to_clean - 0.5 * _rms(first - second)).mean()

    def _wave(self, x: LossInputs, generator: torch.Generator) -> Tensor:
        noise = draw(x.mixture, generator).to(x.noisy.dtype)
        return x.representation.decode(x.without(noise), x.context) / x.level


def draw(mixture: GaussianMixture, generator: torch.Generator) -> Tensor:
    """A draw ``[B, C, *S]`` with gradients to weights, means and scales."""

    def random(shape: torch.Size) -> Tensor:
        return torch.rand(shape, generator=generator, device=mixture.logits.device).clamp(1e-6, 1 - 1e-6)

    gumbel = -(-random(mixture.logits.shape).log()).log()
    soft = torch.softmax(mixture.logits + gumbel, dim=1)
    hard = nn.functional.one_hot(soft.argmax(1), mixture.components).movedim(-1, 1).to(soft.dtype)
    chosen = (hard + soft - soft.detach()).unsqueeze(2)
    normal = torch.special.ndtri(random(mixture.means.shape))
    return (chosen * (mixture.means + mixture.log_scales.exp().unsqueeze(2) * normal)).sum(1)


def _rms(x: Tensor) -> Tensor:
    return (x.square().mean(dim=(1, 2)) + 1e-8).sqrt()
