"""Marginals, reverse steps and observations of the two processes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffgmm.diffusion.grids import time_grid
from diffgmm.diffusion.process import Blend, Bridge

TIMES = st.floats(0.05, 1.0)


def signals(seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    clean = torch.randn(1, 1, 7, generator=g, dtype=torch.float64)
    return clean, torch.randn(1, 1, 7, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("process", [Blend(), Bridge(0.5), Bridge(2.0)])
def test_ends_are_clean_and_noisy(process: Blend | Bridge) -> None:
    clean, noise = signals()
    eps = torch.ones_like(clean)
    torch.testing.assert_close(process.state(clean, noise, torch.zeros(1), eps), clean)
    torch.testing.assert_close(process.state(clean, noise, torch.ones(1), eps), clean + noise)


@settings(max_examples=50, deadline=None)
@given(t=TIMES, share=st.floats(0.0, 0.95), c=st.floats(0.05, 3.0))
def test_a_reverse_step_leads_from_marginal_to_marginal(t: float, share: float, c: float) -> None:
    """x_t ~ N(y - (1 - t) n, sigma_t^2), then the step: mean and variance at tau must be the marginal's."""
    process, (clean, noise) = Bridge(c), signals()
    noisy, time = clean + noise, torch.tensor([t], dtype=torch.float64)
    t_next = share * time
    mean_t = process.state(clean, noise, time, torch.zeros_like(clean))
    step = process.reverse(mean_t, noisy, time, t_next)
    mean = step.offset + step.factor * noise
    torch.testing.assert_close(mean, process.state(clean, noise, t_next, torch.zeros_like(clean)))
    slope = process.reverse(mean_t + 1.0, noisy, time, t_next).offset - step.offset  # d x_tau / d x_t
    variance = slope**2 * process.sigma(time) ** 2 + step.variance
    expected = process.sigma(t_next).square().reshape(1, 1, 1).expand_as(variance)
    torch.testing.assert_close(variance, expected, atol=1e-12, rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(t=TIMES, share=st.floats(0.0, 0.95))
def test_blend_subtracts_a_part_of_the_noise(t: float, share: float) -> None:
    process, (clean, noise) = Blend(), signals()
    time = torch.tensor([t], dtype=torch.float64)
    state = process.state(clean, noise, time, torch.zeros_like(clean))
    step = process.reverse(
        state, torch.full_like(clean, math.nan), time, share * time
    )  # noisy must not be read
    reached = step.offset + step.factor * noise
    torch.testing.assert_close(reached, process.state(clean, noise, share * time, torch.zeros_like(clean)))
    assert not step.variance.any()


def test_a_bridge_step_to_zero_is_clean_whatever_the_state() -> None:
    process, (clean, noise) = Bridge(0.5), signals()
    step = process.reverse(torch.randn_like(clean), clean + noise, torch.tensor([0.7]), torch.tensor([0.0]))
    torch.testing.assert_close(step.offset + step.factor * noise, clean, atol=1e-6, rtol=1e-6)
    assert not step.variance.any()


@settings(max_examples=50, deadline=None)
@given(t=st.floats(0.05, 0.99), c=st.floats(0.1, 2.0))
def test_observation_is_the_state_likelihood_as_a_function_of_the_noise(t: float, c: float) -> None:
    process, (clean, noise) = Bridge(c), signals()
    time = torch.tensor([t], dtype=torch.float64)
    noisy = clean + noise
    state = process.state(clean, noise, time, torch.randn_like(clean))
    precision, information = process.observation(state, noisy, time)
    a, b = torch.randn_like(noise), torch.randn_like(noise)

    def log_likelihood(n: Tensor) -> Tensor:
        return -0.5 * ((state - noisy + (1 - t) * n) / process.sigma(time)) ** 2

    def log_observation(n: Tensor) -> Tensor:
        return information * n - 0.5 * precision.unsqueeze(1) * n**2

    torch.testing.assert_close(
        log_likelihood(a) - log_likelihood(b), log_observation(a) - log_observation(b), atol=1e-8, rtol=1e-6
    )


def test_the_noisy_end_tells_nothing() -> None:
    noisy = torch.randn(1, 1, 5)
    precision, information = Bridge(0.5).observation(noisy, noisy, torch.ones(1))
    assert not precision.any() and not information.any()


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="c must be positive"):
        Bridge(0.0)
    with pytest.raises(ValueError, match="nfe must be at least 1"):
        time_grid(0)
    with pytest.raises(ValueError, match="power"):
        time_grid(2, 0.0)


def test_grids_run_from_one_to_zero() -> None:
    assert time_grid(4).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert time_grid(2, power=2.0).tolist() == [1.0, 0.25, 0.0]
