"""Reverse sampling as pure functions: posterior, noisy end, process and times give clean speech.

Each function is one algorithm. They share their arguments: ``posterior`` (:data:`Posterior`), ``noisy``
``[B, C, *S]``, ``process``, and ``times``, which fall from 1 to 0 (:mod:`diffgmm.diffusion.grids`); ``estimate``, what
a step takes from the mixture; ``step_noise``, whether the process's own noise is added between steps (``None``: as it
measured best, see :class:`~diffgmm.diffusion.sampler_options.SamplerConfig`); ``generator`` makes the result
repeatable; ``callback`` is called after each step with ``x``, ``i``, ``t``, ``t_next`` and ``mixture``. The result is
clean speech ``[B, C, *S]``. A function of another package that takes the arguments of :func:`sample_ancestral` is a
solver too.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from diffgmm.diffusion.grids import grid_for, intervals, sub_grid
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Process, ReverseStep
from diffgmm.diffusion.sampler_options import ESTIMATES, Estimate, SamplerConfig
from diffgmm.utils.errors import one_of

Posterior = Callable[[Tensor, Tensor, Tensor], GaussianMixture]
"""``posterior(state [B, C, *S], noisy [B, C, *S], time [B])``: the mixture of the noise given what is known."""

Callback = Callable[[dict[str, Any]], object]
"""Called after each step with ``x`` (the new state), ``i``, ``t``, ``t_next`` and ``mixture``."""


class Sampler(Protocol):
    """What the solvers of this module and of other packages are."""

    def __call__(
        self,
        posterior: Posterior,
        noisy: Tensor,
        process: Process,
        times: Tensor,
        *,
        estimate: Estimate = "mean",
        step_noise: bool | None = None,
        generator: torch.Generator | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Clean speech ``[B, C, *S]``; one call of ``posterior`` per interval of ``times``."""


