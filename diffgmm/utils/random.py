"""Random numbers by key: what is drawn for a window depends on its place in the run and on nothing before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def keyed_generator(device: torch.device, *key: int) -> torch.Generator:
    """Random generator on ``device`` whose stream is a hash of ``key`` (not negative) and of nothing else."""
    import torch

    (state,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))


def window_rng(*key: int) -> np.random.Generator:
    """The random generator of one window: counter-based (Philox), its stream a hash of the key."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
