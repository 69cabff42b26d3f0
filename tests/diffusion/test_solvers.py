"""Deterministic solvers and the closed-form transport of the mixture between two network calls."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known import cdf, posterior
from torch import Tensor

from diffgmm.diffusion.grids import grid_for, sub_grid, time_grid
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Blend, Bridge
from diffgmm.diffusion.sampler_options import SamplerConfig, Solver
from diffgmm.diffusion.samplers import (
    Posterior,
    Sampler,
    sample,
    sample_ancestral,
    sample_flow,
    sample_heun,
    sample_transport,
    transport,
)

RUNS = 40000


def exact(process: Bridge, noisy: Tensor) -> Posterior:
    """The answer-function of the known case: the posterior given the noisy end and the state."""
    prior = posterior(noisy)

    def answer(state: Tensor, y: Tensor, time: Tensor) -> GaussianMixture:
        return prior.tilt(*process.observation(state, y, time))

    return answer


def check_law(noise: Tensor, prior: GaussianMixture, slack: float = 0.0) -> None:
    """``noise`` ``[RUNS, 1, 1]`` has the first position's law: moments and three points of the distribution."""
    mean, variance = prior.mean()[0].item(), prior.variance()[0].item()
    assert noise.mean().item() == pytest.approx(mean, abs=4 * (variance / RUNS) ** 0.5 + slack)
    assert noise.var().item() == pytest.approx(variance, rel=0.03 + slack)
    for level in (-1.0, 0.0, 1.0):
        share = (noise < level).float().mean().item()
        assert share == pytest.approx(cdf(prior, level)[0].item(), abs=0.012 + slack)


@settings(max_examples=30, deadline=None)
@given(
    t=st.floats(0.1, 1.0), share=st.floats(0.1, 0.9), c=st.floats(0.2, 2.0), seed=st.integers(0, 999),
)  # fmt: skip
def test_transport_equals_quadrature(t: float, share: float, c: float, seed: int) -> None:
    """q(n | x_tau) against q(n | x_t) N(x_tau; y - (1 - tau) n, ..) / N(x_t; y - (1 - t) n, ..), normalised."""
    g = torch.Generator().manual_seed(seed)
    process, tau = Bridge(c), share * t
    q = GaussianMixture(
        torch.randn(1, 3, 1, generator=g, dtype=torch.float64),
        torch.randn(1, 3, 1, 1, generator=g, dtype=torch.float64),
        0.3 * torch.randn(1, 3, 1, generator=g, dtype=torch.float64) - 0.7,
    )
    y, noise = (torch.randn(1, 1, 1, generator=g, dtype=torch.float64) for _ in range(2))
    eps = torch.randn(2, 1, 1, 1, generator=g, dtype=torch.float64)
    start, end = (torch.tensor([v], dtype=torch.float64) for v in (t, tau))
    x_t = process.state(y - noise, noise, start, eps[0])
    step = process.reverse(x_t, y, start, end)
    x_tau = step.offset + step.factor * noise + step.variance.sqrt() * eps[1]
    carried = transport(q, process, y, (x_t, t), (x_tau, tau))

    axis = torch.linspace(-9.0, 9.0, 120001, dtype=torch.float64)

    def log_normal(value: Tensor, mean: Tensor, variance: float) -> Tensor:
        return -0.5 * (value - mean) ** 2 / variance - 0.5 * math.log(2 * math.pi * variance)

    def along(mixture: GaussianMixture) -> Tensor:
        wide = (mixture.logits, mixture.means, mixture.log_scales)
        return GaussianMixture(*(v.expand(*v.shape[:-1], axis.numel()) for v in wide)).log_prob(
            axis[None, None]
        )[0]

    log = along(q) + log_normal(x_tau.flatten(), y.flatten() - (1 - tau) * axis, c**2 * tau * (1 - tau))
    if t < 1.0:  # the state at the noisy end is y itself, and tells nothing
        log = log - log_normal(x_t.flatten(), y.flatten() - (1 - t) * axis, c**2 * t * (1 - t))
    expected = torch.exp(log - log.max())
    expected = expected / torch.trapezoid(expected, axis)
    assert (along(carried).exp() - expected).abs().max().item() < 1e-6 * expected.max().item()
    mean = torch.trapezoid(expected * axis, axis)
    torch.testing.assert_close(carried.mean().flatten()[0], mean, atol=1e-6, rtol=0)