def sample_ancestral(
    posterior: Posterior,
    noisy: Tensor,
    process: Process,
    times: Tensor,
    *,
    estimate: Estimate = "mean",
    step_noise: bool | None = None,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Ancestral sampling (Ho et al., arXiv 2006.11239, algorithm 2) with the process's own reverse step.

    It is ancestral in the strict sense with ``sample``; ``mean`` and ``mode`` put a point in the sample's place.
    """
    state, noisily = noisy, _with_noise(step_noise, estimate != "mode")
    for i, (t, t_next) in enumerate(pairwise(intervals(times))):
        mixture = posterior(state, noisy, _filled(noisy, t))
        noise = noise_estimate(mixture, estimate, generator).to(noisy.dtype)
        step = process.reverse(state, noisy, _filled(noisy, t), _filled(noisy, t_next))
        state = _offset(step, state, noisily and t_next > 0.0, generator) + step.factor * noise
        _tell(callback, state, i, t, t_next, mixture)
    return state


def sample_flow(
    posterior: Posterior,
    noisy: Tensor,
    process: Process,
    times: Tensor,
    *,
    estimate: Estimate = "mean",
    step_noise: bool | None = None,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Probability flow in exponential form (Zheng et al., arXiv 2405.15885): deterministic but for the start.

    With ``sample`` the start is drawn at random and the steps take the expected noise, as the flow demands.
    """
    state, noisily = noisy, _with_noise(step_noise, estimate == "sample")
    for i, (t, t_next) in enumerate(pairwise(intervals(times))):
        mixture = posterior(state, noisy, _filled(noisy, t))
        noise = noise_estimate(mixture, _expected(estimate), generator).to(noisy.dtype)
        step = process.flow(state, noisy, _filled(noisy, t), _filled(noisy, t_next))
        state = _offset(step, state, noisily and t_next > 0.0, generator) + step.factor * noise
        _tell(callback, state, i, t, t_next, mixture)
    return state


def sample_heun(
    posterior: Posterior,
    noisy: Tensor,
    process: Process,
    times: Tensor,
    *,
    estimate: Estimate = "mean",
    step_noise: bool | None = None,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
    nfe: int | None = None,
) -> Tensor:
    """Heun's method on the flow (compare Karras et al., arXiv 2206.00364, algorithm 1): the trapezoidal rule.

    A second call at the end of an interval corrects its step; the last one is never corrected, and of the others the
    first ``nfe - intervals`` (``None``: all).

    Raises:
        ValueError: ``nfe`` is not a number of calls that these times allow.
    """
    pairs = list(pairwise(intervals(times)))
    corrected = len(pairs) - 1 if nfe is None else nfe - len(pairs)
    if not 0 <= corrected < len(pairs):
        raise ValueError(f"heun on {len(pairs)} intervals takes {len(pairs)} to {2 * len(pairs) - 1} calls")
    state, noisily, estimate = noisy, _with_noise(step_noise, estimate == "sample"), _expected(estimate)
    for i, (t, t_next) in enumerate(pairs):
        mixture = posterior(state, noisy, _filled(noisy, t))
        noise = noise_estimate(mixture, estimate, generator).to(noisy.dtype)
        step = process.flow(state, noisy, _filled(noisy, t), _filled(noisy, t_next))
        offset = _offset(step, state, noisily and t_next > 0.0, generator)
        state = offset + step.factor * noise
        if i < corrected:
            there = noise_estimate(posterior(state, noisy, _filled(noisy, t_next)), estimate, generator)
            state = offset + step.factor * (0.5 * (noise + there.to(noisy.dtype)))
        _tell(callback, state, i, t, t_next, mixture)
    return state


def sample_transport(
    posterior: Posterior,
    noisy: Tensor,
    process: Process,
    times: Tensor,
    *,
    estimate: Estimate = "mean",
    step_noise: bool | None = None,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
    substeps: int = 8,
    solver: Literal["step", "flow"] = "flow",
) -> Tensor:
    """Closed-form sub-steps (compare Gaussian-mixture flow matching, arXiv 2504.05304) between network calls.

    The mixture is carried along by Bayes' rule on the states (:func:`transport`), ``substeps`` of ``solver`` a call.

    Raises:
        ValueError: the process's states reveal the noise.
    """
    steps = solver == "step"
    noisily = _with_noise(step_noise, estimate == "sample" or (steps and estimate == "mean"))
    state, transition = noisy, process.reverse if steps else process.flow
    taken = estimate if steps else _expected(estimate)
    for i, (start, end) in enumerate(pairwise(intervals(times))):
        mixture = carried = posterior(state, noisy, _filled(noisy, start))
        known = (state, start)
        for t, t_next in pairwise(sub_grid(start, end, substeps)):
            if t != start:
                carried = transport(mixture, process, noisy, known, (state, t))
            noise = noise_estimate(carried, taken, generator).to(noisy.dtype)
            step = transition(state, noisy, _filled(noisy, t), _filled(noisy, t_next))
            state = _offset(step, state, noisily and t_next > 0.0, generator) + step.factor * noise
            _tell(callback, state, i, t, t_next, carried)
    return state


def sample(
    posterior: Posterior,
    noisy: Tensor,
    process: Process,
    config: SamplerConfig,
    *,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """One reverse run by the solver of ``config``; ``samples`` and ``temperature`` are the caller's.

    Raises:
        ValueError: the settings do not go with the process, or name a function that was not imported
            (:meth:`diffgmm.diffusion.sampler_options.SamplerConfig.resolved`).
    """
    check_solver(process, config)
    solver = config.solver
    further: dict[str, Any] = {}
    if solver == "heun":
        function: Sampler = sample_heun
        further = {"nfe": config.nfe}
    elif config.substeps > 1:
        function, further = sample_transport, {"substeps": config.substeps, "solver": solver}
    elif solver in ("step", "flow"):
        function = sample_ancestral if solver == "step" else sample_flow
    elif callable(solver):
        function = solver
    else:
        raise ValueError(f"the solver {solver!r} is not imported: give the function, or a package to trust")
    times = grid_for(config.nfe, solver, config.grid_power)
    return function(
        posterior, noisy, process, times, estimate=config.estimate, step_noise=config.step_noise,
        generator=generator, callback=callback, **further,
    )  # fmt: skip


def noise_estimate(mixture: GaussianMixture, estimate: Estimate, generator: torch.Generator | None) -> Tensor:
    """One noise value ``[B, C, *S]`` from the mixture: ``mean`` (MMSE), ``sample`` or ``mode``.

    Raises:
        ValueError: for another name.
    """
    one_of("estimate", estimate, ESTIMATES)
    if estimate == "mean":
        return mixture.mean()
    return mixture.sample(generator) if estimate == "sample" else mixture.mode()


def transport(
    mixture: GaussianMixture,
    process: Process,
    noisy: Tensor,
    start: tuple[Tensor, float],
    end: tuple[Tensor, float],
) -> GaussianMixture:
    """Carry a posterior from one state to a later one in closed form: q(n | x_t, y) to q(n | x_tau, y).

    Exact for a single position, since a bridge's later state outdates the earlier one. Of the other positions'
    states it learns nothing: that takes the network.

    Args:
        mixture: the posterior at ``start``.
        process: one whose states are observations of the noise.
        noisy: the noisy end, ``[B, C, *S]``.
        start, end: state ``[B, C, *S]`` and time, ``end`` with the smaller time.

    Raises:
        ValueError: for a process whose states reveal the noise.
    """
    before, after = (process.observation(state, noisy, _filled(noisy, time)) for state, time in (start, end))
    if before is None or after is None:
        raise ValueError("only a bridge carries a mixture between states: the blend's reveal the noise")
    return mixture.tilt(after[0] - before[0], after[1] - before[1])


def check_solver(process: Process, config: SamplerConfig) -> None:
    """Refuse sub-steps with a process whose states are no Gaussian observations of the noise.

    Raises:
        ValueError: they do not go together.
    """
    probe = torch.zeros(1, 1, 1)
    if config.substeps > 1 and process.observation(probe, probe, torch.tensor([0.5])) is None:
        raise ValueError("substeps above 1 need a bridge and the solver step or flow")


def _with_noise(step_noise: bool | None, default: bool) -> bool:
    return default if step_noise is None else step_noise


def _expected(estimate: Estimate) -> Estimate:
    return "mean" if estimate == "sample" else estimate


def _filled(noisy: Tensor, time: float) -> Tensor:
    return torch.full((noisy.shape[0],), time, dtype=noisy.dtype, device=noisy.device)


def _offset(step: ReverseStep, state: Tensor, with_noise: bool, generator: torch.Generator | None) -> Tensor:
    """The next state but for the estimate's part."""
    if not with_noise:
        return step.offset
    eps = torch.randn(state.shape, generator=generator, device=state.device, dtype=state.dtype)
    return step.offset + step.variance.sqrt() * eps


def _tell(
    callback: Callback | None, state: Tensor, i: int, t: float, t_next: float, mixture: GaussianMixture
) -> None:
    if callback is not None:
        callback({"x": state, "i": i, "t": t, "t_next": t_next, "mixture": mixture})
