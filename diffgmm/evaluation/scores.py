"""Scores of an evaluation: rows, the table of files, and the summary that reports are made of."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from diffgmm import metrics
from diffgmm.evaluation import results
from diffgmm.evaluation.pairing import Pair
from diffgmm.metrics import Score, statistics
from diffgmm.metrics.statistics import Comparison, Estimate
from diffgmm.utils import provenance
from diffgmm.utils.files import replacing


@dataclass(frozen=True)
class Row:
    """Result of one pair.

    Attributes:
        name: of the pair.
        sample_rate: at which it was judged (the clean file's), in Hz; 0 if it could not be read.
        seconds: length that was judged.
        length_difference: samples by which the enhanced file is longer than the clean one; the common part
            was judged.
        delay: samples by which the enhanced file lags the clean one, as estimated; 0 if it does not.
        noisy_delay: the same of the noisy file.
        scores: of the enhanced file by metric.
        noisy: of the noisy file by metric, empty without one.
        errors: why the pair or a part of it could not be judged; empty if all went well.
    """

    name: str
    sample_rate: int = 0
    seconds: float = 0.0
    length_difference: int = 0
    delay: int = 0
    noisy_delay: int = 0
    scores: Mapping[str, Score] = field(default_factory=dict)
    noisy: Mapping[str, Score] = field(default_factory=dict)
    errors: tuple[str, ...] = ()


def columns(rows: Sequence[Row], name: str) -> dict[str, list[float]]:
    """Per row a metric's ``enhanced``, ``noisy`` and ``improvement`` (positive is better), NaN for none."""
    none = Score(math.nan)
    enhanced = [row.scores.get(name, none).value for row in rows]
    noisy = [row.noisy.get(name, none).value for row in rows]
    improvement = list(map(metrics.get_metric(name).improvement, noisy, enhanced))
    return {"enhanced": enhanced, "noisy": noisy, "improvement": improvement}


def compared(rows: Sequence[Row], name: str) -> dict[str, list[float]]:
    """:func:`columns` for means that stand beside one another: with noisy files, of the rows with both scores only.

    A system without a score on the hard files would else be set against an input that has them.
    """
    by_kind = columns(rows, name)
    if not any(row.noisy for row in rows):
        return {"enhanced": by_kind["enhanced"]}
    both = [math.isfinite(value) for value in by_kind["improvement"]]
    return {
        kind: [value if there else math.nan for value, there in zip(values, both, strict=True)]
        for kind, values in by_kind.items()
    }


def table(rows: Sequence[Row], names: Sequence[str]) -> tuple[list[str], list[list[str | int | float]]]:
    """Head and one line per pair.

    Columns: ``name``, ``sample_rate``, ``seconds``, ``length_difference``, ``delay``, each metric, with noisy files
    also ``noisy_METRIC`` and ``improvement_METRIC`` (positive is better), then ``error`` and ``note`` (why a score
    is missing). NaN means that there is no score.
    """
    with_noisy = any(row.noisy for row in rows)
    by_name = {name: columns(rows, name) for name in names}
    kinds = ("enhanced", "noisy", "improvement") if with_noisy else ("enhanced",)
    cells = [(kind, name) for kind in kinds for name in names]
    head = [name if kind == "enhanced" else f"{kind}_{name}" for kind, name in cells]
    lines: list[list[str | int | float]] = []
    for i, row in enumerate(rows):
        basics: list[str | int | float] = [
            row.name,
            row.sample_rate,
            row.seconds,
            row.length_difference,
            row.delay,
        ]
        values = [by_name[name][kind][i] for kind, name in cells]
        lines.append([*basics, *values, "; ".join(row.errors), "; ".join(notes(row))])
    return ["name", "sample_rate", "seconds", "length_difference", "delay", *head, "error", "note"], lines


def write_table(path: str | os.PathLike[str], rows: Sequence[Row], names: Sequence[str]) -> None:
    """Write :func:`table` atomically, as CSV or, if the name ends so, Parquet; an existing file is replaced.

    Values are written in full; in CSV ``nan`` means that there is no score.

    Raises:
        ImportError: Parquet without ``diffgmm[parquet]``.
    """
    head, lines = table(rows, names)
    if Path(path).suffix.lower() == ".parquet":
        import pyarrow
        import pyarrow.parquet

        contents = pyarrow.table({name: [line[i] for line in lines] for i, name in enumerate(head)})
        with replacing(path) as part:
            pyarrow.parquet.write_table(contents, part)
        return
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        rate = head.index("sample_rate")
        writer.writerows([*line[:rate], line[rate] or "", *line[rate + 1 :]] for line in lines)


def notes(row: Row) -> list[str]:
    """Why scores of a row are missing, one entry per reason: ``pesq_wb, stoi: estimate is silent``."""
    missing: dict[str, list[str]] = {}
    for label, scores in (("", row.scores), ("noisy ", row.noisy)):
        for name, score in scores.items():
            if not score.valid:
                missing.setdefault(score.reason, []).append(label + name)
    return [f"{', '.join(names)}: {reason}" for reason, names in missing.items()]


VERSION = 1
"""Of the summary's layout."""


def estimates(rows: Sequence[Row], names: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """By metric the ``enhanced`` mean and, where there are noisy files, ``noisy`` and ``improvement``.

    All three are over the rows that have both scores.
    """
    return {
        name: {kind: statistics.estimate(values) for kind, values in compared(rows, name).items()}
        for name in names
    }


def comparisons(rows: Sequence[Row], others: Sequence[Row], names: Sequence[str]) -> dict[str, Comparison]:
    """Paired comparison by metric of the rows with those of another system, matched by name."""
    theirs = {row.name: row for row in others}
    none = Score(math.nan)

    def values(by_name: Mapping[str, Row], name: str) -> list[float]:
        return [
            by_name[row.name].scores.get(name, none).value if row.name in by_name else math.nan
            for row in rows
        ]

    mine = {row.name: row for row in rows}
    directions = {name: metrics.get_metric(name).higher_is_better for name in names}
    return statistics.compare_all(
        {name: values(mine, name) for name in names},
        {name: values(theirs, name) for name in names},
        directions,
    )


def summary(
    rows: Sequence[Row],
    names: Sequence[str],
    unmatched: Sequence[str] = (),
    compared: Mapping[str, Mapping[str, Comparison]] | None = None,
) -> dict[str, Any]:
    """The whole evaluation but the single files, as plain data; what does not exist is ``None``.

    Args:
        rows: of the pairs.
        names: of metrics.
        unmatched: lines about files without counterpart.
        compared: what :func:`comparisons` found, by the name of the other system.
    """
    by_metric_and_kind = estimates(rows, names)
    return _plain(
        {
            "version": VERSION,
            "record": provenance.facts(),
            "bootstrap": {
                "method": "BCa",
                "level": statistics.LEVEL,
                "resamples": statistics.RESAMPLES,
                "seed": statistics.SEED,
            },
            "pairs": len(rows),
            "delayed": {row.name: row.delay for row in rows if row.delay},
            "pairs_with_errors": sum(bool(row.errors) for row in rows),
            "errors": [error for row in rows for error in row.errors],
            "unmatched": list(unmatched),
            "metrics": {
                name: {
                    "unit": metrics.get_metric(name).unit,
                    "higher_is_better": metrics.get_metric(name).higher_is_better,
                    **{kind: asdict(estimate) for kind, estimate in kinds.items()},
                }
                for name, kinds in by_metric_and_kind.items()
            },
            "compared_with": {
                other: {name: asdict(estimate) for name, estimate in by_metric.items()}
                for other, by_metric in (compared or {}).items()
            },
        }
    )


def write_summary(path: str | os.PathLike[str], contents: Mapping[str, Any]) -> None:
    """Write what :func:`summary` gave, atomically, as strict JSON; an existing file is replaced."""
    with replacing(path) as part:
        part.write_text(json.dumps(contents, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def to_results(
    pairs: Sequence[Pair],
    systems: Mapping[str, Sequence[Row]],
    names: Sequence[str],
    folder: Path,
    config: Mapping[str, Any] | None = None,
) -> results.Results:
    """The evaluation in the form that ``diffgmm report`` reads.

    Args:
        pairs: what was scored.
        systems: rows by name of the system, the first one of the pairs themselves, in the same order; noisy files
            become a system of their own.
        names: of metrics.
        folder: where the file will lie; audio below it is named relative to it.
        config: settings to keep.
    """
    first = next(iter(systems.values()))
    record = provenance.facts()
    infos = tuple(
        results.PairInfo(
            pair.name,
            row.sample_rate,
            row.seconds,
            pair.snr if math.isfinite(pair.snr) else None,
            pair.speaker,
            pair.noise,
            _within(pair.clean, folder),
            None if pair.noisy is None else _within(pair.noisy, folder),
        )
        for pair, row in zip(pairs, first, strict=True)
    )
    listed = []
    if any(pair.noisy is not None for pair in pairs):
        files = tuple(
            _file(row.name, row.noisy, names, row.errors, pair.noisy, folder)
            for row, pair in zip(first, pairs, strict=True)
        )
        listed.append(results.System("noisy", "noisy", files=files))
    for number, (name, rows) in enumerate(systems.items()):
        enhanced = {pair.name: pair.enhanced for pair in pairs} if number == 0 else {}
        files = tuple(
            _file(row.name, row.scores, names, row.errors, enhanced.get(row.name), folder) for row in rows
        )
        listed.append(results.System(name, "files", files=files))
    return results.Results(
        "evaluate",
        record["started"],
        tuple(record["command"]),
        results.SetInfo("evaluated files", f"{len(infos)} pairs of files", pairs=infos),
        tuple(listed),
        results.metric_infos(map(metrics.get_metric, names)),
        dict(config or {}),
        record,
    )


def _file(
    name: str,
    scores: Mapping[str, Score],
    names: Sequence[str],
    errors: Sequence[str],
    path: Path | None,
    folder: Path,
) -> results.FileScores:
    values: dict[str, float | None] = {}
    reasons = {}
    missing = Score(math.nan, "; ".join(errors) or "not scored")
    for metric in names:
        score = scores.get(metric, missing)
        values[metric], reason = results.score_or_none(score.value, score.reason)
        if reason:
            reasons[metric] = reason
    return results.FileScores(name, values, reasons, None if path is None else _within(path, folder))


def _within(path: Path, folder: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _plain(value: Any) -> Any:
    """NaN and infinities, which JSON does not have, as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