@pytest.mark.parametrize("nfe", [1, 3])
@pytest.mark.parametrize("substeps", [2, 7])
def test_sampled_substeps_have_the_distribution_of_one_direct_step(nfe: int, substeps: int) -> None:
    """Also where the answer is wrong: here it ignores the state, so only sub-steps could tell."""
    noisy, process = torch.full((RUNS, 1, 1), 1.2), Bridge(0.8)
    prior = posterior(noisy)
    answer: Posterior = exact(process, noisy) if nfe > 1 else lambda *_: prior
    clean = sample(
        answer, noisy, process, SamplerConfig(nfe, "sample", substeps=substeps),
        generator=torch.Generator().manual_seed(substeps),
    )  # fmt: skip
    check_law(noisy - clean, prior)


def _correlation(joint: bool, nfe: int) -> tuple[float, float]:
    """Correlation and variance of two bins' sampled noise; the truth is 0.9 and 1."""
    process, g = Bridge(1.0), torch.Generator().manual_seed(nfe)
    prior = torch.tensor([[1.0, 0.9], [0.9, 1.0]]).inverse()
    noisy = torch.zeros(RUNS, 1, 2)

    def answer(state: Tensor, y: Tensor, time: Tensor) -> GaussianMixture:
        precision, information = process.observation(state, y, time)
        covariance = (prior + precision.flatten()[0] * torch.eye(2)).inverse()
        mean = information[:, 0] @ covariance
        scale = covariance.diagonal().sqrt().expand(RUNS, 2)
        if joint:  # both bins drawn together, and given as a point
            factor = torch.linalg.cholesky(covariance)
            mean = mean + torch.randn(RUNS, 2, generator=g) @ factor.T
            scale = torch.full((RUNS, 2), 1e-6)
        return GaussianMixture(torch.zeros(RUNS, 1, 2), mean[:, None, None], scale[:, None].log())

    clean = sample_ancestral(answer, noisy, process, grid_for(nfe), estimate="sample", generator=g)
    found = torch.cov((noisy - clean)[:, 0].T)
    return float(found[0, 1] / found.diagonal().prod().sqrt()), float(found.diagonal().mean())


def test_correlated_bins_need_joint_predictions_or_a_fine_grid() -> None:
    for nfe in (1, 4):
        assert _correlation(True, nfe) == pytest.approx((0.9, 1.0), abs=0.03)
    one, few, many = (_correlation(False, nfe) for nfe in (1, 4, 64))
    assert one == pytest.approx((0.0, 1.0), abs=0.03)
    assert 0.05 < few[0] < many[0]
    assert many == pytest.approx((0.9, 1.0), abs=0.06)


def test_transport_takes_the_place_of_the_network_where_positions_are_independent() -> None:
    """One call carried over 16 steps is the same as 16 calls, number for number."""
    noisy, process = torch.linspace(-3, 4, 50, dtype=torch.float64).reshape(50, 1, 1), Bridge(0.7)
    times = sub_grid(1.0, 0.0, 16)
    for solver, estimate in (("flow", "mean"), ("flow", "sample"), ("step", "sample"), ("step", "mean")):
        results = [
            sample_transport(
                exact(process, noisy), noisy, process, torch.tensor(grid, dtype=torch.float64), solver=solver,
                estimate=estimate, substeps=substeps, generator=torch.Generator().manual_seed(0),
            )
            for grid, substeps in ((times, 1), ([1.0, 0.0], 16))
        ]  # fmt: skip
        torch.testing.assert_close(*results, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("solver", "nfe", "substeps"), [("flow", 1, 64), ("flow", 64, 1), ("heun", 31, 1)])
def test_the_flow_from_a_random_start_recovers_the_posterior(solver: Solver, nfe: int, substeps: int) -> None:
    noisy, process = torch.full((RUNS, 1, 1), 1.2), Bridge(0.8)
    clean = sample(
        exact(process, noisy), noisy, process, SamplerConfig(nfe, "sample", solver=solver, substeps=substeps),
        generator=torch.Generator().manual_seed(nfe),
    )  # fmt: skip
    check_law(noisy - clean, posterior(noisy), slack=0.02)


def test_the_flow_from_the_middle_leads_to_the_median() -> None:
    """In one dimension the flow is monotone: it maps quantiles of the start to the same quantiles of the noise."""
    noisy, process = torch.linspace(-2, 3, 21, dtype=torch.float64).reshape(21, 1, 1), Bridge(0.8)
    errors = []
    for substeps in (16, 64, 256):
        noise = noisy - sample_transport(
            lambda *_: posterior(noisy), noisy, process, grid_for(1), substeps=substeps
        )
        below = torch.stack([cdf(posterior(noisy[i : i + 1]), float(noise[i])) for i in range(len(noise))])
        errors.append((below - 0.5).abs().max().item())
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.02


