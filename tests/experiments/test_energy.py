"""The energy score on draws: it is least for the true spread, and its draws are the mixture's, with gradients."""

from __future__ import annotations

import math

import torch

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Bridge
from diffgmm.diffusion.representation import Waveform
from diffgmm.training.losses import LossInputs
from experiments.ablations.energy import Energy, draw


def test_draws_are_the_mixtures_and_reach_all_of_its_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (1, 2, 200_000)
    logits = torch.tensor([0.0, 1.0]).reshape(1, 2, 1).repeat(1, 1, shape[2]).requires_grad_()
    means = torch.tensor([-2.0, 1.0]).reshape(1, 2, 1, 1).repeat(1, 1, 1, shape[2]).requires_grad_()
    scales = torch.tensor([-1.0, 0.3]).reshape(1, 2, 1).repeat(1, 1, shape[2]).requires_grad_()
    mixture = GaussianMixture(logits, means, scales)
    found = draw(mixture, generator)
    assert abs(found.mean() - mixture.mean().mean()) < 0.02
    assert abs(found.var() - mixture.variance().mean()) < 0.05
    theirs = mixture.sample(torch.Generator().manual_seed(1))
    assert abs(mixture.log_prob(found).mean() - mixture.log_prob(theirs).mean()) < 0.01
    found.square().mean().backward()
    assert all(x.grad is not None and x.grad.any() for x in (logits, means, scales))


def energy_of(scale: float) -> float:
    """Of windows whose noise has a deviation of 1, for a prediction of another one."""
    g = torch.Generator().manual_seed(3)
    clean_wave, noise_wave = torch.zeros(400, 1, 4), torch.randn(400, 1, 4, generator=g)
    representation, time = Waveform(), torch.ones(400)
    context = representation.context(torch.ones(400, 1, 4))
    noise = representation.encode(noise_wave, context)
    mixture = GaussianMixture(
        torch.zeros(400, 1, 4), torch.zeros(400, 1, 1, 4), torch.full((400, 1, 4), scale).log()
    )
    x = LossInputs(
        mixture, noise, noise, noise, None, time, time, Bridge(0.5), representation, context, clean_wave
    )  # fmt: skip
    return float(Energy()(x))


def test_the_score_is_least_for_the_true_spread_and_the_same_each_time() -> None:
    true, narrow, wide = (energy_of(scale) for scale in (1.0, 0.3, 3.0))
    assert true < narrow - 0.02 and true < wide - 0.02
    assert energy_of(1.0) == true
    # Without a spread it is the error's root mean square: of four normal numbers sqrt(pi / 2) * 0.75 ...
    assert math.isclose(energy_of(1e-3), 0.94, abs_tol=0.03)
