"""Noising of training windows: times, states and weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from diffgmm.diffusion.grids import time_grid
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.sampler_options import MOST_STEPS, Estimate, whole_number
from diffgmm.diffusion.samplers import noise_estimate
from diffgmm.training.losses import LossInputs
from diffgmm.utils.errors import one_of

TimeLaw = Literal["uniform", "power", "logit_normal"]
EARLIEST = 1e-3
EARLIEST_OWN = 0.05  # below, the error of the blend's first estimate, divided by t, grows without bound


@dataclass(frozen=True)
class Noising:
    """Draws times and states of training windows.

    Args:
        p_t1: share of windows at t = 1, where one-step denoising happens.
        grid_steps: 0 draws the other times from ``time_law``; N > 0 draws neighbours of the N-step grid, as the
            ``elbo`` loss needs (it averages over the sampler's pairs).
        time_law: of the other times: ``uniform`` in (0, 1), ``power``: ``u ** (1 / time_shape)`` with u uniform,
            ``logit_normal``: the logistic function of a normal number around ``time_shape``.
        time_shape: see there; above 1, or above 0 with ``logit_normal``, leans towards the noisy end.
        time_weight: likelihoods and noise prediction count a window as ``t ** time_weight``, relative to the batch.
        self_conditioning: share of the windows before t = 1 whose state is made from the model's own first estimate,
            given at t = 1 and without gradient, as in sampling, and not from the true noise.
        grid_power: of the grid (:func:`diffgmm.diffusion.grids.time_grid`).

    Raises:
        ValueError: if a number is out of range, a name unknown, or two options contradict each other.
    """

    p_t1: float = 0.5
    grid_steps: int = 0
    time_law: TimeLaw = "uniform"
    time_shape: float = 1.0
    time_weight: float = 0.0
    self_conditioning: float = 0.0
    grid_power: float = 1.0

    def __post_init__(self) -> None:
        for name in ("p_t1", "self_conditioning"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share between 0 and 1, got {getattr(self, name)}")
        if self.time_weight < 0:
            raise ValueError(f"time_weight must not be negative, got {self.time_weight}")
        whole_number("grid_steps", self.grid_steps, 0, MOST_STEPS)
        one_of("time_law", self.time_law, get_args(TimeLaw))
        if self.time_law == "power" and not self.time_shape > 0:
            raise ValueError(f"time_shape of the power distribution must be positive, got {self.time_shape}")
        if self.grid_steps and self.time_law != "uniform":
            raise ValueError("times come from the grid (grid_steps) or from time_law, not from both")

    def description(self) -> dict[str, Any]:
        """Plain data, without what has its default value."""
        return {name: value for name, value in asdict(self).items() if value != getattr(Noising, name)}

    def times(self, draw: Tensor) -> tuple[Tensor, Tensor]:
        """Time and next (earlier) time of each window, ``[B]``, from uniform numbers ``[2, B]``."""
        at_end = draw[0] < self.p_t1
        if self.grid_steps:
            grid = time_grid(self.grid_steps, self.grid_power).to(draw.device)
            index = (draw[1] * self.grid_steps).long().clamp(max=self.grid_steps - 1)
            index = torch.where(at_end, torch.zeros_like(index), index)
            return grid[index], grid[index + 1]
        time = torch.where(at_end, torch.ones_like(draw[1]), self._shaped(draw[1]).clamp(EARLIEST, 1.0))
        return time, torch.zeros_like(time)

    def _shaped(self, uniform: Tensor) -> Tensor:
        if self.time_law == "power":
            return uniform.pow(1.0 / self.time_shape)
        if self.time_law == "logit_normal":
            return torch.sigmoid(self.time_shape + torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6)))
        return uniform

    def inputs(
        self,
        model: MixtureDenoiser,
        noisy_wave: Tensor,
        clean_wave: Tensor,
        generators: torch.Generator | list[torch.Generator],
        estimate: Estimate | None = None,
    ) -> LossInputs:
        """Everything that losses look at.

        Args:
            model: whose prediction is scored.
            noisy_wave, clean_wave: ``[B, 1, T]``.
            generators: one for the batch, or one per window: its draws then do not depend on the others.
            estimate: what self-conditioned states take from the first posterior; ``None``: no self-conditioning, as in
                validation.
        """
        representation, process = model.representation, model.process
        context = representation.context(noisy_wave)
        noisy = representation.encode(noisy_wave, context)
        clean = representation.target(clean_wave, context)
        noise = noisy - clean

        def drawn(draw: Callable[..., Tensor], shape: Sequence[int], axis: int = 0) -> Tensor:
            if isinstance(generators, torch.Generator):
                return draw(shape, generator=generators, device=noisy.device)
            shape = (*shape[:axis], *shape[axis + 1 :])
            return torch.stack([draw(shape, generator=g, device=noisy.device) for g in generators], axis)

        time, t_next = self.times(drawn(torch.rand, (2, noisy.shape[0]), 1))
        eps = drawn(torch.randn, noisy.shape)
        state, target = process.state(clean, noise, time, eps), noise
        if estimate is not None and self.self_conditioning > 0:
            own = drawn(torch.rand, noisy.shape[:1]) < self.self_conditioning
            own = (own & (time < 1.0) & (time >= EARLIEST_OWN)).reshape(-1, *[1] * (noise.dim() - 1))
            if bool(own.any()):
                generator = generators if isinstance(generators, torch.Generator) else None
                believed = first_estimate(model, noisy, estimate, generator)
                state = torch.where(own, process.state(noisy - believed, believed, time, eps), state)
                if not process.conditions_on_noisy:
                    # The blend's state keeps the first estimate's error: x_t = s + t n' defines the noise left.
                    target = torch.where(own, (state - clean) / time.reshape(own.shape), noise)
        next_state = None
        if self.grid_steps:
            step = process.reverse(state, noisy, time, t_next)
            eps = drawn(torch.randn, noisy.shape)
            next_state = step.offset + step.factor * target + step.variance.sqrt() * eps
        weight = time.pow(self.time_weight) if self.time_weight else None
        return LossInputs(
            model.posterior(state, noisy, time), target, noisy, state, next_state, time, t_next, process,
            representation, context, clean_wave, None if weight is None else weight / weight.mean(),
        )  # fmt: skip


@torch.no_grad()
def first_estimate(
    model: MixtureDenoiser, noisy: Tensor, estimate: Estimate, generator: torch.Generator | None
) -> Tensor:
    """What the model, in evaluation mode as in sampling, takes for the noise at t = 1: ``[B, C, *S]``."""
    training = model.training
    model.eval()
    try:
        mixture = model.posterior(noisy, noisy, torch.ones(noisy.shape[0], device=noisy.device))
    finally:
        model.train(training)
    return noise_estimate(mixture, estimate, generator).to(noisy.dtype)
