"""Times and states of training, and the options for them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from diffgmm.diffusion.grids import time_grid
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.process import Blend, Bridge, Process
from diffgmm.diffusion.representation import Waveform
from diffgmm.diffusion.sampler_options import SamplerConfig
from diffgmm.diffusion.samplers import sample_ancestral
from diffgmm.networks import UNet
from diffgmm.training.module import DiffGMM
from diffgmm.training.noising import Noising, first_estimate


def model(process: Process | None = None) -> MixtureDenoiser:
    torch.manual_seed(0)
    return MixtureDenoiser(
        Waveform(), UNet([4, 6], [[4], [4]], 4, kernel=[9]), MixtureHead(2, "free"), process or Bridge(0.5)
    )


def waves(batch: int = 6) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    clean = 0.1 * torch.randn(batch, 1, 2000, generator=g)
    return clean + 0.05 * torch.randn(batch, 1, 2000, generator=g), clean


def times(**options: object) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return Noising(p_t1=0.0, **options).times(torch.rand(2, 100_000, generator=g))[0]  # type: ignore[arg-type]


def test_times_have_their_distribution() -> None:
    assert times().mean().item() == pytest.approx(0.5, abs=0.01)
    assert times(time_law="power", time_shape=3.0).mean().item() == pytest.approx(
        3 / 4, abs=0.01
    )  # of u^(1/a)
    logit = times(time_law="logit_normal", time_shape=1.0).logit()
    assert logit.median().item() == pytest.approx(1.0, abs=0.02)
    assert logit.std().item() == pytest.approx(1.0, abs=0.05)
    for options in (
        {},
        {"time_law": "power", "time_shape": 0.2},
        {"time_law": "logit_normal", "time_shape": -3.0},
    ):
        found = times(**options)
        assert found.min() > 0 and found.max() <= 1
    end = Noising(p_t1=0.7).times(torch.rand(2, 100_000))[0]
    assert (end == 1.0).float().mean().item() == pytest.approx(0.7, abs=0.01)


def test_grid_times_are_neighbours_on_the_samplers_grid() -> None:
    grid = time_grid(4, 2.0)
    now, then = Noising(p_t1=0.3, grid_steps=4, grid_power=2.0).times(torch.rand(2, 1000))
    pairs = {(round(a, 5), round(b, 5)) for a, b in zip(now.tolist(), then.tolist(), strict=True)}
    assert pairs == {(round(float(a), 5), round(float(b), 5)) for a, b in pairwise(grid)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p_t1": 1.2}, "p_t1 is a share"),
        ({"self_conditioning": -0.1}, "self_conditioning is a share"),
        ({"time_law": "beta"}, "time_law must be one of uniform, power, logit_normal"),
        ({"time_law": "power", "time_shape": 0.0}, "must be positive"),
        ({"time_law": "power", "grid_steps": 4}, "not from both"),
        ({"time_weight": -1.0}, "must not be negative"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Noising(**options)
    with pytest.raises(ValueError, match=message):
        DiffGMM(**parts(), **options)  # type: ignore[arg-type]


def parts(process: Process | None = None) -> dict:
    built = model(process)
    return {
        "representation": built.representation, "network": built.network, "head": built.head,
        "process": built.process, "losses": {"nll": 1.0},
    }  # fmt: skip


def test_a_sampler_that_could_not_run_is_refused() -> None:
    for options, process, message in (
        ({"substeps": 4}, Blend(), "need a bridge"),
        ({"solver": "heun", "substeps": 4}, Bridge(), "solver step or flow"),
        ({"nfe": 0}, Bridge(), "nfe must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            DiffGMM(**parts(process), sampler=SamplerConfig(**options))  # type: ignore[arg-type]


def test_without_own_estimates_states_are_the_processes() -> None:
    states, built, (noisy, clean) = Noising(p_t1=0.0), model(), waves()
    x = states.inputs(built, noisy, clean, torch.Generator().manual_seed(3), "mean")
    level = x.context.level
    torch.testing.assert_close(x.noise, (noisy - clean) / level)
    eps = (x.state - x.noisy + (1 - x.time.reshape(-1, 1, 1)) * x.noise) / built.process.sigma(
        x.time
    ).reshape(-1, 1, 1)
    assert eps.std().item() == pytest.approx(1.0, abs=0.05)
    validated = Noising(p_t1=0.0, self_conditioning=1.0).inputs(
        built, noisy, clean, torch.Generator().manual_seed(3)
    )
    assert torch.equal(validated.state, x.state)


def test_own_states_of_the_bridge_are_those_of_a_two_step_sampler() -> None:
    states, built, (noisy, clean) = Noising(p_t1=0.0, self_conditioning=1.0), model(), waves()
    x = states.inputs(built, noisy, clean, torch.Generator().manual_seed(3), "mean")
    assert built.training  # the first answer is given in evaluation mode, and leaves no trace
    first = first_estimate(built, x.noisy, "mean", None)
    assert not first.requires_grad and (x.time >= 0.05).all()
    t, process = x.time.reshape(-1, 1, 1), built.process
    eps = (x.state - x.noisy + (1 - t) * first) / process.sigma(x.time).reshape(-1, 1, 1)
    assert eps.std().item() == pytest.approx(1.0, abs=0.05) and eps.mean().abs().item() < 0.02
    torch.testing.assert_close(
        x.noise, (noisy - clean) / x.context.level
    )  # what is asked for stays the true noise


def test_own_states_of_the_blend_ask_for_the_noise_that_is_left() -> None:
    """Whatever the first answer was, the right second one leads a two-step sampler to clean speech."""
    built, (noisy, clean) = model(Blend()).eval(), waves()  # so that norms don't move between the two answers
    states = Noising(p_t1=0.0, self_conditioning=1.0, grid_steps=2)
    x = states.inputs(built, noisy, clean, torch.Generator().manual_seed(3), "mean")
    own = x.time < 1.0
    assert own.any()
    first = first_estimate(built, x.noisy, "mean", None)

    def posterior(state: Tensor, y: Tensor, time: Tensor) -> GaussianMixture:
        value = first if float(time[0]) == 1.0 else x.noise
        shape = value[:, 0].unsqueeze(1).shape
        return GaussianMixture(torch.zeros(shape), value.unsqueeze(1), torch.zeros(shape))

    states: list[Tensor] = []
    sample_ancestral(
        posterior, x.noisy, built.process, time_grid(2), callback=lambda step: states.append(step["x"])
    )
    torch.testing.assert_close(states[0][own], x.state[own], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states[1][own], (clean / x.context.level)[own], atol=1e-5, rtol=1e-5)
    assert x.next_state is not None
    torch.testing.assert_close(x.next_state[own], (clean / x.context.level)[own], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x.noise[~own], ((noisy - clean) / x.context.level)[~own])


def test_time_weights_have_mean_one_and_reach_the_losses() -> None:
    built, (noisy, clean) = model(), waves()
    x = Noising(p_t1=0.0, time_weight=2.0).inputs(built, noisy, clean, torch.Generator().manual_seed(3))
    assert x.weight is not None
    torch.testing.assert_close(x.weight, x.time**2 / (x.time**2).mean())
    from diffgmm.training.losses import LOSSES

    expected = (x.mixture.nll(x.noise).mean(1) * x.weight).mean()
    torch.testing.assert_close(LOSSES["nll"]()(x), expected)
    assert Noising().inputs(built, noisy, clean, torch.Generator()).weight is None


def test_a_checkpoint_brings_back_states_and_sampler(tmp_path) -> None:  # type: ignore[no-untyped-def]
    module = DiffGMM(
        **parts(),
        grid_steps=8,
        self_conditioning=0.5,
        time_weight=1.0,
        sampler=SamplerConfig(nfe=4, solver="flow", substeps=3, grid_power=1.5),
    )
    description = module.description()
    assert description["sampler"] == {
        "nfe": 4, "estimate": "mean", "solver": "flow", "substeps": 3, "grid_power": 1.5,
    }  # fmt: skip
    state = {f"model.{name}": value for name, value in module.model.state_dict().items()}
    description["sampler"]["temperature"] = 1.2  # fitted to weights that training will change
    torch.save({"diffgmm": description, "state_dict": state}, tmp_path / "x.ckpt")
    again = DiffGMM.from_checkpoint(tmp_path / "x.ckpt")
    assert again.noising == module.noising and again.sampler == module.sampler
    del description["states"]  # as written by earlier versions
    description["sampler"] = {"nfe": 1, "estimate": "mean"}
    torch.save({"diffgmm": description, "state_dict": state}, tmp_path / "y.ckpt")
    assert DiffGMM.from_checkpoint(tmp_path / "y.ckpt").noising == Noising()


def test_own_estimates_train_and_do_not_touch_the_statistics_of_norms() -> None:
    built, (noisy, clean) = model(), waves()
    before = {k: v.clone() for k, v in built.named_buffers()}
    with torch.no_grad():
        first_estimate(built, *[waves()[0]] * 1, "sample", torch.Generator().manual_seed(0))
    assert all(torch.equal(v, before[k]) for k, v in built.named_buffers())
    x = Noising(p_t1=0.0, self_conditioning=1.0).inputs(
        built, noisy, clean, torch.Generator().manual_seed(3), "sample"
    )
    x.mixture.nll(x.noise).mean().backward()
    assert all(p.grad is None or math.isfinite(float(p.grad.sum())) for p in built.parameters())
