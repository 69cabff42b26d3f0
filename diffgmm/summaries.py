"""What an evaluation found, as plain data: a summary for people, and the file that reports are made of."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffgmm import metrics, provenance, results, scores, statistics
from diffgmm.audio import replacing
from diffgmm.metrics import Score
from diffgmm.pairing import Pair
from diffgmm.scores import Row
from diffgmm.statistics import Comparison, Estimate

VERSION = 1
"""Of the summary's layout."""


def estimates(rows: Sequence[Row], names: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """By metric the ``enhanced`` mean and, where there are noisy files, ``noisy`` and ``improvement``."""
    kinds = ("enhanced", "noisy", "improvement") if any(row.noisy for row in rows) else ("enhanced",)
    return {
        name: {kind: statistics.estimate(scores.columns(rows, name)[kind]) for kind in kinds}
        for name in names
    }


def comparisons(rows: Sequence[Row], others: Sequence[Row], names: Sequence[str]) -> dict[str, Comparison]:
    """Paired comparison by metric of the rows with those of another system, matched by name."""
    theirs = {row.name: row for row in others}
    none = Score(math.nan)

    def values(found: Mapping[str, Row], name: str) -> list[float]:
        return [
            found[row.name].scores.get(name, none).value if row.name in found else math.nan for row in rows
        ]

    mine = {row.name: row for row in rows}
    directions = {name: metrics.METRICS[name].higher_is_better for name in names}
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
    found = estimates(rows, names)
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
            "pairs_with_errors": sum(bool(row.errors) for row in rows),
            "errors": [error for row in rows for error in row.errors],
            "unmatched": list(unmatched),
            "metrics": {
                name: {
                    "unit": metrics.METRICS[name].unit,
                    "higher_is_better": metrics.METRICS[name].higher_is_better,
                    **{kind: asdict(one) for kind, one in kinds.items()},
                }
                for name, kinds in found.items()
            },
            "compared_with": {
                other: {name: asdict(one) for name, one in by_metric.items()}
                for other, by_metric in (compared or {}).items()
            },
        }
    )


def write_summary(path: str | os.PathLike[str], found: Mapping[str, Any]) -> None:
    """Write what :func:`summary` gave, atomically, as strict JSON; an existing file is replaced."""
    with replacing(path) as part:
        part.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")


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
        results.metric_infos(names, metrics.METRICS),
        dict(config or {}),
        record,
    )


def _file(
    name: str,
    found: Mapping[str, Score],
    names: Sequence[str],
    errors: Sequence[str],
    path: Path | None,
    folder: Path,
) -> results.FileScores:
    values: dict[str, float | None] = {}
    reasons = {}
    missing = Score(math.nan, "; ".join(errors) or "not scored")
    for metric in names:
        one = found.get(metric, missing)
        values[metric], reason = results.score_or_none(one.value, one.reason)
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
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
