"""Stage 3 of a benchmark: what a system costs, measured one system at a time with nothing else of ours running."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from diffgmm import audio
from diffgmm.evaluation.benchmark.cache import SystemCache
from diffgmm.evaluation.benchmark.enhancing import read_mono
from diffgmm.evaluation.benchmark.pairset import PairSet
from diffgmm.evaluation.benchmark.running import Runner
from diffgmm.evaluation.benchmark.systems import Candidate
from diffgmm.evaluation.results import Cost
from diffgmm.utils.cores import usable_cores
from diffgmm.utils.provenance import processor

SECONDS, REPEATS, RATE = 12, 3, 16000


def excerpt(pairs: PairSet) -> np.ndarray:
    """The first noisy files, one after the other, as 12 s at 16 kHz: float32 ``[samples]``."""
    pieces, have = [], 0
    first = [pair for pair in pairs.info.pairs if pair.id in pairs.info.ids()] or list(pairs.info.pairs)
    while have < SECONDS * RATE:
        for pair in first:
            x, rate = read_mono(pair.noisy)
            pieces.append(audio.resample(x, rate, RATE))
            have += len(pieces[-1])
            if have >= SECONDS * RATE:
                break
    return np.concatenate(pieces)[: SECONDS * RATE].astype(np.float32)


def measure(
    candidate: Candidate, cache: SystemCache, x: np.ndarray, *, again: bool = False, fresh: bool = True
) -> Cost:
    """Real-time factors with one thread and with all cores, memory with one, and what a model is made of.

    Resampling to the system's rate, reading and writing are not timed, but for a command, which includes starting.
    Each figure is the least of three after a warm-up, in a process that does nothing else.

    Args:
        candidate: the system.
        cache: of the system.
        x: 16 kHz excerpt.
        again: measure also what is in the cache.
        fresh: measure what is not in the cache; else it stays unknown.

    Raises:
        SystemFailed: it does not run.
    """
    conditions = {"processor": processor(), "excerpt": hashlib.sha256(x.tobytes()).hexdigest()[:16]}
    timings: dict[int, dict[str, Any]] = {}
    cores = usable_cores()
    for threads in dict.fromkeys((1, cores)):
        key = {**conditions, "threads": threads}
        kept = None if again else cache.cost(key)
        if kept is None and (fresh or again):
            with Runner(candidate, threads) as runner:
                kept = {**runner.time(x, RATE, REPEATS), **(runner.count(x, RATE) if threads == 1 else {})}
            cache.open()
            cache.keep_cost(key, kept)
        if kept is not None:
            timings[threads] = kept
    single, all_ = timings.get(1, {}), timings.get(cores, {})

    def rtf(timing: dict[str, Any]) -> float | None:
        return min(timing["seconds"]) * RATE / len(x) if timing else None

    peak = single.get("peak_mb", math.nan)
    grown = peak - single.get("before_mb", math.nan)
    macs = single.get("macs_per_s")
    return Cost(
        rtf(single),
        rtf(all_),
        None if math.isnan(grown) else grown,
        None if math.isnan(peak) else peak,
        single.get("parameters"),
        None if macs is None else float(macs),
    )
