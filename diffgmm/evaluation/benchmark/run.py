"""A benchmark from start to end: enhance, score, measure, write."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from diffgmm import metrics
from diffgmm.evaluation.benchmark import BenchmarkError
from diffgmm.evaluation.benchmark.cache import SystemCache, slug
from diffgmm.evaluation.benchmark.pairset import PairSet
from diffgmm.evaluation.benchmark.running import SystemFailed
from diffgmm.evaluation.benchmark.stages import enhance_set, excerpt, measure, score_set
from diffgmm.evaluation.benchmark.systems import Candidate
from diffgmm.evaluation.results import FILE, Results, System, made, write_results
from diffgmm.utils.cores import usable_cores
from diffgmm.utils.errors import complain
from diffgmm.utils.files import replacing

NOISY = "noisy"


@dataclass(frozen=True)
class Outcome:
    """Systems with the paths of their audio, names of the metrics, and in one line each what did not work."""

    systems: tuple[System, ...]
    metrics: tuple[str, ...]
    problems: tuple[str, ...]


def run(
    pairs: PairSet,
    candidates: Sequence[Candidate],
    cache: Path,
    names: Sequence[str] = (),
    jobs: int | None = None,
    timing: str = "auto",
) -> Outcome:
    """Measure all systems; the first row is the unprocessed input. What does not work is named, the run goes on.

    Args:
        pairs: the set.
        candidates: the systems.
        cache: folder where everything is kept.
        names: of metrics; empty for the usual ones.
        jobs: processes for enhancing and scoring; None for all cores.
        timing: ``auto`` measures what is not known yet, ``again`` everything, ``skip`` nothing.

    Raises:
        BenchmarkError: two systems of one name.
        ValueError: unknown metric.
    """
    usual = {name for pair in pairs.info.pairs for name in metrics.default_names(pair.sample_rate)}
    shown = tuple(names) or tuple(name for name in metrics.NAMES if name in usual)
    labels = [NOISY, *(candidate.name for candidate in candidates)]
    if double := [label for label in labels if labels.count(label) > 1]:
        raise BenchmarkError(f"two systems are called {double[0]}; name them NAME=...")
    processes, problems = jobs or usable_cores(), list[str]()

    def bar(step: str, system: str, total: int) -> Any:
        return tqdm(total=total, desc=f"{step} {system}", unit="file", disable=None, leave=False)

    def note(line: str) -> None:
        problems.append(line)
        complain(line)

    def scored(
        system: System, kept: SystemCache, files: Mapping[str, Path], failures: Mapping[str, str]
    ) -> System:
        with bar("score", system.name, len(pairs.info.pairs)) as progress:
            rows = score_set(
                pairs, files, kept, shown, failures=failures, asked=bool(names),
                jobs=processes if processes > 1 else 0, on_pair=progress.update,
            )  # fmt: skip
        return replace(system, files=rows)

    noisy = {pair.id: Path(str(pair.noisy)) for pair in pairs.info.pairs}
    systems = [scored(System(NOISY, NOISY), SystemCache(cache, NOISY, "input", {"kind": NOISY}), noisy, {})]
    sound = excerpt(pairs)
    for candidate in candidates:
        name = candidate.name
        kept = SystemCache(cache, name, candidate.key, candidate.identity)
        with bar("enhance", name, len(pairs.info.pairs)) as progress:
            failures = enhance_set(candidate, pairs, kept, jobs=processes, on_pair=progress.update)
        for reason in dict.fromkeys(failures.values()):
            ids = [id for id, other in failures.items() if other == reason]
            note(f"{name}: {len(ids)} files failed ({ids[0]} ...): {reason}")
        paths = {id: kept.audio(id, digest) for id, digest in pairs.noisy_sha256.items()}
        files = {id: path for id, path in paths.items() if path.is_file()}
        system = scored(System(name, candidate.kind, candidate.settings), kept, files, failures)
        try:
            with bar("time", name, 1):
                system = replace(system, cost=measure(candidate, kept, sound, timing))
        except SystemFailed as failed:
            note(f"{name}: could not be timed: {failed}")
        systems.append(system)
    return Outcome(tuple(systems), shown, tuple(problems))


def write(
    out: Path, pairs: PairSet, outcome: Outcome, *, command: Sequence[str], config: Mapping[str, Any]
) -> Results:
    """Write ``results.json``, ``scores.csv`` and ``audio/SYSTEM/ID.wav`` (links where the file system has them).

    Args:
        out: folder.
        pairs: the set.
        outcome: from :func:`run`.
        command: as typed.
        config: the settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    moved = []
    for system in outcome.systems:
        files = tuple(
            replace(file, audio=_linked(out, system.name, file.id, file.audio)) if file.audio else file
            for file in system.files
        )
        moved.append(replace(system, files=files, audio_dir=f"audio/{slug(system.name)}"))
    described = []
    for pair in pairs.info.pairs:
        clean, noisy = (_linked(out, side, pair.id, str(getattr(pair, side))) for side in ("clean", NOISY))
        described.append(replace(pair, clean=clean, noisy=noisy))
    info = replace(pairs.info, pairs=tuple(described))
    results = made("benchmark", info, moved, outcome.metrics, config, command)
    write_results(out / FILE, results)
    _write_csv(out / "scores.csv", results)
    return results


def _linked(out: Path, system: str, id: str, source: str) -> str:
    """Make ``audio/SYSTEM/ID.ext`` below ``out`` the same as a file, and return that path."""
    place = Path("audio", slug(system), slug(id) + Path(source).suffix)
    target = out / place
    if not (target.is_file() and target.samefile(source)):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            try:
                os.link(source, part)
            except OSError:  # another file system, or one without links
                shutil.copyfile(source, part)
    return place.as_posix()


def _write_csv(path: Path, results: Results) -> None:
    """One line a system and pair, all scores in full; nothing where there is none, with the reason."""
    names = [metric.name for metric in results.metrics]
    about = ("sample_rate", "snr", "speaker", "noise", "subsets")
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        columns = ["system", "id", *about, *names, "reasons", "audio"]
        table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for system in results.systems:
            for pair, row in zip(results.set.pairs, system.files, strict=True):
                subsets = [name for name, ids in results.set.subsets.items() if pair.id in ids]
                reasons = "; ".join(f"{name}: {reason}" for name, reason in row.reasons.items())
                facts = {"system": system.name, "audio": row.audio, "reasons": reasons}
                words = {"noise": " ".join(pair.noise), "subsets": " ".join(subsets)}
                table.writerow({**asdict(pair), **row.scores, **facts, **words})
