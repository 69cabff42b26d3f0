"""A benchmark from start to end: enhance, score, measure, write."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from diffgmm import metrics
from diffgmm.evaluation.benchmark import costs
from diffgmm.evaluation.benchmark.cache import SystemCache, slug
from diffgmm.evaluation.benchmark.enhancing import enhance_set
from diffgmm.evaluation.benchmark.errors import BenchmarkError
from diffgmm.evaluation.benchmark.pairset import PairSet
from diffgmm.evaluation.benchmark.running import SystemFailed, timestamp
from diffgmm.evaluation.benchmark.scoring import default_metrics, score_set
from diffgmm.evaluation.benchmark.systems import Candidate
from diffgmm.evaluation.results import FILE, Cost, FileScores, Results, System, metric_infos, write_results
from diffgmm.utils.files import replacing
from diffgmm.utils.provenance import facts

NOISY = "noisy"


class Progress(Protocol):
    """What is told while a benchmark runs."""

    def __call__(self, step: str, system: str, total: int) -> Callable[[], object]:
        """A system's step of so many parts begins; the result is called after each part."""


@dataclass(frozen=True)
class Options:
    """How a benchmark runs.

    Args:
        metrics: names; empty for the usual ones.
        jobs: processes for enhancing and scoring.
        timing: ``auto`` measures what is not known yet, ``again`` everything, ``skip`` nothing.
        trust: packages that metrics may come from.
    """

    metrics: tuple[str, ...] = ()
    jobs: int = 1
    timing: str = "auto"
    trust: tuple[str, ...] = ()


def run(
    pairs: PairSet,
    candidates: Sequence[Candidate],
    cache: Path,
    options: Options,
    progress: Progress,
    complain: Callable[[str], object],
) -> tuple[list[System], tuple[str, ...]]:
    """Measure all systems; the first row is the unprocessed input.

    Args:
        pairs: the set.
        candidates: the systems.
        cache: folder where everything is kept.
        options: see there.
        progress: see there.
        complain: told in one line what did not work; the run goes on.

    Returns:
        The systems with the paths of their audio, and the names of the metrics.

    Raises:
        BenchmarkError: two systems of one name, unknown metric, or one of a package that is not trusted.
    """
    names = options.metrics or default_metrics([pair.sample_rate for pair in pairs.info.pairs])
    try:
        for name in names:
            metrics.get_metric(name, options.trust)
    except ValueError as error:
        raise BenchmarkError(str(error)) from error
    labels = [NOISY, *(candidate.name for candidate in candidates)]
    double = [label for label in labels if labels.count(label) > 1]
    if double:
        raise BenchmarkError(f"two systems are called {double[0]}; name them NAME=...")
    caches = {candidate.name: SystemCache.of(cache, candidate) for candidate in candidates}
    files = {NOISY: {pair.id: Path(str(pair.noisy)) for pair in pairs.info.pairs}}
    failures: dict[str, dict[str, str]] = {NOISY: {}}
    count = len(pairs.info.pairs)
    for candidate in candidates:
        done = progress("enhance", candidate.name, count)
        failures[candidate.name] = enhance_set(
            candidate, pairs, caches[candidate.name], jobs=options.jobs, on_pair=done
        )
        paths = {id: caches[candidate.name].audio(id, digest) for id, digest in pairs.noisy_sha256.items()}
        files[candidate.name] = {id: path for id, path in paths.items() if path.is_file()}
        for line in _summary(candidate.name, failures[candidate.name]):
            complain(line)
    rows: dict[str, tuple[FileScores, ...]] = {}
    for label in labels:
        kept = caches.get(label) or SystemCache(cache, NOISY, "input", {"kind": NOISY})
        rows[label] = score_set(
            pairs, files[label], kept, names,
            asked=bool(options.metrics), jobs=options.jobs if options.jobs > 1 else 0,
            on_pair=progress("score", label, count),
        )  # fmt: skip
    systems = [System(NOISY, NOISY, files=_located(rows[NOISY], files[NOISY], {}, names))]
    sound = costs.excerpt(pairs)
    for candidate in candidates:
        done = progress("time", candidate.name, 1)
        try:
            cost = costs.measure(
                candidate,
                caches[candidate.name],
                sound,
                again=options.timing == "again",
                fresh=options.timing != "skip",
            )
        except SystemFailed as failed:
            complain(f"{candidate.name}: could not be timed: {failed}")
            cost = Cost()
        done()
        located = _located(rows[candidate.name], files[candidate.name], failures[candidate.name], names)
        systems.append(System(candidate.name, candidate.kind, candidate.settings, cost, located))
    return systems, tuple(names)