def test_heun_needs_fewer_calls_than_the_flow() -> None:
    noisy, process = torch.linspace(-2, 3, 50, dtype=torch.float64).reshape(50, 1, 1), Bridge(0.8)

    def clean(solver: Solver, nfe: int) -> Tensor:
        grid = torch.cos(torch.linspace(0, math.pi / 2, len(grid_for(nfe, solver)), dtype=torch.float64)) ** 2
        grid[-1] = 0.0
        run = {"flow": sample_flow, "heun": partial(sample_heun, nfe=nfe)}[solver]
        return run(
            exact(process, noisy), noisy, process, grid, estimate="sample",
            generator=torch.Generator().manual_seed(3),
        )  # fmt: skip

    truth = clean("heun", 2001)
    flow, heun = (
        {n: (clean(solver, n) - truth).abs().mean().item() for n in (31, 63, 255)}
        for solver in ("flow", "heun")
    )
    assert all(heun[n] < 0.4 * flow[n] for n in heun)  # at equal NFE
    assert heun[255] < 0.15 * heun[63]  # a fourth of the interval: better than first order,
    assert flow[255] > 0.18 * flow[63]  # which gives a fourth of the error


@settings(max_examples=50, deadline=None)
@given(t=st.floats(0.05, 1.0), share=st.floats(0.0, 0.95), c=st.floats(0.05, 3.0))
def test_a_flow_step_given_the_noise_keeps_its_random_number(t: float, share: float, c: float) -> None:
    process, g = Bridge(c), torch.Generator().manual_seed(0)
    clean, noise, eps = (torch.randn(1, 2, 7, generator=g, dtype=torch.float64) for _ in range(3))
    time = torch.tensor([t], dtype=torch.float64)
    step = process.flow(process.state(clean, noise, time, eps), clean + noise, time, share * time)
    reached = step.offset + step.factor * noise + step.variance.sqrt() * eps
    torch.testing.assert_close(reached, process.state(clean, noise, share * time, eps))
    assert step.variance.any() == (t == 1.0 and share > 0)


@pytest.mark.parametrize("process", [Blend(), Bridge(0.5)])
@pytest.mark.parametrize("solver", ["step", "flow", "heun"])
@pytest.mark.parametrize("nfe", [1, 2, 3, 4, 8, 16])
def test_every_solver_makes_exactly_nfe_calls(process: Blend | Bridge, solver: Solver, nfe: int) -> None:
    called = []
    q = GaussianMixture(torch.zeros(1, 2, 3), torch.randn(1, 2, 1, 3), torch.zeros(1, 2, 3))

    def answer(state: Tensor, noisy: Tensor, time: Tensor) -> GaussianMixture:
        called.append(float(time))
        return q

    clean = sample(answer, torch.zeros(1, 1, 3), process, SamplerConfig(nfe, solver=solver, step_noise=False))
    assert len(called) == nfe and called[0] == 1.0 and min(called) > 0.0
    torch.testing.assert_close(clean, -q.mean(), atol=1e-6, rtol=1e-5)  # a constant answer: exact for all


def test_the_deterministic_solvers_repeat_without_a_generator() -> None:
    noisy, process = torch.randn(4, 1, 5), Bridge()
    for solver in ("flow", "heun"):
        for estimate in ("mean", "mode"):
            runs = [
                sample(exact(process, noisy), noisy, process, SamplerConfig(4, estimate, solver=solver))
                for _ in range(2)
            ]
            assert torch.equal(*runs)


def test_contradicting_options_are_refused() -> None:
    q = GaussianMixture(torch.zeros(1, 1, 2), torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 2))
    y = torch.zeros(1, 1, 2)
    for process, options, message in (
        (Bridge(), {"solver": "euler"}, "solver must be one of step, flow, heun"),
        (Bridge(), {"substeps": 0}, "substeps must be at least 1"),
        (Blend(), {"substeps": 2}, "need a bridge"),
        (Bridge(), {"substeps": 2, "solver": "heun"}, "solver step or flow"),
    ):
        with pytest.raises(ValueError, match=message):
            sample(lambda *_: q, y, process, SamplerConfig(3, **options))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="heun on 3 intervals takes 3 to 5 calls"):
        sample_heun(lambda *_: q, y, Bridge(), grid_for(3), nfe=9)
    with pytest.raises(ValueError, match="is not imported"):  # by nobody who was not asked
        sample(lambda *_: q, y, Bridge(), SamplerConfig(3, solver="os:system"))
    with pytest.raises(ValueError, match="reveal the noise"):
        transport(q, Blend(), y, (y, 1.0), (y, 0.5))


