"""Solvers of the ablations: their draws are draws of the mixture, and a white sound's bins agree."""

from __future__ import annotations

import math
from typing import Any

import torch

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Bridge
from diffgmm.diffusion.samplers import sample_flow, sample_heun
from experiments.ablations.solvers import quantile, second_order, white_spectrogram


def test_a_single_gaussian_is_shifted_and_scaled() -> None:
    means, normal = torch.tensor([0.5, -2.0]).reshape(1, 1, 2, 1, 1), torch.randn(1, 2, 3, 4)
    mixture = GaussianMixture(torch.zeros(1, 1, 1, 1), means, torch.full((1, 1, 1, 1), 0.3))
    wide = GaussianMixture(
        *(x.expand(*x.shape[:-2], 3, 4) for x in (mixture.logits, means, mixture.log_scales))
    )
    expected = means[:, 0] + normal * torch.tensor(0.3).exp()
    torch.testing.assert_close(quantile(wide, normal), expected, atol=1e-4, rtol=1e-4)


def test_draws_have_the_moments_and_the_density_of_the_mixture() -> None:
    torch.manual_seed(0)
    logits, log_scales = torch.tensor([0.0, 1.0, -0.5]), torch.tensor([-1.0, 0.2, -0.4])
    means = torch.tensor([[1.0, 2.0], [-1.5, 0.5], [0.3, -2.0]])

    def wide(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, *x.shape, 1, 1).expand(1, *x.shape, 200, 400)

    mixture = GaussianMixture(wide(logits), wide(means), wide(log_scales))
    draws = quantile(mixture, torch.randn(1, 2, 200, 400))
    torch.testing.assert_close(draws.mean((2, 3)), mixture.mean()[:, :, 0, 0], atol=0.03, rtol=0)
    torch.testing.assert_close(draws.var((2, 3)), mixture.variance()[:, :, 0, 0], atol=0.06, rtol=0)
    theirs = mixture.log_prob(mixture.sample(torch.Generator().manual_seed(1))).mean()
    torch.testing.assert_close(mixture.log_prob(draws).mean(), theirs, atol=0.02, rtol=0)


def test_a_white_sound_is_a_spectrogram_of_unit_variance() -> None:
    """Resynthesised and analysed again it is the same, which independent bins are not."""
    window, inner = torch.hann_window(510).sqrt(), slice(2, -2)

    def again(parts: torch.Tensor) -> torch.Tensor:
        spectrum = torch.view_as_complex(parts.permute(0, 2, 3, 1).contiguous())
        sound = torch.istft(spectrum, 510, 255, window=window)
        spectrum = torch.stft(sound, 510, 255, window=window, return_complex=True, pad_mode="constant")
        return torch.view_as_real(spectrum).permute(0, 3, 1, 2)

    white = white_spectrogram(torch.Size((2, 2, 256, 40)), torch.Generator().manual_seed(0))
    assert white.shape == (2, 2, 256, 40) and abs(white.square().mean() - 1) < 1e-5
    torch.testing.assert_close(again(white)[..., inner], white[..., inner], atol=1e-3, rtol=0)
    independent = torch.randn(white.shape)
    kept = again(independent)[..., inner].square().mean() / independent.square().mean()
    assert 0.4 < kept < 0.6  # half of their energy belongs to no sound


def test_the_second_order_is_one() -> None:
    """Four times the calls: a fourth of the error is first order, less than that is better."""
    prior = GaussianMixture(
        torch.tensor([0.0, 0.7]).double().reshape(1, 2, 1).expand(50, 2, 1),
        torch.tensor([0.8, -0.6]).double().reshape(1, 2, 1, 1).expand(50, 2, 1, 1),
        torch.tensor([-1.2, -0.7]).double().reshape(1, 2, 1).expand(50, 2, 1),
    )
    process, noisy = Bridge(0.8), torch.linspace(-2, 3, 50, dtype=torch.float64).reshape(50, 1, 1)

    def posterior(state: torch.Tensor, y: torch.Tensor, time: torch.Tensor) -> GaussianMixture:
        return prior.tilt(*process.observation(state, y, time))

    def clean(solver: Any, calls: int) -> torch.Tensor:
        times = torch.cos(torch.linspace(0, math.pi / 2, calls + 1, dtype=torch.float64)).square()
        times[-1] = 0.0
        return solver(posterior, noisy, process, times, step_noise=False)

    exact = clean(sample_heun, 1001)
    errors = {
        solver: [float((clean(solver, calls) - exact).abs().mean()) for calls in (63, 255)]
        for solver in (sample_flow, second_order)
    }
    assert errors[second_order][1] < 0.15 * errors[second_order][0]
    assert errors[sample_flow][1] > 0.2 * errors[sample_flow][0]
