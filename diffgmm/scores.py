"""The table of scores that an evaluation fills: rows, summaries, the file."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diffgmm import metrics
from diffgmm.audio import replacing
from diffgmm.metrics import Score


@dataclass(frozen=True)
class Row:
    """Result of one pair.

    Attributes:
        name: of the pair.
        sample_rate: at which it was judged (the clean file's), in Hz; 0 if it could not be read.
        seconds: length that was judged.
        length_difference: samples by which the enhanced file is longer than the clean one; the common part
            was judged.
        scores: of the enhanced file by metric.
        noisy: of the noisy file by metric, empty without one.
        errors: why the pair or a part of it could not be judged; empty if all went well.
    """

    name: str
    sample_rate: int = 0
    seconds: float = 0.0
    length_difference: int = 0
    scores: Mapping[str, Score] = field(default_factory=dict)
    noisy: Mapping[str, Score] = field(default_factory=dict)
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation of the ``n_valid`` finite among ``n_total`` scores; NaN if too few."""

    mean: float
    std: float
    n_valid: int
    n_total: int


def summarise(values: Sequence[float]) -> Summary:
    """Mean and standard deviation of the finite values.

    >>> summarise([1.0, 3.0, float("nan")])
    Summary(mean=2.0, std=1.4142135623730951, n_valid=2, n_total=3)
    """
    finite = np.array([value for value in values if math.isfinite(value)])
    mean = float(finite.mean()) if finite.size else math.nan
    std = float(finite.std(ddof=1)) if finite.size > 1 else math.nan
    return Summary(mean, std, finite.size, len(values))


def columns(rows: Sequence[Row], name: str) -> dict[str, list[float]]:
    """Per row a metric's ``enhanced``, ``noisy`` and ``improvement`` (positive is better), NaN for none."""
    none = Score(math.nan)
    enhanced = [row.scores.get(name, none).value for row in rows]
    noisy = [row.noisy.get(name, none).value for row in rows]
    improvement = list(map(metrics.METRICS[name].improvement, noisy, enhanced))
    return {"enhanced": enhanced, "noisy": noisy, "improvement": improvement}


def table(rows: Sequence[Row], names: Sequence[str]) -> tuple[list[str], list[list[str | int | float]]]:
    """Head and one line per pair.

    Columns: ``name``, ``sample_rate``, ``seconds``, ``length_difference``, each metric, with noisy files also
    ``noisy_METRIC`` and ``improvement_METRIC`` (positive is better), then ``error`` and ``note`` (why a score
    is missing). NaN means that there is no score.
    """
    with_noisy = any(row.noisy for row in rows)
    found = {name: columns(rows, name) for name in names}
    kinds = ("enhanced", "noisy", "improvement") if with_noisy else ("enhanced",)
    cells = [(kind, name) for kind in kinds for name in names]
    head = [name if kind == "enhanced" else f"{kind}_{name}" for kind, name in cells]
    lines: list[list[str | int | float]] = []
    for i, row in enumerate(rows):
        basics: list[str | int | float] = [row.name, row.sample_rate, row.seconds, row.length_difference]
        values = [found[name][kind][i] for kind, name in cells]
        lines.append([*basics, *values, "; ".join(row.errors), "; ".join(notes(row))])
    return ["name", "sample_rate", "seconds", "length_difference", *head, "error", "note"], lines


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

        whole = pyarrow.table({name: [line[i] for line in lines] for i, name in enumerate(head)})
        with replacing(path) as part:
            pyarrow.parquet.write_table(whole, part)
        return
    with replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
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
