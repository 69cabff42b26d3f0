"""From folders of clean and enhanced speech to a table of scores: pair by name, then score each pair.

Nothing is left out silently: a file without counterpart is listed, a pair that cannot be judged has its
``error``, a score that does not exist has its reason, and every mean says how many files it is the mean of.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffgmm import audio, metrics
from diffgmm.metrics import Score
from diffgmm.metrics.workers import Workers
from diffgmm.scores import Row


@dataclass(frozen=True)
class Pair:
    """Files that belong together; ``name`` is their path in their folders, without the ending."""

    name: str
    clean: Path
    enhanced: Path
    noisy: Path | None = None


@dataclass(frozen=True)
class Pairing:
    """The pairs of some folders, and one line for every file that has no counterpart."""

    pairs: tuple[Pair, ...]
    unmatched: tuple[str, ...]


def pair_folders(
    clean: str | os.PathLike[str],
    enhanced: str | os.PathLike[str],
    noisy: str | os.PathLike[str] | None = None,
) -> Pairing:
    """Pair audio files by path within their folders, ending aside: ``a/b.flac`` belongs to ``a/b.wav``.

    Two single files make one pair, whatever their names.

    Raises:
        AudioError: a folder is missing or has no audio files.
    """
    roots = {"clean": Path(clean), "enhanced": Path(enhanced)} | (
        {} if noisy is None else {"noisy": Path(noisy)}
    )
    if all(root.is_file() for root in roots.values()):
        pair = Pair(roots["enhanced"].stem, roots["clean"], roots["enhanced"], roots.get("noisy"))
        return Pairing((pair,), ())
    unmatched: list[str] = []
    found = {kind: _files(root, unmatched) for kind, root in roots.items()}
    pairs = []
    for name in sorted(set().union(*found.values())):
        here = {kind: files[name] for kind, files in found.items() if name in files}
        if "clean" in here and "enhanced" in here:
            pairs.append(Pair(name, here["clean"], here["enhanced"], here.get("noisy")))
        for kind, path in here.items():
            lacks = [other for other in roots if other not in here]
            if kind != "noisy" and lacks:  # a noisy file that nobody enhanced is not missed
                unmatched.append(f"{path}: no file of this name in {roots[lacks[0]]}")
                break
    return Pairing(tuple(pairs), tuple(unmatched))


def _files(root: Path, problems: list[str]) -> dict[str, Path]:
    if not root.is_dir():
        raise audio.AudioError(
            f"{root}: " + ("is a file, give a folder" if root.exists() else "no such folder")
        )
    files: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        within = path.relative_to(root)
        if (
            not audio.is_audio(path)
            or not path.is_file()
            or any(part.startswith(".") for part in within.parts)
        ):
            continue
        name = within.with_suffix("").as_posix()
        if name in files:
            problems.append(f"{path}: same name as {files[name].name}, which is used")
        else:
            files[name] = path
    if not files:
        raise audio.AudioError(f"{root}: no audio files in this folder")
    return files


def evaluate_pair(pair: Pair, names: Sequence[str], resample: bool = False) -> Row:
    """Score one pair; what is wrong with its files ends up in the row's ``errors``.

    Args:
        pair: the files.
        names: of metrics.
        resample: bring other rates to the clean file's, and signals to a rate at which a metric is defined.
    """
    errors: list[str] = []
    try:
        clean, info = audio.read(pair.clean)
        rate = info.sample_rate
        enhanced = _beside(pair.enhanced, clean, rate, resample)
    except audio.AudioError as error:
        return Row(pair.name, errors=(str(error),))
    scores = _scores(enhanced, clean, rate, names, resample, errors)
    noisy: dict[str, Score] = {}
    if pair.noisy is not None:
        try:
            noisy = _scores(_beside(pair.noisy, clean, rate, resample), clean, rate, names, resample, errors)
        except audio.AudioError as error:
            errors.append(str(error))
    samples = min(clean.shape[1], enhanced.shape[1])
    difference = enhanced.shape[1] - clean.shape[1]
    return Row(pair.name, rate, samples / rate, difference, scores, noisy, tuple(dict.fromkeys(errors)))


def _beside(path: Path, clean: np.ndarray, rate: int, resample: bool) -> np.ndarray:
    x, info = audio.read(path)
    if info.sample_rate != rate:
        if not resample:
            raise audio.AudioError(
                f"{path}: {info.sample_rate} Hz against {rate} Hz of the clean file; use --resample"
            )
        x = audio.resample(x, info.sample_rate, rate)
    if len(x) != len(clean):
        raise audio.AudioError(f"{path}: {len(x)} channels against {len(clean)} of the clean file")
    return x


def _scores(
    x: np.ndarray, clean: np.ndarray, rate: int, names: Sequence[str], resample: bool, errors: list[str]
) -> dict[str, Score]:
    """Mean over channels of every metric, on the common length; none if a channel has none."""
    samples = min(x.shape[1], clean.shape[1])
    scores = {}
    for name in names:
        try:
            found = [
                metrics.METRICS[name].explain(a[:samples], b[:samples], rate, resample=resample)
                for a, b in zip(x, clean, strict=True)
            ]
        except ValueError as error:  # not defined at this rate
            errors.append(f"{error} (--resample)" if "resample" in str(error) else str(error))
            scores[name] = Score(math.nan, str(error))
            continue
        reasons = [f"channel {i + 1}: {one.reason}" for i, one in enumerate(found) if one.reason]
        reason = found[0].reason if len(found) == 1 else "; ".join(reasons)
        scores[name] = Score(float(np.mean([one.value for one in found])), reason)
    return scores


def evaluate(
    pairs: Iterable[Pair],
    names: Sequence[str],
    *,
    resample: bool = False,
    jobs: int = 1,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Score all pairs, in their order; the number of processes changes nothing but the time.

    Args:
        pairs: what to score.
        names: of metrics in :data:`diffgmm.metrics.NAMES`.
        resample: see :func:`evaluate_pair`.
        jobs: processes.
        on_row: called with every finished row.

    Raises:
        ValueError: unknown metric.
    """
    unknown = [name for name in names if name not in metrics.METRICS]
    if unknown:
        raise ValueError(f"unknown metric {', '.join(unknown)}; choose from {' '.join(metrics.NAMES)}")
    pairs, rows = list(pairs), []
    with Workers(evaluate_pair, jobs if jobs > 1 else 0) as workers:
        for pair in pairs:
            workers.submit(pair, tuple(names), resample)
        for pair, row in zip(pairs, workers.results(), strict=True):
            if isinstance(row, BrokenProcessPool):
                row = Row(
                    pair.name, errors=(f"{pair.enhanced}: the process that scored it died (out of memory?)",)
                )
            rows.append(row)
            if on_row is not None:
                on_row(row)
    return rows
