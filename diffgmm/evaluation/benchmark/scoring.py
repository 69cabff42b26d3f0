"""Stage 2 of a benchmark: scores of every enhanced file, in parallel, each computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diffgmm import audio, metrics
from diffgmm.evaluation.benchmark.cache import SystemCache, metric_version
from diffgmm.evaluation.benchmark.pairset import PairSet
from diffgmm.evaluation.results import FileScores, score_or_none
from diffgmm.metrics import Score
from diffgmm.utils.files import sha256_of
from diffgmm.utils.processes import Workers


def default_metrics(rates: Sequence[int]) -> tuple[str, ...]:
    """The metrics for pairs of these rates, in the order of tables."""
    wanted = {name for rate in rates for name in metrics.default_names(rate)}
    return tuple(name for name in metrics.NAMES if name in wanted)


def applies(name: str, sample_rate: int, asked: bool) -> bool:
    """Whether a metric is asked of a pair: by default wide-band PESQ from 16 kHz and narrow-band PESQ below."""
    return asked or not name.startswith("pesq_") or name in metrics.default_names(sample_rate)


def score_file(enhanced: str, clean: str, names: Sequence[str]) -> dict[str, Score]:
    """Scores of one pair of mono files; what cannot be had is NaN with its reason."""
    a, info = audio.read(Path(enhanced), mono=True)
    b, other = audio.read(Path(clean), mono=True)
    if info.sample_rate != other.sample_rate:
        raise audio.AudioError(f"{enhanced}: {info.sample_rate} Hz against {other.sample_rate} Hz of {clean}")
    x, samples = audio.fit_length(a, b.shape[1])[0], b[0]
    scores = {}
    for name in names:
        try:
            scores[name] = metrics.get_metric(name).explain(x, samples, info.sample_rate, resample=True)
        except ValueError as error:  # not defined at this rate
            scores[name] = Score(math.nan, str(error))
    return scores


def score_set(
    pairs: PairSet,
    files: Mapping[str, Path],
    cache: SystemCache,
    names: Sequence[str],
    *,
    asked: bool,
    jobs: int,
    on_pair: Callable[[], object],
) -> tuple[FileScores, ...]:
    """Score the files of one system.

    Args:
        pairs: the set.
        files: enhanced file by id; pairs without one get no scores.
        cache: of the system.
        names: of metrics.
        asked: whether the user named the metrics.
        jobs: processes; 0: in this one.
        on_pair: called after every pair.
    """
    versions = {name: metric_version(name) for name in names}
    sums = {id: sha256_of(path) for id, path in files.items()}
    waiting: list[tuple[str, list[str]]] = []
    with Workers(score_file, jobs) as workers:
        for pair in pairs.info.pairs:
            wanted = [name for name in names if applies(name, pair.sample_rate, asked)]
            if pair.id in files:
                clean = pairs.clean_sha256[pair.id]
                lacking = [n for n in wanted if cache.score(sums[pair.id], clean, versions[n]) is None]
                if lacking:
                    workers.submit(str(files[pair.id]), str(pair.clean), lacking)
                    waiting.append((pair.id, lacking))
                    continue
            on_pair()
        if waiting:
            cache.open()
        for (id, lacking), scores in zip(waiting, workers.results(), strict=True):
            if isinstance(scores, BaseException):
                scores = dict.fromkeys(lacking, Score(math.nan, f"could not be scored: {scores}"))
            for name, score in scores.items():
                clean = pairs.clean_sha256[id]
                cache.keep_score(id, sums[id], clean, name, versions[name], score)
            on_pair()
    rows = []
    for pair in pairs.info.pairs:
        values: dict[str, float | None] = {}
        reasons: dict[str, str] = {}
        for name in names:
            if pair.id not in files or not applies(name, pair.sample_rate, asked):
                continue
            kept = cache.score(sums[pair.id], pairs.clean_sha256[pair.id], versions[name])
            assert kept is not None
            values[name], reason = score_or_none(kept.value, kept.reason)
            if reason:
                reasons[name] = reason
        rows.append(FileScores(pair.id, values, reasons))
    return tuple(rows)
