"""The stages of a benchmark: enhance every pair, score every file, measure what a system costs; each done once."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from diffgmm import audio, metrics
from diffgmm.evaluation.benchmark.cache import SystemCache, metric_version
from diffgmm.evaluation.benchmark.pairset import PairSet
from diffgmm.evaluation.benchmark.running import Runner, SystemFailed
from diffgmm.evaluation.benchmark.systems import Candidate
from diffgmm.evaluation.evaluate import score_channels
from diffgmm.evaluation.results import Cost, FileScores, PairInfo
from diffgmm.metrics import Score
from diffgmm.utils.cores import usable_cores
from diffgmm.utils.files import sha256_of
from diffgmm.utils.processes import Workers
from diffgmm.utils.provenance import processor

SECONDS, REPEATS, RATE = 12, 3, 16000  # of the excerpt that is timed
_DEATHS = 3  # in a row, after which a system is given up


def enhance_set(
    candidate: Candidate, pairs: PairSet, cache: SystemCache, *, jobs: int, on_pair: Callable[[], object]
) -> dict[str, str]:
    """Enhance what is not yet there, each process with one thread; returns by id what went wrong.

    Args:
        candidate: the system.
        pairs: the set.
        cache: of the system.
        jobs: processes at once.
        on_pair: called for every pair that is there, old or new.
    """
    targets = {pair.id: cache.audio(pair.id, pairs.noisy_sha256[pair.id]) for pair in pairs.info.pairs}
    waiting = [pair for pair in pairs.info.pairs if not targets[pair.id].is_file()]
    for _ in range(len(targets) - len(waiting)):
        on_pair()
    if not waiting:
        return {}
    cache.open()
    (cache.folder / "audio").mkdir(exist_ok=True)
    failures: dict[str, str] = {}
    active: list[Runner] = []
    todo = iter(waiting)  # all threads take from it

    def enhance_pair(runner: Runner, pair: PairInfo) -> None:
        x, info = audio.read(Path(str(pair.noisy)), mono=True)
        try:
            y = runner.enhance(x[0], info.sample_rate)
        except SystemFailed as failed:
            failures[pair.id] = str(failed)
        else:
            audio.write(targets[pair.id], y[None], info.sample_rate, subtype="PCM_16", overwrite=True)
        on_pair()

    def work() -> None:
        deaths, last = 0, ""
        while deaths < _DEATHS:
            with Runner(candidate) as runner:
                active.append(runner)
                if not candidate.is_current():  # its results would be kept under another version's name
                    raise SystemFailed("the source of diffgmm changed meanwhile; start the benchmark again")
                for pair in todo:
                    enhance_pair(runner, pair)
                    if not runner.alive:  # the file that it died of is named; the others get a new process
                        deaths, last = deaths + 1, failures[pair.id]
                        break
                    deaths = 0
                else:
                    return
        raise SystemFailed(last)

    count = max(1, min(jobs, len(waiting) // 4))
    with ThreadPoolExecutor(count) as pool:
        tasks = [pool.submit(work) for _ in range(count)]
        try:
            errors = [error for task in tasks if (error := task.exception())]
        except BaseException:
            waiting.clear()
            for runner in active:
                runner.kill()
            raise
    for error in errors:
        if not isinstance(error, SystemFailed):  # a system's failure is a result; any other error is ours
            raise error
    for id, target in targets.items():
        if errors and not target.is_file():
            failures.setdefault(id, str(errors[0]))
    return failures


def score_file(enhanced: str, clean: str, names: Sequence[str]) -> dict[str, Score]:
    """Scores of one pair of mono files; what cannot be had is NaN with its reason."""
    a, info = audio.read(Path(enhanced), mono=True)
    b, other = audio.read(Path(clean), mono=True)
    if info.sample_rate != other.sample_rate:
        raise audio.AudioError(f"{enhanced}: {info.sample_rate} Hz against {other.sample_rate} Hz of {clean}")
    return score_channels(audio.fit_length(a, b.shape[1]), b, info.sample_rate, names, True, [])


def score_set(
    pairs: PairSet,
    files: Mapping[str, Path],
    cache: SystemCache,
    names: Sequence[str],
    *,
    failures: Mapping[str, str],
    asked: bool,
    jobs: int,
    on_pair: Callable[[], object],
) -> tuple[FileScores, ...]:
    """Score the files of one system; a pair that it could not do has no score, and says why.

    Args:
        pairs: the set.
        files: enhanced file by id.
        cache: of the system.
        names: of metrics.
        failures: why there is no file, by id.
        asked: whether the user named the metrics.
        jobs: processes; 0: in this one.
        on_pair: called after every pair.
    """
    versions = {name: metric_version(name) for name in names}
    sums = {id: (sha256_of(path), pairs.clean_sha256[id]) for id, path in files.items()}
    scores: dict[str, dict[str, Score | None]] = {}
    for pair in (pair for pair in pairs.info.pairs if pair.id in files):
        usual = names if asked else metrics.default_names(pair.sample_rate)  # PESQ goes with the rate
        wanted = [name for name in names if name in usual]
        scores[pair.id] = {name: cache.score(*sums[pair.id], versions[name]) for name in wanted}
    lacking = {id: [name for name, score in known.items() if score is None] for id, known in scores.items()}
    waiting = [pair for pair in pairs.info.pairs if lacking.get(pair.id)]
    for _ in range(len(pairs.info.pairs) - len(waiting)):
        on_pair()
    with Workers(score_file, jobs) as workers:
        for pair in waiting:
            workers.submit(str(files[pair.id]), str(pair.clean), lacking[pair.id])
        for pair, new in zip(waiting, workers.results(), strict=True):
            if isinstance(new, BaseException):
                new = dict.fromkeys(lacking[pair.id], Score(math.nan, f"could not be scored: {new}"))
            for name, score in new.items():
                cache.keep_score(pair.id, *sums[pair.id], name, versions[name], score)
            scores[pair.id] |= new
            on_pair()
    rows = []
    for pair in pairs.info.pairs:
        if pair.id in files:
            known = {name: score for name, score in scores[pair.id].items() if score}
            rows.append(FileScores.of(pair.id, known, str(files[pair.id])))
        else:
            rows.append(FileScores.failed(pair.id, names, failures.get(pair.id, "not enhanced")))
    return tuple(rows)


def excerpt(pairs: PairSet) -> np.ndarray:
    """The first noisy files, one after the other, as 12 s at 16 kHz: float32 ``[samples]``."""
    pieces, length = [], 0
    first = [pair for pair in pairs.info.pairs if pair.id in pairs.info.ids()] or pairs.info.pairs
    for pair in itertools.cycle(first):
        pieces.append(audio.read(Path(str(pair.noisy)), RATE, mono=True)[0][0])
        length += len(pieces[-1])
        if length >= SECONDS * RATE:
            return np.concatenate(pieces)[: SECONDS * RATE].astype(np.float32)
    raise ValueError("a set without pairs")


def measure(candidate: Candidate, cache: SystemCache, x: np.ndarray, timing: str = "auto") -> Cost:
    """Real-time factors with one thread and with all cores, memory with one, and what a model is made of.

    Resampling to the system's rate, reading and writing are not timed, but for a command, which includes starting.
    Each figure is the least of three after a warm-up, in a process that does nothing else.

    Args:
        candidate: the system.
        cache: of the system.
        x: 16 kHz excerpt.
        timing: ``auto`` measures what is not in the cache, ``again`` everything; with ``skip`` it stays unknown.

    Raises:
        SystemFailed: it does not run.
    """
    conditions = {"processor": processor(), "excerpt": hashlib.sha256(x.tobytes()).hexdigest()[:16]}
    timings: dict[int, dict[str, Any]] = {}
    for threads in (1, usable_cores()):
        key = {**conditions, "threads": threads}
        kept = timings.get(threads) or (None if timing == "again" else cache.cost(key))
        if kept is None and timing != "skip":
            with Runner(candidate, threads) as runner:
                kept = runner.time(x, RATE, REPEATS)
            cache.keep_cost(key, kept)
        timings[threads] = kept or {}
    single, all_cores = timings[1], timings[usable_cores()]
    rtf_1, rtf_all = (min(t["seconds"]) * RATE / len(x) if t else None for t in (single, all_cores))
    peak, before = (single.get(name, math.nan) for name in ("peak_mb", "before_mb"))
    grown, most = (None if math.isnan(value) else value for value in (peak - before, peak))
    return Cost(rtf_1, rtf_all, grown, most, single.get("parameters"), single.get("macs_per_s"))
