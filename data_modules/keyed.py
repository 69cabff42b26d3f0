"""Random numbers by key: what is drawn for a window depends on its place in the run and on nothing before it."""

from __future__ import annotations

import numpy as np


def window_rng(*key: int) -> np.random.Generator:
    """The random generator of one window: counter-based (Philox), its stream a hash of the key."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