@pytest.mark.parametrize("substeps", [1, 2, 3, 8])
def test_substeps_are_equally_spaced_in_the_angle(substeps: int) -> None:
    for time, t_next in ((1.0, 0.0), (0.75, 0.25), (1.0, 0.5), (0.3, 0.1)):
        times = sub_grid(time, t_next, substeps)
        assert len(times) == substeps + 1 and (times[0], times[-1]) == (time, t_next)
        angles = [math.asin(math.sqrt(1 - t)) for t in times]
        step = (angles[-1] - angles[0]) / substeps
        assert [b - a for a, b in pairwise(angles)] == pytest.approx([step] * substeps)
    assert sub_grid(1.0, 0.0, 4)[1:4] == pytest.approx([(2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4])


@pytest.mark.parametrize("solver", [sample_ancestral, sample_flow, sample_heun])
@pytest.mark.parametrize("step_noise", [False, True])
@pytest.mark.parametrize("nfe", [1, 2, 5])
def test_every_walk_ends_in_the_mean_of_its_last_call(solver: Sampler, step_noise: bool, nfe: int) -> None:
    """Whatever the network says: its predictions here are arbitrary, and depend on state and time."""
    y, g = torch.randn(3, 2, 7, dtype=torch.float64), torch.Generator().manual_seed(nfe)

    def anything(state: Tensor, noisy: Tensor, time: Tensor) -> GaussianMixture:
        means = torch.stack([state.sin() + noisy, time.reshape(-1, 1, 1) * state - noisy.cos()], dim=1)
        return GaussianMixture(state[:, :1].expand(-1, 2, -1), means, -means.square().sum(2))

    steps: list[dict] = []
    end = solver(
        anything, y, Bridge(0.7), time_grid(nfe), step_noise=step_noise, generator=g, callback=steps.append
    )
    seen = steps[-2]["x"] if nfe > 1 else y
    last = anything(seen, y, torch.full((3,), steps[-1]["t"], dtype=torch.float64))
    torch.testing.assert_close(end, y - last.mean(), atol=1e-12, rtol=0.0)


def test_the_flow_takes_the_deterministic_step_and_the_expected_noise() -> None:
    """With an answer that changes from call to call, or a reverse step without its noise would lead the same way."""
    process, noisy = Bridge(0.5), torch.tensor([[[0.3, -1.0]]])
    means = torch.tensor([[[[0.5, 2.0]], [[-1.0, 0.0]]]])

    def answer(state: Tensor, y: Tensor, time: Tensor) -> GaussianMixture:
        return GaussianMixture(torch.zeros(1, 2, 2), means * time, torch.zeros(1, 2, 2))

    state, wanted, passed = noisy, list[Tensor](), list[Tensor]()
    for time, t_next in ((1.0, 0.6), (0.6, 0.3), (0.3, 0.0)):
        times = torch.tensor([time]), torch.tensor([t_next])
        step, backwards = process.flow(state, noisy, *times), process.reverse(state, noisy, *times)
        mean = means.mean(1) * time
        differs = (step.offset + step.factor * mean - backwards.offset - backwards.factor * mean).abs().max()
        assert (differs > 1e-3) == (time == 0.6)
        state = step.offset + step.factor * mean
        wanted.append(state)
    sample_flow(
        answer, noisy, process, torch.tensor([1.0, 0.6, 0.3, 0.0]), estimate="sample", step_noise=False,
        callback=lambda told: passed.append(told["x"]),
    )  # fmt: skip
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(passed, wanted, strict=True))
    assert torch.allclose(state, noisy - means.mean(1) * 0.3, atol=1e-6)
    start = process.flow(noisy, noisy, torch.tensor([1.0]), torch.tensor([0.6]))
    assert start.variance.flatten().item() == pytest.approx(0.25 * 0.6 * 0.4)
    assert start.factor.flatten().item() == pytest.approx(-0.4) and torch.equal(start.offset, noisy)


def test_noise_is_added_between_substeps_of_the_mean_too() -> None:
    """Ancestral sub-steps with the mean keep the process's own noise unless told otherwise; those of the flow don't."""
    process, noisy = Bridge(0.5), torch.zeros(1, 1, 4)
    mixture = GaussianMixture(torch.zeros(1, 1, 4), torch.ones(1, 1, 1, 4), torch.zeros(1, 1, 4))
    for solver, differs in (("step", True), ("flow", False)):
        passed: list[list[Tensor]] = [[], []]
        for seed, states in enumerate(passed):
            sample_transport(
                lambda *_: mixture, noisy, process, torch.tensor([1.0, 0.0]), substeps=4, solver=solver,
                generator=torch.Generator().manual_seed(seed),
                callback=lambda told, kept=states: kept.append(told["x"]),
            )  # fmt: skip
        assert (not torch.equal(passed[0][1], passed[1][1])) == differs
