"""Tables of ``diffgmm evaluate`` as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diffgmm import metrics
from diffgmm.evaluation import scores
from diffgmm.evaluation.scores import Row
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
    kinds = ["enhanced"]
    if any(row.noisy for row in rows):
        kinds = ["noisy", "enhanced", "improvement"]
    lines = [["metric", "", *kinds, "95 % interval", "scored"]]
    left_out = []
    for name in names:
        unit = metrics.get_metric(name).unit
        digits = 2 if unit else 3
        estimates = {kind: statistics.estimate(v) for kind, v in scores.compared(rows, name).items()}
        cells = []
        for kind in kinds:
            estimate, sign = estimates[kind], "+" if kind == "improvement" else ""
            plus_minus = f" ± {estimate.sd:.{digits}f}" if estimate.n_valid > 1 else ""
            cells.append(f"{estimate.mean:{sign}.{digits}f}{plus_minus}" if estimate.n_valid else "-")
        enhanced = estimates["enhanced"]
        cells.append(
            f"{enhanced.low:.{digits}f} to {enhanced.high:.{digits}f}" if enhanced.n_valid > 1 else ""
        )
        arrow = "" if metrics.get_metric(name).higher_is_better else " (lower is better)"
        counts = f"{estimates['enhanced'].n_valid}/{estimates['enhanced'].n_total}"
        if len(kinds) > 1:
            own = {k: statistics.estimate(v).n_valid for k, v in scores.columns(rows, name).items()}
            alone = {kind: own[kind] - enhanced.n_valid for kind in ("noisy", "enhanced")}
            if any(alone.values()):
                counts += " *"
                left_out.append(
                    f"{name} without {' and '.join(f'{count} {kind}' for kind, count in alone.items() if count)}"
                )
        lines.append([name, unit + arrow, *cells, counts])
    text = text_table.aligned(lines, left=range(2), rule=True)
    if left_out:
        text.append(
            f"* the means are over the files that have both a noisy and an enhanced score: {', '.join(left_out)}"
        )
    differing = [row for row in rows if row.length_difference]
    if differing:
        most = max(differing, key=lambda row: abs(row.length_difference))
        text.append(
            f"{len(differing)} of {len(rows)} pairs differ in length (most: {most.name}, "
            f"{most.length_difference:+d} samples); the common part was scored"
        )
    for kind, delays in (
        ("enhanced", [(row.delay, row) for row in rows if row.delay]),
        ("noisy", [(row.noisy_delay, row) for row in rows if row.noisy_delay]),
    ):
        if delays:
            delay, row = max(delays, key=lambda entry: abs(entry[0]))
            what = (
                "shifted back before scoring" if aligned else "scored as they are; --align shifts them back"
            )
            text.append(
                f"{len(delays)} of {len(rows)} {kind} files lag their clean ones (most: {row.name}, "
                f"{delay:+d} samples, {1000 * delay / row.sample_rate:+.1f} ms): {what}"
            )
    missing = [f"  {row.name}: {note}" for row in rows if not row.errors for note in scores.notes(row)]
    if missing:
        text += ["no score, not in the means:", *missing[:LINES]]
        text += [f"  ... and {len(missing) - LINES} more"] if len(missing) > LINES else []
    failed = sum(bool(row.errors) for row in rows)
    text.append(
        f"{len(rows) - failed} of {len(rows)} pairs scored" + (f", {failed} with errors" if failed else "")
    )
    return "\n".join(line.rstrip() for line in text)


def render_comparison(comparisons: Mapping[str, Comparison], other: str) -> str:
    """The table of paired differences, as text.

    Args:
        found: comparison by metric.
        other: name of the system compared with.
    """
    lines = [["metric", "", "difference", "95 % interval", "effect", "p (Holm)", "pairs", "verdict"]]
    for name, comparison in comparisons.items():
        unit = metrics.get_metric(name).unit
        digits = 2 if unit else 3
        numbers = ["-", "", "-", "-"]
        if comparison.n_pairs:
            plus_minus = (
                f"{comparison.low:+.{digits}f} to {comparison.high:+.{digits}f}"
                if comparison.n_pairs > 1
                else ""
            )
            numbers = [
                f"{comparison.difference:+.{digits}f}",
                plus_minus,
                f"{comparison.effect:+.2f}",
                _p(comparison.p_adjusted),
            ]
        lines.append([name, unit, *numbers, f"{comparison.n_pairs}/{comparison.n_total}", comparison.verdict])
    return "\n".join(
        [
            f"against {other}, pair by pair (positive is better; effect: rank-biserial correlation, -1 to 1;",
            f"p: Wilcoxon's signed-rank test, adjusted for {len(comparisons)} metrics):",
            *text_table.aligned(lines, left=range(2), rule=True),
        ]
    )


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
