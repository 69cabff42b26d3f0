"""A solver of another package, as a reader of the documentation would write one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from diffgmm.diffusion.process import Process
from diffgmm.diffusion.sampler_options import Estimate
from diffgmm.diffusion.samplers import Callback, Posterior


def sample_restart(
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
    """Cold diffusion (Bansal et al., arXiv 2208.09392, algorithm 1): estimate the speech, and degrade it anew."""
    state = noisy
    for t, t_next in pairwise(times.tolist()):
        noise = posterior(state, noisy, torch.full((len(noisy),), t).to(noisy)).mean()
        eps = torch.randn(noisy.shape, generator=generator, device=noisy.device)
        state = process.state(noisy - noise, noise, torch.full((len(noisy),), t_next).to(noisy), eps)
    return state


not_a_function: Callable[..., Any] | None = None
