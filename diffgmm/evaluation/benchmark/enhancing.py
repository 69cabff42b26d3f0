"""Stage 1 of a benchmark: every system on every pair, what is in the cache left as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from diffgmm import audio
from diffgmm.evaluation.benchmark.cache import SystemCache
from diffgmm.evaluation.benchmark.pairset import PairSet
from diffgmm.evaluation.benchmark.running import Runner, SystemFailed
from diffgmm.evaluation.benchmark.systems import Candidate
from diffgmm.evaluation.results import PairInfo

_DEATHS = 3  # in a row, after which a system is given up


def read_mono(path: str | None) -> tuple[np.ndarray, int]:
    """Samples ``[samples]`` and rate of a mono file.

    Raises:
        AudioError: damaged.
    """
    x, info = audio.read(Path(str(path)), mono=True)
    return x[0], info.sample_rate


def enhance_set(
    candidate: Candidate,
    pairs: PairSet,
    cache: SystemCache,
    *,
    jobs: int,
    on_pair: Callable[[], object],
) -> dict[str, str]:
    """Enhance what is not yet there, each process with one thread; returns by id what went wrong.

    Args:
        candidate: the system.
        pairs: the set.
        cache: of the system.
        jobs: processes at once.
        on_pair: called for every pair that is there, old or new.
    """
    missing: list[PairInfo] = []
    for pair in pairs.info.pairs:
        if cache.audio(pair.id, pairs.noisy_sha256[pair.id]).is_file():
            on_pair()
        else:
            missing.append(pair)
    if not missing:
        return {}
    cache.open()
    (cache.folder / "audio").mkdir(exist_ok=True)
    failures: dict[str, str] = {}
    lock, queue, stop = threading.Lock(), iter(missing), threading.Event()
    active: list[Runner] = []

    def next_pairs() -> Iterator[PairInfo]:
        while not stop.is_set():
            with lock:
                pair = next(queue, None)
            if pair is None:
                return
            yield pair

    def enhance_pair(runner: Runner, pair: PairInfo) -> None:
        x, rate = read_mono(pair.noisy)
        try:
            y = runner.enhance(x, rate)
        except SystemFailed as failed:
            with lock:
                failures[pair.id] = str(failed)
        else:
            target = cache.audio(pair.id, pairs.noisy_sha256[pair.id])
            audio.write(target, y[None], rate, subtype="PCM_16", overwrite=True)
        with lock:
            on_pair()

    def work() -> None:
        todo, deaths, last = next_pairs(), 0, ""
        while deaths < _DEATHS:
            with Runner(candidate) as runner:
                active.append(runner)
                if not candidate.is_current():  # its results would be kept under another version's name
                    raise SystemFailed(
                        "the source of diffgmm changed while the benchmark ran; start it again"
                    )
                for pair in todo:
                    enhance_pair(runner, pair)
                    if not runner.alive:  # the file that it died of is named; the others get a new process
                        deaths, last = deaths + 1, failures[pair.id]
                        break
                    deaths = 0
                else:
                    return
        raise SystemFailed(last)

    count = max(1, min(jobs, len(missing) // 4))
    with ThreadPoolExecutor(count) as pool:
        tasks = [pool.submit(work) for _ in range(count)]
        try:
            problems = [str(error) for task in tasks if (error := _failure(task.exception()))]
        except BaseException:
            stop.set()
            for runner in active:
                runner.kill()
            raise
    for pair in missing:
        if problems and not cache.audio(pair.id, pairs.noisy_sha256[pair.id]).is_file():
            failures.setdefault(pair.id, problems[0])
    return failures


def _failure(error: BaseException | None) -> SystemFailed | None:
    """A system's failure is a result; any other error is ours."""
    if error is not None and not isinstance(error, SystemFailed):
        raise error
    return error
