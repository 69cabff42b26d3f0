"""What becomes of the rows of an evaluation: columns, tables as text and as CSV, comparisons, the file of results."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffgmm import metrics
from diffgmm.evaluation import results
from diffgmm.evaluation.evaluate import Row
from diffgmm.evaluation.pairing import Pair
from diffgmm.metrics import Score, statistics
from diffgmm.metrics.statistics import Comparison
from diffgmm.utils import text_table
from diffgmm.utils.files import replacing

_NO_SCORE = Score(math.nan)
LINES = 20  # of each kind of complaint; the files have them all


def columns(rows: Sequence[Row], name: str) -> dict[str, list[float]]:
    """Per row a metric's ``enhanced``, ``noisy`` and ``improvement`` (positive is better), NaN for none."""
    enhanced = [row.scores.get(name, _NO_SCORE).value for row in rows]
    noisy = [row.noisy.get(name, _NO_SCORE).value for row in rows]
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


def write_table(path: str | os.PathLike[str], rows: Sequence[Row], names: Sequence[str]) -> None:
    """Write one line per pair as CSV, atomically; an existing file is replaced.

    Columns: ``name``, ``sample_rate``, ``seconds``, ``length_difference``, ``delay``, each metric, with noisy files
    also ``noisy_METRIC`` and ``improvement_METRIC`` (positive is better), then ``error`` and ``note`` (why a score
    is missing). Values are written in full; ``nan`` means that there is no score.
    """
    kinds = ("enhanced", "noisy", "improvement") if any(row.noisy for row in rows) else ("enhanced",)
    heads = {"enhanced": "", "noisy": "noisy_", "improvement": "improvement_"}
    values = {heads[kind] + name: columns(rows, name)[kind] for kind in kinds for name in names}
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        basics = ("name", "sample_rate", "seconds", "length_difference", "delay")
        writer.writerow([*basics, *values, "error", "note"])
        for row, *scores in zip(rows, *values.values(), strict=True):
            about = [row.name, row.sample_rate or "", row.seconds, row.length_difference, row.delay]
            writer.writerow([*about, *scores, "; ".join(row.errors), "; ".join(notes(row))])


def notes(row: Row) -> list[str]:
    """Why scores of a row are missing, one entry per reason: ``pesq_wb, stoi: estimate is silent``."""
    missing: dict[str, list[str]] = {}
    for label, scores in (("", row.scores), ("noisy ", row.noisy)):
        for name, score in scores.items():
            if not score.valid:
                missing.setdefault(score.reason, []).append(label + name)
    return [f"{', '.join(names)}: {reason}" for reason, names in missing.items()]


def comparisons(rows: Sequence[Row], others: Iterable[Row], names: Sequence[str]) -> dict[str, Comparison]:
    """Paired comparison by metric of the rows with those of another system, matched by name."""
    theirs = {row.name: row for row in others}
    matched = [theirs.get(row.name, Row(row.name)) for row in rows]
    mine, other = ({name: columns(side, name)["enhanced"] for name in names} for side in (rows, matched))
    rising = {name: metrics.get_metric(name).higher_is_better for name in names}
    return statistics.compare_all(mine, other, rising)


def render(rows: Sequence[Row], names: Sequence[str], aligned: bool = False) -> str:
    """The table of means and the counts beside it, as text.

    Args:
        rows: of the pairs.
        names: of metrics.
        aligned: whether delays were taken out before scoring.
    """
    kinds = ["noisy", "enhanced", "improvement"] if any(row.noisy for row in rows) else ["enhanced"]
    lines = [["metric", "", *kinds, "95 % interval", "scored"]]
    left_out = []
    for name in names:
        measure = metrics.get_metric(name)
        digits = 2 if measure.unit else 3
        estimates = {kind: statistics.estimate(v) for kind, v in compared(rows, name).items()}
        cells = []
        for kind in kinds:
            estimate, sign = estimates[kind], "+" if kind == "improvement" else ""
            deviation = f" ± {estimate.sd:.{digits}f}" if estimate.n_valid > 1 else ""
            cells.append(f"{estimate.mean:{sign}.{digits}f}{deviation}" if estimate.n_valid else "-")
        enhanced = estimates["enhanced"]
        several = enhanced.n_valid > 1
        cells.append(f"{enhanced.low:.{digits}f} to {enhanced.high:.{digits}f}" if several else "")
        counts = f"{enhanced.n_valid}/{enhanced.n_total}"
        if alone := list(_alone(rows, name, enhanced.n_valid) if len(kinds) > 1 else ()):
            counts += " *"
            left_out.append(f"{name} without {' and '.join(alone)}")
        direction = "" if measure.higher_is_better else " (lower is better)"
        lines.append([name, measure.unit + direction, *cells, counts])
    text = text_table.aligned(lines, left=range(2), rule=True)
    if left_out:
        both = "* the means are over the files that have both a noisy and an enhanced score"
        text.append(f"{both}: {', '.join(left_out)}")
    text += _remarks(rows, aligned)
    failed = sum(bool(row.errors) for row in rows)
    more = f", {failed} with errors" if failed else ""
    return "\n".join([*text, f"{len(rows) - failed} of {len(rows)} pairs scored{more}"])


