"""Reverse sampling as pure functions: posterior, noisy end, process and times give clean speech.

Each function is one algorithm. They share their arguments: ``posterior`` (:data:`Posterior`), ``noisy``
``[B, C, *S]``, ``process``, ``times``, which fall from 1 to 0 (:mod:`diffgmm.diffusion.grids`), and :class:`Options` by
keyword. The result is clean speech ``[B, C, *S]``. A function of another package that takes the arguments of
:func:`sample_ancestral` is a solver too.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

import torch
from torch import Tensor

from diffgmm.diffusion.grids import grid_for, intervals, sub_grid
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Process
from diffgmm.diffusion.sampler_options import ESTIMATES, Estimate, SamplerConfig
from diffgmm.utils.errors import one_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

Posterior = Callable[[Tensor, Tensor, Tensor], GaussianMixture]
"""``posterior(state [B, C, *S], noisy [B, C, *S], time [B])``: the mixture of the noise given what is known."""

Placed = tuple[Tensor, float]
"""A state ``[B, C, *S]`` and its time."""

Callback = Callable[[dict[str, Any]], object]
"""Called after each step with ``x`` (the new state), ``i``, ``t``, ``t_next`` and ``mixture``."""


class Options(TypedDict, total=False):
    """What the solvers take by keyword.

    Attributes:
        estimate: what a step takes from the mixture, by default its mean.
        step_noise: whether the process's own noise is added between steps; ``None``, the default: as it measured best
            (see :class:`~diffgmm.diffusion.sampler_options.SamplerConfig`).
        generator: makes the result repeatable.
        callback: called after each step with ``x``, ``i``, ``t``, ``t_next`` and ``mixture``.
    """

    estimate: Estimate
    step_noise: bool | None
    generator: torch.Generator | None
    callback: Callback | None


class Sampler(Protocol):
    """What the solvers of this module and of other packages are."""

    def __call__(
        self, posterior: Posterior, noisy: Tensor, process: Process, times: Tensor, **options: Unpack[Options]
    ) -> Tensor:
        """Clean speech ``[B, C, *S]``; one call of ``posterior`` per interval of ``times``."""


def sample_ancestral(
    posterior: Posterior, noisy: Tensor, process: Process, times: Tensor, **options: Unpack[Options]
) -> Tensor:
    """Ancestral sampling (Ho et al., arXiv 2006.11239, algorithm 2) with the process's own reverse step.

    It is ancestral in the strict sense with ``sample``; ``mean`` and ``mode`` put a point in the sample's place.
    """
    return sample_transport(posterior, noisy, process, times, substeps=1, solver="step", **options)


def sample_flow(
    posterior: Posterior, noisy: Tensor, process: Process, times: Tensor, **options: Unpack[Options]
) -> Tensor:
    """Probability flow in exponential form (Zheng et al., arXiv 2405.15885): deterministic but for the start.

    With ``sample`` the start is drawn at random and the steps take the expected noise, as the flow demands.
    """
    return sample_transport(posterior, noisy, process, times, substeps=1, **options)


def sample_heun(
    posterior: Posterior,
    noisy: Tensor,
    process: Process,
    times: Tensor,
    *,
    nfe: int | None = None,
    **options: Unpack[Options],
) -> Tensor:
    """Heun's method on the flow (compare Karras et al., arXiv 2206.00364, algorithm 1): the trapezoidal rule.

    A second call at the end of an interval corrects its step; the last one is never corrected, and of the others the
    first ``nfe - intervals`` (``None``: all).

    Raises:
        ValueError: ``nfe`` is not a number of calls that these times allow.
    """
    steps = len(intervals(times)) - 1
    corrected = steps - 1 if nfe is None else nfe - steps
    if not 0 <= corrected < steps:
        raise ValueError(f"heun on {steps} intervals takes {steps} to {2 * steps - 1} calls")
    return sample_transport(posterior, noisy, process, times, substeps=1, corrected=corrected, **options)


def sample_transport(
    posterior: Posterior,
    noisy: Tensor,
    process: Process,
    times: Tensor,
    *,
    substeps: int = 8,
    solver: Literal["step", "flow"] = "flow",
    corrected: int = 0,
    estimate: Estimate = "mean",
    step_noise: bool | None = None,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Closed-form sub-steps (compare Gaussian-mixture flow matching, arXiv 2504.05304) between network calls.

    The mixture is carried along by Bayes' rule on the states (:func:`transport`), ``substeps`` of ``solver`` a call.
    With a single one this is the walk of the other solvers; ``corrected`` are the intervals at whose end
    :func:`sample_heun` calls the network again.

    Raises:
        ValueError: the process's states reveal the noise.
    """
    transition = process.reverse if solver == "step" else process.flow
    usual = estimate == "sample" or (estimate == "mean" and solver == "step")
    noisily = usual if step_noise is None else step_noise
    if estimate == "sample" and solver == "flow":
        estimate = "mean"
    state = noisy
    for i, (start, end) in enumerate(pairwise(intervals(times))):
        mixture = carried = posterior(state, noisy, _filled(noisy, start))
        known = (state, start)
        for t, t_next in pairwise(sub_grid(start, end, substeps)):
            if t != start:
                carried = transport(mixture, process, noisy, known, (state, t))
            noise = noise_estimate(carried, estimate, generator).to(noisy.dtype)
            step = transition(state, noisy, _filled(noisy, t), _filled(noisy, t_next))
            offset = step.offset
            if noisily and t_next > 0.0:
                eps = torch.randn(state.shape, generator=generator, device=state.device, dtype=state.dtype)
                offset = offset + step.variance.sqrt() * eps
            state = offset + step.factor * noise
            if i < corrected:
                there = noise_estimate(posterior(state, noisy, _filled(noisy, t_next)), estimate, generator)
                state = offset + step.factor * (0.5 * (noise + there.to(noisy.dtype)))
            if callback is not None:
                callback({"x": state, "i": i, "t": t, "t_next": t_next, "mixture": carried})
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
    if estimate == "sample":
        return mixture.sample(generator)
    if estimate == "mode":
        return mixture.mode()
    return mixture.mean()


def transport(
    mixture: GaussianMixture, process: Process, noisy: Tensor, start: Placed, end: Placed
) -> GaussianMixture:
    """Carry a posterior from one state to a later one in closed form: q(n | x_t, y) to q(n | x_tau, y).

    Exact for a single position, since a bridge's later state outdates the earlier one. Of the other positions'
    states it learns nothing: that takes the network.

    Args:
        mixture: the posterior at ``start``.
        process: one whose states are observations of the noise.
        noisy: the noisy end, ``[B, C, *S]``.
        start, end: states with their times, of which that of ``end`` is smaller.

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


def _filled(noisy: Tensor, time: float) -> Tensor:
    return torch.full((noisy.shape[0],), time, dtype=noisy.dtype, device=noisy.device)
