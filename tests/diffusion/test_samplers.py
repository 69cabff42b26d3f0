"""The reverse process with analytic answers must reproduce the analytic posterior."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from known import cdf, posterior
from torch import Tensor

from diffgmm.diffusion.grids import grid_for, intervals, sub_grid, time_grid
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Blend, Bridge
from diffgmm.diffusion.sampler_options import Estimate
from diffgmm.diffusion.samplers import noise_estimate, sample_ancestral

RUNS = 40000


@pytest.mark.parametrize("nfe", [1, 2, 8])
@pytest.mark.parametrize("c", [0.3, 1.5])
def test_sampling_recovers_the_posterior_on_any_grid(nfe: int, c: float) -> None:
    process = Bridge(c)
    noisy = torch.full((RUNS, 1, 1), 1.2)
    prior = posterior(noisy)

    def answer(state: Tensor, y: Tensor, time: Tensor) -> GaussianMixture:
        precision, information = process.observation(state, y, time)
        return prior.tilt(precision, information)

    clean = sample_ancestral(
        answer,
        noisy,
        process,
        time_grid(nfe),
        estimate="sample",
        generator=torch.Generator().manual_seed(nfe),
    )
    noise = (noisy - clean).flatten()
    mean, variance = prior.mean()[0].item(), prior.variance()[0].item()
    error = (variance / RUNS) ** 0.5
    assert noise.mean().item() == pytest.approx(mean, abs=4 * error)
    assert noise.var().item() == pytest.approx(variance, rel=0.03)
    for level in (-1.0, 0.0, 1.0):  # the whole law, not only its moments
        assert (noise < level).float().mean().item() == pytest.approx(cdf(prior, level)[0].item(), abs=0.012)


def _agreement(answer_is_joint: bool, nfe: int) -> float:
    """Share of runs in which two bins, which the truth ties together, choose the same sign of the noise."""
    process, spread = Bridge(1.0), 0.1
    y = torch.zeros(4000, 2, 1) if answer_is_joint else torch.zeros(4000, 1, 2)

    def answer(state: Tensor, noisy: Tensor, time: Tensor) -> GaussianMixture:
        precision, information = process.observation(state, noisy, time)
        both = information.flatten(1)  # [B, 2]: n is +-(1, 1) plus a little, given two observed bins
        joint = GaussianMixture(
            torch.zeros(4000, 2, 1),
            torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1).expand(4000, 2, 2, 1),
            torch.full((4000, 2, 1), spread).log(),
        ).tilt(precision[..., :1], both.unsqueeze(-1))
        if answer_is_joint:
            return joint
        return GaussianMixture(
            joint.logits.expand(-1, -1, 2),
            joint.means.squeeze(-1).unsqueeze(2),
            joint.log_scales.expand(-1, -1, 2),
        )

    clean = sample_ancestral(
        answer, y, process, time_grid(nfe), estimate="sample", generator=torch.Generator().manual_seed(0)
    )
    n = -clean.flatten(1)
    return (n[:, 0].sign() == n[:, 1].sign()).float().mean().item()


def test_joint_predictions_are_exact_on_any_grid_and_marginal_ones_as_it_is_refined() -> None:
    assert _agreement(True, 1) > 0.999
    assert _agreement(True, 4) > 0.999
    shares = [_agreement(False, nfe) for nfe in (1, 4, 64)]
    assert shares[0] == pytest.approx(0.5, abs=0.03)
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.95


def test_one_mean_step_is_the_mmse_estimate() -> None:
    noisy = torch.full((1, 1, 1), 1.2)
    prior = posterior(noisy)
    for process in (Bridge(), Blend()):
        clean = sample_ancestral(lambda *_: prior, noisy, process, time_grid(1))
        torch.testing.assert_close(clean, noisy - prior.mean())


@pytest.mark.parametrize("t", [0.8, 0.5, 0.2])
def test_a_walk_errs_by_what_its_last_state_tells(t: float) -> None:
    """Sampled down to ``t``, then the mean: right over many walks, each with the error of its random state on top."""
    process, prior = Bridge(1.0), posterior(torch.full((RUNS, 1, 1), 1.2))

    def answer(state: Tensor, y: Tensor, time: Tensor) -> GaussianMixture:
        return prior.tilt(*process.observation(state, y, time))

    y, g = torch.full((RUNS, 1, 1), 1.2), torch.Generator().manual_seed(3)
    states: list[dict] = []
    sample_ancestral(
        answer,
        y,
        process,
        torch.tensor([1.0, t, 0.0]),
        estimate="sample",
        generator=g,
        callback=states.append,
    )
    last = answer(states[0]["x"], y, torch.full((RUNS,), t))
    estimate, truth = last.mean().flatten(), prior.sample(g).flatten()
    variance = prior.variance()[0].item()
    assert estimate.mean().item() == pytest.approx(prior.mean()[0].item(), abs=4 * (variance / RUNS) ** 0.5)
    # The law of total variance says how much the means of the walks differ from one another.
    excess = variance - last.variance().mean().item()
    assert excess > 0.05 * variance and estimate.var().item() == pytest.approx(
        excess, rel=0.04, abs=0.01 * variance
    )
    assert (estimate - truth).square().mean().item() == pytest.approx(variance + excess, rel=0.03)


@pytest.mark.parametrize("process", [Blend(), Bridge()])
@pytest.mark.parametrize("nfe", [1, 3, 7])
def test_the_true_noise_as_prediction_leads_to_clean_speech(process: Blend | Bridge, nfe: int) -> None:
    clean, noise = torch.randn(2, 2, 3, 4), torch.randn(2, 2, 3, 4)
    sure = GaussianMixture(torch.zeros(2, 1, 3, 4), noise.unsqueeze(1), torch.full((2, 1, 3, 4), -20.0))
    for estimate in ("mean", "sample", "mode"):
        steps: list[dict] = []
        reached = sample_ancestral(
            lambda *_: sure, clean + noise, process, time_grid(nfe), estimate=estimate, callback=steps.append
        )
        torch.testing.assert_close(reached, clean, atol=1e-5, rtol=1e-5)
        assert [step["i"] for step in steps] == list(range(nfe)) and torch.equal(steps[-1]["x"], reached)
        assert [step["t"] for step in steps] == time_grid(nfe)[:-1].tolist() and steps[-1]["t_next"] == 0.0


def test_the_generator_decides_the_result() -> None:
    noisy = torch.zeros(1, 1, 50)
    wide = GaussianMixture(torch.zeros(1, 2, 50), torch.randn(1, 2, 1, 50), torch.zeros(1, 2, 50))

    def run(seed: int) -> Tensor:
        g = torch.Generator().manual_seed(seed)
        return sample_ancestral(
            lambda *_: wide, noisy, Bridge(), time_grid(3), estimate="sample", generator=g
        )

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_step_noise_is_a_choice_of_its_own() -> None:
    noisy = torch.zeros(1, 1, 50)
    flat = GaussianMixture(torch.zeros(1, 1, 50), torch.ones(1, 1, 1, 50), torch.zeros(1, 1, 50))
    for step_noise, estimate, noisily in (
        (True, "mode", True), (False, "mean", False), (None, "mean", True), (None, "mode", False),
    ):  # fmt: skip
        steps: list[dict] = []
        sample_ancestral(
            lambda *_: flat,
            noisy,
            Bridge(),
            time_grid(2),
            estimate=estimate,
            step_noise=step_noise,
            callback=steps.append,
        )
        assert (steps[0]["x"].std() > 0.1) == noisily


def test_bad_calls_are_refused() -> None:
    q = GaussianMixture(torch.zeros(1, 1, 2), torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match="estimate must be one of mean, sample, mode"):
        noise_estimate(q, "median", None)  # type: ignore[arg-type]
    for times in ([1.0, 0.5], [0.9, 0.0], [1.0], [1.0, 0.3, 0.6, 0.0], [1.0, 0.5, 0.5, 0.0], [1.2, 0.0]):
        with pytest.raises(ValueError, match="grid must run from 1 to 0"):
            sample_ancestral(lambda *_: q, torch.zeros(1, 1, 2), Bridge(), torch.tensor(times))


@pytest.mark.parametrize("estimate", ["mean", "sample"])
def test_the_last_step_draws_no_noise(estimate: Estimate) -> None:
    """Its law has none. Runs that go on with the generator would otherwise depend on a draw that changes nothing."""
    noisy = torch.zeros(1, 1, 50)
    flat = GaussianMixture(torch.zeros(1, 2, 50), torch.zeros(1, 2, 1, 50), torch.zeros(1, 2, 50))
    used, other = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    sample_ancestral(
        lambda *_: flat, noisy, Bridge(), time_grid(3), estimate=estimate, step_noise=True, generator=used
    )
    for step in range(3):
        if estimate == "sample":
            flat.sample(other)
        if step < 2:
            torch.randn(noisy.shape, generator=other)
    assert torch.equal(used.get_state(), other.get_state())


def test_times_of_the_grids() -> None:
    assert time_grid(4).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert time_grid(4, power=2.0).tolist() == [1.0, 0.5625, 0.25, 0.0625, 0.0]
    assert [len(grid_for(nfe, "heun")) - 1 for nfe in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]
    assert [len(grid_for(nfe, "flow", 2.0)) - 1 for nfe in (1, 2, 3)] == [1, 2, 3]
    # Equal steps of the angle whose squared cosine the time is.
    angles = [math.acos(math.sqrt(time)) for time in sub_grid(1.0, 0.25, 4)]
    assert [b - a for a, b in pairwise(angles)] == pytest.approx([math.pi / 12] * 4)
    with pytest.raises(ValueError, match="without a step back"):
        intervals(torch.tensor([1.0, 0.5, 0.5, 0.0]))