def _summary(name: str, failures: Mapping[str, str]) -> list[str]:
    """One line for every kind of failure."""
    reasons: dict[str, list[str]] = {}
    for id, reason in failures.items():
        reasons.setdefault(reason, []).append(id)
    return [f"{name}: {len(ids)} files failed ({ids[0]} ...): {reason}" for reason, ids in reasons.items()]


def _located(
    rows: Sequence[FileScores], files: Mapping[str, Path], failures: Mapping[str, str], names: Sequence[str]
) -> tuple[FileScores, ...]:
    """With the audio's path; a pair that a system could not do has no score, and says why."""
    located = []
    for row in rows:
        if row.id in files:
            located.append(replace(row, audio=str(files[row.id])))
        else:
            why = failures.get(row.id, "not enhanced")
            located.append(FileScores(row.id, dict.fromkeys(names), dict.fromkeys(names, why)))
    return tuple(located)


def write(
    out: Path,
    pairs: PairSet,
    systems: Sequence[System],
    names: Sequence[str],
    *,
    command: Sequence[str],
    config: Mapping[str, Any],
) -> Results:
    """Write ``results.json``, ``scores.csv`` and ``audio/SYSTEM/ID.wav`` (links where the file system has them).

    Args:
        out: folder.
        pairs: the set.
        systems: from :func:`run`.
        names: of metrics.
        command: as typed.
        config: the settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    moved = [_with_audio(out, system) for system in systems]
    info = replace(
        pairs.info,
        pairs=tuple(
            replace(
                pair,
                clean=_linked(out, "clean", pair.id, pair.clean),
                noisy=_linked(out, NOISY, pair.id, pair.noisy),
            )
            for pair in pairs.info.pairs
        ),
    )
    results = Results(
        "benchmark", timestamp(), tuple(command), info, tuple(moved), metric_infos(map(metrics.get_metric, names)),
        config, facts(),
    )  # fmt: skip
    write_results(out / FILE, results)
    _write_csv(out / "scores.csv", results)
    return results


def _with_audio(out: Path, system: System) -> System:
    files = tuple(
        replace(file, audio=_linked(out, system.name, file.id, file.audio)) if file.audio else file
        for file in system.files
    )
    return replace(system, files=files, audio_dir=f"audio/{slug(system.name)}")


def _linked(out: Path, system: str, id: str, source: str | None) -> str:
    """Make ``audio/SYSTEM/ID.ext`` below ``out`` the same as a file, and return that path."""
    assert source is not None
    place = Path("audio", slug(system), slug(id) + Path(source).suffix)
    target = out / place
    if target.is_file() and Path(target).samefile(source):
        return place.as_posix()
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        linked = False
        with suppress(OSError):  # another file system, or one without links
            os.link(source, part)
            linked = True
        if not linked:
            shutil.copyfile(source, part)
    return place.as_posix()


def _write_csv(path: Path, results: Results) -> None:
    """One line a system and pair, all scores in full; nothing where there is none, with the reason."""
    names = [metric.name for metric in results.metrics]
    subsets = {
        pair.id: " ".join(name for name, ids in results.set.subsets.items() if pair.id in set(ids))
        for pair in results.set.pairs
    }
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ["system", "id", "sample_rate", "snr", "speaker", "noise", "subsets", *names, "reasons", "audio"]
        )
        for system in results.systems:
            by_id = {file.id: file for file in system.files}
            for pair in results.set.pairs:
                file_scores = by_id[pair.id]
                values = ["" if (x := file_scores.scores.get(name)) is None else repr(x) for name in names]
                about = [
                    pair.sample_rate,
                    "" if pair.snr is None else pair.snr,
                    pair.speaker,
                    " ".join(pair.noise),
                ]
                why = "; ".join(f"{name}: {reason}" for name, reason in file_scores.reasons.items())
                table.writerow(
                    [system.name, pair.id, *about, subsets[pair.id], *values, why, file_scores.audio or ""]
                )
