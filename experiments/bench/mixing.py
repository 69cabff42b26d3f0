"""Windows per second of mixing from pools, for `experiments.bench.data`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from data_modules.mixing.mixer import Mixer
from data_modules.mixing.options import Mixing
from data_modules.noisy_speech import NoisySpeech
from diffgmm.utils.random import window_rng

WINDOW = 16384  # 1.024 s
PLAIN = Mixing(noises=(1.0,), babble=0.0, coloured=0.0, envelope=0.0)


@dataclass(frozen=True)
class Rate:
    """How fast windows come.

    Args:
        per_core: windows per second of processor time; holds beside other work on the machine.
        per_second: windows per second of wall time.
    """

    per_core: float
    per_second: float


def measure(make: Callable[[int], object], seconds: float, repeats: int = 5) -> Rate:
    """Medians over repeats of how often `make` (given a number) can be called."""
    for number in range(3):
        make(number)
    cores, walls = [], []
    number = 3
    for _ in range(repeats):
        start, busy, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < seconds / repeats or count < 3:
            make(number)
            number, count = number + 1, count + 1
        cores.append(count / max(1e-9, time.process_time() - busy))
        walls.append(count / (time.perf_counter() - start))
    return Rate(statistics.median(cores), statistics.median(walls))


def mixing_rates(data: NoisySpeech, seconds: float) -> Iterator[tuple[str, Rate]]:
    """Plain mixing, default mixing and an experiment's full chain, from the pools of `data`."""
    chains: list[tuple[str, Mixing, Any]] = [
        ("plain mixing: one noise", PLAIN, ()),
        ("default mixing: up to 3 noises, babble, generated", Mixing(), ()),
        ("full chain of base_16k.yaml", data.mixing, data.augmentations),
    ]
    for name, mixing, augmentations in chains:
        mixer = Mixer(*data.pools["train"], mixing, augmentations)
        yield name, measure(lambda number, mixer=mixer: mixer.draw(window_rng(1, number), WINDOW), seconds)  # type: ignore[misc]
