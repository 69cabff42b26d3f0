"""Reverse sampling as pure functions: an answer-function, the noisy end, a process and a grid give clean speech."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffgmm.mixture import GaussianMixture
from diffgmm.process import Process

Answer = Callable[[Tensor, Tensor, Tensor], GaussianMixture]
"""``answer(state [B, C, *S], noisy [B, C, *S], time [B])``: the mixture of the noise given what is known."""

Estimate = Literal["mean", "sample", "mode"]
ESTIMATES: tuple[Estimate, ...] = ("mean", "sample", "mode")


class Reversed(NamedTuple):
    """Result of :func:`reverse`: ``clean`` ``[B, C, *S]``, the last mixture, and the states if asked for."""

    clean: Tensor
    mixture: GaussianMixture
    trajectory: list[Tensor] | None


def keyed_generator(device: torch.device, *key: int) -> torch.Generator:
    """Random generator on ``device`` whose stream is a hash of ``key`` (not negative) and of nothing else."""
    (state,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))


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


def reverse(
    answer: Answer,
    noisy: Tensor,
    process: Process,
    grid: Tensor,
    *,
    estimate: Estimate = "mean",
    step_noise: bool | None = None,
    generator: torch.Generator | None = None,
    trajectory: bool = False,
) -> Reversed:
    """Walk from the noisy end to the clean one; the network is called ``len(grid) - 1`` times (NFE).

    Args:
        answer: see :data:`Answer`.
        noisy: the noisy end, ``[B, C, *S]``.
        process: gives the law of each step.
        grid: decreasing times from 1 to 0, ``[nfe + 1]`` (:func:`diffgmm.process.time_grid`).
        estimate: what a step takes from the mixture. With ``sample`` on a bridge this is ancestral sampling.
        step_noise: whether the bridge's own noise is added between steps; by default only with ``sample``.
        generator: makes the result repeatable.
        trajectory: also return every state, from the noisy end to the clean one.

    Raises:
        ValueError: if the grid does not run from 1 to 0, or ``estimate`` is unknown.
    """
    if grid.dim() != 1 or len(grid) < 2 or float(grid[0]) != 1.0 or float(grid[-1]) != 0.0:
        raise ValueError("the time grid must run from 1 to 0")
    add_noise = (estimate == "sample") if step_noise is None else step_noise
    state, states = noisy, [noisy]
    ones = torch.ones(noisy.shape[0], dtype=noisy.dtype, device=noisy.device)
    for now, then in zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True):
        mixture = answer(state, noisy, now * ones)
        noise = noise_estimate(mixture, estimate, generator).to(noisy.dtype)
        step = process.reverse(state, noisy, now * ones, then * ones)
        state = step.offset + step.factor * noise
        if add_noise and then > 0.0:
            eps = torch.randn(state.shape, generator=generator, device=state.device, dtype=state.dtype)
            state = state + step.variance.sqrt() * eps
        if trajectory:
            states.append(state)
    return Reversed(state, mixture, states if trajectory else None)