def _alone(rows: Sequence[Row], name: str, both: int) -> Iterator[str]:
    """How many noisy and enhanced files have a score that their counterpart lacks."""
    for kind in ("noisy", "enhanced"):
        if more := statistics.estimate(columns(rows, name)[kind]).n_valid - both:
            yield f"{more} {kind}"


def _remarks(rows: Sequence[Row], aligned: bool) -> Iterator[str]:
    """Sentences about lengths, delays, missing scores and wrong headers."""
    if differing := [row for row in rows if row.length_difference]:
        most = max(differing, key=lambda row: abs(row.length_difference))
        yield (
            f"{len(differing)} of {len(rows)} pairs differ in length (most: {most.name}, "
            f"{most.length_difference:+d} samples); the common part was scored"
        )
    for kind, delays in (
        ("enhanced", [(row.delay, row) for row in rows if row.delay]),
        ("noisy", [(row.noisy_delay, row) for row in rows if row.noisy_delay]),
    ):
        if delays:
            delay, row = max(delays, key=lambda entry: abs(entry[0]))
            as_is = "scored as they are; --align shifts them back"
            shifted = "shifted back before scoring" if aligned else as_is
            yield (
                f"{len(delays)} of {len(rows)} {kind} files lag their clean ones (most: {row.name}, "
                f"{delay:+d} samples, {1000 * delay / row.sample_rate:+.1f} ms): {shifted}"
            )
    missing = [f"  {row.name}: {note}" for row in rows if not row.errors for note in notes(row)]
    repaired = [f"  {note}" for row in rows for note in row.repaired]
    for title, lines in (("no score, not in the means:", missing), ("put right to read them:", repaired)):
        if lines:
            yield title
            yield from lines[:LINES]
        if len(lines) > LINES:
            yield f"  ... and {len(lines) - LINES} more"


def render_comparison(comparisons: Mapping[str, Comparison], other: str) -> str:
    """The table of paired differences, as text.

    Args:
        comparisons: by metric.
        other: name of the system compared with.
    """
    lines = [["metric", "", "difference", "95 % interval", "effect", "p (Holm)", "pairs", "verdict"]]
    for name, comparison in comparisons.items():
        unit = metrics.get_metric(name).unit
        digits = 2 if unit else 3
        numbers = ["-", "", "-", "-"]
        if comparison.n_pairs:
            interval = f"{comparison.low:+.{digits}f} to {comparison.high:+.{digits}f}"
            p = comparison.p_adjusted
            numbers = [
                f"{comparison.difference:+.{digits}f}", interval if comparison.n_pairs > 1 else "",
                f"{comparison.effect:+.2f}", f"{p:.3f}" if p >= 0.001 else "< 0.001",
            ]  # fmt: skip
        lines.append([name, unit, *numbers, f"{comparison.n_pairs}/{comparison.n_total}", comparison.verdict])
    return "\n".join(
        [
            f"against {other}, pair by pair (positive is better; effect: rank-biserial correlation, -1 to 1;",
            f"p: Wilcoxon's signed-rank test, adjusted for {len(comparisons)} metrics):",
            *text_table.aligned(lines, left=range(2), rule=True),
        ]
    )


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

    def within(path: Path | None) -> str | None:
        if path is None:
            return None
        path, root = path.absolute(), folder.absolute()
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

    def file(row: Row, scores: Mapping[str, Score], path: Path | None) -> results.FileScores:
        missing = Score(math.nan, "; ".join(row.errors) or "not scored")
        by_metric = {name: scores.get(name, missing) for name in names}
        return results.FileScores.of(row.name, by_metric, within(path))

    first = next(iter(systems.values()))
    both = list(zip(pairs, first, strict=True))
    infos = tuple(
        results.PairInfo(
            pair.name, row.sample_rate, row.seconds, pair.snr if math.isfinite(pair.snr) else None, pair.speaker,
            pair.noise, within(pair.clean), within(pair.noisy),
        )
        for pair, row in both
    )  # fmt: skip
    listed = []
    if any(pair.noisy is not None for pair in pairs):
        files = tuple(file(row, row.noisy, pair.noisy) for pair, row in both)
        listed.append(results.System("noisy", "noisy", files=files))
    enhanced = {pair.name: pair.enhanced for pair in pairs}
    for name, rows in systems.items():
        files = tuple(file(row, row.scores, enhanced.get(row.name)) for row in rows)
        listed.append(results.System(name, "files", files=files))
        enhanced = {}  # the paths of other systems' files are not those of the pairs
    described = results.SetInfo("evaluated files", f"{len(infos)} pairs of files", pairs=infos)
    return results.made("evaluate", described, listed, names, config or {})
