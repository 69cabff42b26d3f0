"""Reverse sampling as pure functions: an answer-function, the noisy end, a process and a grid give clean speech."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Bridge, Process, time_grid
from diffgmm.diffusion.sampler_options import ESTIMATES, SOLVERS, Estimate, Solver

Answer = Callable[[Tensor, Tensor, Tensor], GaussianMixture]
"""``answer(state [B, C, *S], noisy [B, C, *S], time [B])``: the mixture of the noise given what is known."""


class Reversed(NamedTuple):
    """Result of :func:`reverse`: ``clean`` ``[B, C, *S]``, the last mixture, and the states if asked for."""

    clean: Tensor
    mixture: GaussianMixture
    trajectory: list[Tensor] | None


def noise_estimate(mixture: GaussianMixture, estimate: Estimate, generator: torch.Generator | None) -> Tensor:
    """One noise value ``[B, C, *S]`` from the mixture: ``mean`` (MMSE), ``sample`` or ``mode``.

    Raises:
        ValueError: for another name.
    """
    if estimate == "mean":
        return mixture.mean()
    if estimate == "sample":
        return mixture.sample(generator)
    if estimate == "mode":
        return mixture.mode()
    raise ValueError(f"estimate must be one of {', '.join(ESTIMATES)}, got {estimate!r}")


def grid_for(nfe: int, solver: Solver = "step", power: float = 1.0) -> Tensor:
    """Time grid (:func:`diffgmm.diffusion.process.time_grid`) on which ``solver`` makes ``nfe`` network calls.

    ``heun`` calls the network twice in an interval that it corrects: the others get the calls that are left over.
    """
    return time_grid(nfe // 2 + 1 if solver == "heun" and nfe >= 1 else nfe, power)


def sub_grid(time: float, earlier: float, substeps: int) -> list[float]:
    """Times from ``time`` down to ``earlier``, equally spaced in the angle ``arccos(sqrt(t))``.

    In that angle both ends of the bridge are smooth: sigma_t is ``c sin cos`` of it.
    """
    first, last = (math.acos(math.sqrt(t)) for t in (time, earlier))
    inner = [math.cos(first + (last - first) * i / substeps) ** 2 for i in range(1, substeps)]
    return [time, *inner, earlier]


def reverse(
    answer: Answer,
    noisy: Tensor,
    process: Process,
    grid: Tensor,
    *,
    estimate: Estimate = "mean",
    solver: Solver = "step",
    substeps: int = 1,
    calls: int | None = None,
    step_noise: bool | None = None,
    generator: torch.Generator | None = None,
    trajectory: bool = False,
) -> Reversed:
    """Walk from the noisy end to the clean one; the network is called once per interval of the grid (NFE).

    Args:
        answer: see :data:`Answer`.
        noisy: the noisy end, ``[B, C, *S]``.
        process: gives the law of each step.
        grid: decreasing times from 1 to 0, ``[intervals + 1]`` (:func:`grid_for`).
        estimate: what a step takes from the mixture. With ``sample`` on a bridge ``step`` is ancestral sampling; the
            deterministic solvers then draw their start at random, and take the expected noise as the flow demands.
        solver: ``step``: the process's reverse step. ``flow``: the deterministic one with the same marginals.
            ``heun``: ``flow`` to second order, by the trapezoidal rule (Heun; compare Karras et al., arXiv 2206.00364,
            algorithm 1) with a second call at the end of each interval but the last.
        substeps: steps per interval. Between two network calls the mixture is carried along in closed form, by Bayes'
            rule on the states (compare Gaussian-mixture flow matching, arXiv 2504.05304); bridge only, since a state
            of the blend gives the noise away.
        calls: with ``heun``, network calls in all: the first ``calls - intervals`` intervals are corrected.
        step_noise: whether the law's own noise is added between steps; by default only with ``sample``.
        generator: makes the result repeatable.
        trajectory: also return every state, from the noisy end to the clean one.

    Raises:
        ValueError: if the grid does not run from 1 to 0, a name is unknown, or the options contradict each other.
    """
    intervals = len(grid) - 1
    if grid.dim() != 1 or len(grid) < 2 or float(grid[0]) != 1.0 or float(grid[-1]) != 0.0:
        raise ValueError("the time grid must run from 1 to 0")
    check_solver(process, solver, substeps)
    corrected = 0
    if solver == "heun":
        corrected = intervals - 1 if calls is None else calls - intervals
        if not 0 <= corrected < intervals:
            raise ValueError(f"heun on {intervals} intervals takes {intervals} to {2 * intervals - 1} calls")
    add_noise = (estimate == "sample") if step_noise is None else step_noise
    taken: Estimate = "mean" if estimate == "sample" and solver != "step" else estimate
    law = process.reverse if solver == "step" else process.flow
    ones = torch.ones(noisy.shape[0], dtype=noisy.dtype, device=noisy.device)
    state, states = noisy, [noisy]
    for index, (start, end) in enumerate(zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True)):
        mixture = carried = answer(state, noisy, start * ones)
        known, called_at = state, start
        times = sub_grid(start, end, substeps)
        for now, then in pairwise(times):
            if now != called_at:
                carried = transport(mixture, process, noisy, (known, called_at), (state, now))
            noise = noise_estimate(carried, taken, generator).to(noisy.dtype)
            step = law(state, noisy, now * ones, then * ones)
            base = step.offset
            if add_noise and then > 0.0:
                eps = torch.randn(state.shape, generator=generator, device=state.device, dtype=state.dtype)
                base = base + step.variance.sqrt() * eps
            state = base + step.factor * noise
            if index < corrected:
                there = noise_estimate(answer(state, noisy, then * ones), taken, generator).to(noisy.dtype)
                state = base + step.factor * (0.5 * (noise + there))
            if trajectory:
                states.append(state)
    return Reversed(state, mixture, states if trajectory else None)


def transport(
    mixture: GaussianMixture,
    process: Process,
    noisy: Tensor,
    start: tuple[Tensor, float],
    end: tuple[Tensor, float],
) -> GaussianMixture:
    """Carry an answer from one state to a later one in closed form: q(n | x_t, y) to q(n | x_tau, y).

    Exact for a single position, since a bridge's later state outdates the earlier one. Of the other positions'
    states it learns nothing: that takes the network.

    Args:
        mixture: the answer at ``start``.
        process: a bridge.
        noisy: the noisy end, ``[B, C, *S]``.
        start, end: state ``[B, C, *S]`` and time, ``end`` with the smaller time.

    Raises:
        ValueError: for a process whose states give the noise away.
    """
    if not isinstance(process, Bridge):
        raise ValueError("only a bridge carries a mixture between states: the blend's give the noise away")
    observed = [
        process.observation(
            state, noisy, torch.full((noisy.shape[0],), time, dtype=noisy.dtype).to(noisy.device)
        )
        for state, time in (start, end)
    ]
    (precision, information), (later_precision, later_information) = observed
    return mixture.tilt(later_precision - precision, later_information - information)


def check_solver(process: Process, solver: Solver, substeps: int) -> None:
    """Refuse options of :func:`reverse` that contradict each other.

    Raises:
        ValueError: an unknown solver, or sub-steps that do not go with solver or process.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, got {solver!r}")
    if substeps < 1:
        raise ValueError(f"substeps must be at least 1, got {substeps}")
    if substeps > 1 and (solver == "heun" or not isinstance(process, Bridge)):
        raise ValueError("substeps above 1 need a bridge and the solver step or flow")
