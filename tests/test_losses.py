"""Losses: hand-computed cases, closed forms, and behaviour on silence."""

from __future__ import annotations

import math

import pytest
import torch

from diffgmm.losses import LOSSES, LossInputs, WeightedLoss
from diffgmm.mixture import GaussianMixture
from diffgmm.process import Blend, Bridge, Process
from diffgmm.representation import Waveform


def inputs(
    process: Process | None = None, scale: float = 0.5, t: float = 0.6, tau: float = 0.2
) -> LossInputs:
    process = process or Bridge(0.5)
    g = torch.Generator().manual_seed(0)
    clean_wave, noise_wave = (torch.randn(3, 1, 16000, generator=g) * 0.1 for _ in range(2))
    representation = Waveform()
    context = representation.context(clean_wave + noise_wave)
    noisy, clean = (representation.encode(w, context) for w in (clean_wave + noise_wave, clean_wave))
    noise, time, earlier = noisy - clean, torch.full((3,), t), torch.full((3,), tau)
    state = process.state(clean, noise, time, torch.randn(noisy.shape, generator=g))
    step = process.reverse(state, noisy, time, earlier)
    following = (
        step.offset + step.factor * noise + step.variance.sqrt() * torch.randn(noisy.shape, generator=g)
    )
    shape = (3, 2, 16000)
    means = torch.randn(3, 2, 1, 16000, generator=g).requires_grad_()
    mixture = GaussianMixture(torch.zeros(shape), means, torch.full(shape, math.log(scale)))
    return LossInputs(
        mixture, noise, noisy, state, following, time, earlier, process, representation, context, clean_wave
    )


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"pesq"}))
def test_every_loss_is_a_finite_scalar_with_gradient(name: str) -> None:
    x = inputs()
    loss = LOSSES[name](x)
    assert loss.shape == () and torch.isfinite(loss)
    loss.backward()
    gradient = x.mixture.means.grad
    assert gradient is not None and torch.isfinite(gradient).all() and gradient.any()


def test_pesq_loss_prefers_the_cleaner_estimate(pair: tuple) -> None:
    pytest.importorskip("torch_pesq", reason="the extra pesq-loss is not installed")
    clean, noisy = (torch.from_numpy(v)[None, None] for v in pair)
    representation = Waveform()
    context = representation.context(noisy)
    y, s = representation.encode(noisy, context), representation.encode(clean, context)

    def loss(share: float) -> torch.Tensor:
        means = (share * (y - s)).unsqueeze(1).requires_grad_()
        q = GaussianMixture(torch.zeros(1, 1, y.shape[-1]), means, torch.zeros(1, 1, y.shape[-1]))
        one = torch.ones(1)
        x = LossInputs(q, y - s, y, y, None, one, 0 * one, Bridge(), representation, context, clean)
        value = LOSSES["pesq"](x)
        value.backward()
        assert means.grad is not None and torch.isfinite(means.grad).all()
        return value.detach()

    assert loss(0.9) < loss(0.5) < loss(0.1)


def test_elbo_of_the_blend_is_the_nll_up_to_the_step_size() -> None:
    x = inputs(Blend())
    torch.testing.assert_close(LOSSES["elbo"](x), LOSSES["nll"](x) + math.log(0.4), atol=1e-4, rtol=1e-4)


def test_elbo_of_one_component_is_the_gaussian_closed_form() -> None:
    x = inputs()
    x.mixture = GaussianMixture(x.mixture.logits[:, :1], x.mixture.means[:, :1], x.mixture.log_scales[:, :1])
    t, tau, c = 0.6, 0.2, 0.5
    r = (t - tau) / t
    mean = x.state - r * (x.state - x.noisy + x.mixture.means[:, 0])
    variance = r**2 * 0.25 + c**2 * tau * (t - tau) / t
    assert x.next_state is not None
    expected = 0.5 * ((x.next_state - mean) ** 2 / variance + math.log(2 * math.pi * variance)).mean()
    torch.testing.assert_close(LOSSES["elbo"](x), expected, atol=1e-4, rtol=1e-4)


def test_true_noise_as_answer_gives_zero_errors_and_limited_si_sdr() -> None:
    x = inputs()
    x.mixture = GaussianMixture(
        x.mixture.logits, x.noise.unsqueeze(1).expand(-1, 2, -1, -1), x.mixture.log_scales
    )
    for name in ("noise_l1", "noise_huber", "spectrum", "multi_resolution_stft"):
        assert LOSSES[name](x).item() == pytest.approx(0.0, abs=1e-4)
    assert LOSSES["si_sdr"](x).item() == pytest.approx(-30.0, abs=0.1)


def test_silent_targets_are_left_out_of_speech_losses() -> None:
    x = inputs()
    x.clean_wave = torch.zeros_like(x.clean_wave)
    assert LOSSES["si_sdr"](x).item() == 0.0
    LOSSES["si_sdr"](x).backward()
    assert x.mixture.means.grad is not None and not torch.isnan(x.mixture.means.grad).any()


def test_weights_add_up_and_zero_leaves_out() -> None:
    x = inputs()
    total, parts = WeightedLoss({"nll": 2.0, "noise_l1": 0.5, "spectrum": 0.0})(x)
    assert set(parts) == {"nll", "noise_l1"}
    torch.testing.assert_close(total.detach(), 2.0 * parts["nll"] + 0.5 * parts["noise_l1"])


def test_unknown_or_empty_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown loss mse; there are nll"):
        WeightedLoss({"mse": 1.0})
    with pytest.raises(ValueError, match="at least one"):
        WeightedLoss({"nll": 0.0})
