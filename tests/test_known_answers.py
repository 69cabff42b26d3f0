"""Training finds what is known: the entropy of the noise given noisy speech, and dead components again."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from known import NOISE, conditional_entropy, density, draw, posterior

from diffgmm.diffusion.grids import time_grid
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.process import Bridge
from diffgmm.diffusion.representation import Complex, Waveform
from diffgmm.diffusion.samplers import sample_ancestral
from diffgmm.networks import UNet
from diffgmm.training.callbacks.diagnostics import summary, tally
from diffgmm.training.noising import Noising


def test_the_conditional_entropy_is_the_mean_nll_of_the_posterior() -> None:
    axis = torch.linspace(-12.0, 12.0, 10001, dtype=torch.float64)
    assert torch.trapezoid(density(NOISE, axis), axis).item() == pytest.approx(1.0, abs=1e-9)
    clean, noise = draw((1, 1, 1_000_000), torch.Generator().manual_seed(0))
    assert posterior(clean + noise).nll(noise).mean().item() == pytest.approx(
        conditional_entropy(), abs=0.004
    )


def test_a_tiny_trained_network_comes_within_0_02_nats_of_the_analytic_entropy() -> None:
    """q(n | y) of a network of 5,600 parameters, on values that know nothing of each other."""
    torch.manual_seed(0)
    net = UNet([48], [[1]], 48, kernel=[1], blocks=1, embedding=0, norm_kind="none")
    model = MixtureDenoiser(Waveform(), net, MixtureHead(4, means="free"), Bridge(0.8))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
    g, one = torch.Generator().manual_seed(1), torch.ones(1)
    for _ in range(600):
        clean, noise = draw((1, 1, 1024), g)
        loss = model.posterior(clean + noise, clean + noise, one).nll(noise).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    with torch.no_grad():
        clean, noise = draw((1, 1, 400_000), g)
        noisy = clean + noise
        excess = model.posterior(noisy, noisy, one).nll(noise).mean().item() - conditional_entropy()
        assert -0.006 < excess < 0.02
        # One Gaussian, even with the posterior's own moments in every bin, is further away than that.
        exact = posterior(noisy)
        gaussian = 0.5 * ((noise - exact.mean()).square() / exact.variance() + exact.variance().log())
        assert gaussian.mean().item() + 0.5 * math.log(2 * math.pi) - conditional_entropy() > 0.05
        # One sampled step has the law of the noise given noisy speech, so over all y that of the noise itself.
        part = noisy[..., :100_000]
        found = part - sample_ancestral(model.posterior, part, model.process, time_grid(1), estimate="sample")
    mean = sum(w * m for w, m, _ in zip(*NOISE, strict=True))
    square = sum(w * (m * m + v) for w, m, v in zip(*NOISE, strict=True))
    assert found.mean().item() == pytest.approx(mean, abs=0.05)
    assert found.var().item() == pytest.approx(square - mean**2, rel=0.05)


def short_training(depth: float, losses: Mapping[str, float]) -> dict[str, float]:
    """What the diagnostics say of 8 pairs of the mini corpus after 150 steps on others.

    At the start the weights of two of three components are e^-depth in every bin; 0: an ordinary start.
    """
    from data_modules.noisy_speech import NoisySpeech
    from diffgmm.training.losses import WeightedLoss

    torch.manual_seed(0)
    net = UNet([8, 12], [[4, 1], [4, 1]], features=8)
    model = MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), net, MixtureHead(3))
    if depth:
        linear = model.head.linear
        assert isinstance(linear, torch.nn.Conv2d) and linear.bias is not None
        with torch.no_grad():
            linear.weight[:3] = 0.0
            linear.bias[:3] = torch.tensor([0.0, -depth, -depth])
    data = NoisySpeech("mini", batch_size=4, epoch_size=4 * 150, valid_pairs=8)
    data.setup("fit")
    noising, loss = Noising(p_t1=1.0), WeightedLoss(losses)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for batch in data.train_dataloader():
        total, _ = loss(noising.inputs(model, batch["noisy"], batch["clean"], generator))
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    sums = []
    with torch.no_grad():
        for batch in data.val_dataloader():
            x = noising.inputs(model, batch["noisy"], batch["clean"], generator)
            sums.append(tally(x.mixture, x.noise))
    found = summary(torch.stack(sums).sum(0))
    print(depth, losses, {key: round(value, 3) for key, value in found.items()}, flush=True)
    return found


@pytest.mark.slow
def test_balance_calls_collapsed_components_back_on_real_sounds() -> None:
    both = {"nll": 1.0, "balance": 0.1}
    alone, balanced = short_training(6.0, {"nll": 1.0}), short_training(6.0, both)
    assert alone["components"] < 2.2 and balanced["components"] > 2.4
    assert balanced["smallest_share"] > 1.5 * alone["smallest_share"]
    assert balanced["nll"] < alone["nll"] - 0.1
    # From e^-12 the likelihood alone never comes back; the optimizer's step limits how fast balance does.
    alone, balanced = short_training(12.0, {"nll": 1.0}), short_training(12.0, both)
    assert alone["components"] < 1.1 and balanced["components"] > 1.4
    # It costs nothing where all components are in use.
    alone, balanced = short_training(0.0, {"nll": 1.0}), short_training(0.0, both)
    assert min(alone["components"], balanced["components"]) > 2.7
    assert balanced["nll"] == pytest.approx(alone["nll"], abs=0.05)
