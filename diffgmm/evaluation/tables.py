"""Tables of ``diffgmm evaluate`` as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from diffgmm import metrics
from diffgmm.evaluation import scores
from diffgmm.evaluation.evaluate import Row
from diffgmm.metrics import statistics
from diffgmm.metrics.statistics import Comparison
from diffgmm.utils import text_table

LINES = 20  # of each kind of complaint; the files have them all


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
        estimates = {kind: statistics.estimate(v) for kind, v in scores.compared(rows, name).items()}
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
        lines.append(
            [name, measure.unit + ("" if measure.higher_is_better else " (lower is better)"), *cells, counts]
        )
    text = text_table.aligned(lines, left=range(2), rule=True)
    if left_out:
        both = "* the means are over the files that have both a noisy and an enhanced score"
        text.append(f"{both}: {', '.join(left_out)}")
    text += _remarks(rows, aligned)
    failed = sum(bool(row.errors) for row in rows)
    text.append(
        f"{len(rows) - failed} of {len(rows)} pairs scored" + (f", {failed} with errors" if failed else "")
    )
    return "\n".join(text)


def _alone(rows: Sequence[Row], name: str, both: int) -> Iterator[str]:
    """How many noisy and enhanced files have a score that their counterpart lacks."""
    for kind in ("noisy", "enhanced"):
        if more := statistics.estimate(scores.columns(rows, name)[kind]).n_valid - both:
            yield f"{more} {kind}"


def _remarks(rows: Sequence[Row], aligned: bool) -> Iterator[str]:
    """Sentences about lengths, delays and missing scores."""
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
            shifted = (
                "shifted back before scoring" if aligned else "scored as they are; --align shifts them back"
            )
            yield (
                f"{len(delays)} of {len(rows)} {kind} files lag their clean ones (most: {row.name}, "
                f"{delay:+d} samples, {1000 * delay / row.sample_rate:+.1f} ms): {shifted}"
            )
    missing = [f"  {row.name}: {note}" for row in rows if not row.errors for note in scores.notes(row)]
    if missing:
        yield "no score, not in the means:"
        yield from missing[:LINES]
        if len(missing) > LINES:
            yield f"  ... and {len(missing) - LINES} more"


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
