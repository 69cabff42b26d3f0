"""The table of means: best in bold, intervals, counts, and who cannot be told from the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from diffgmm.evaluation.results import MetricInfo, Results, System
from diffgmm.metrics import statistics
from diffgmm.metrics.statistics import Estimate
from diffgmm.report.groups import breakdown, digits_of, has_values, large, leaders
from diffgmm.utils.text_table import BOLD, NONE, PLAIN, aligned, number

ALPHA = 0.05
_BY_SUBSET = ("pesq_wb", "pesq_nb", "si_sdr")


@dataclass(frozen=True)
class Cell:
    """A mean for readers.

    Attributes:
        text: the mean.
        interval: its 95 % interval, empty below two scores.
        best: whether it is the best of the systems (the input does not compete).
        tied: whether the paired test leaves open that the best is better.
        count: ``n_valid/n_total`` where scores are missing, else empty.
        estimate: the numbers.
    """

    text: str
    interval: str
    best: bool
    tied: bool
    count: str
    estimate: Estimate


@dataclass(frozen=True)
class Row:
    """A system of the table."""

    system: System
    cells: tuple[Cell, ...]
    costs: tuple[str, ...]
    failed: int


@dataclass(frozen=True)
class Table:
    """The table of one subset."""

    subset: str
    ids: tuple[str, ...]
    metrics: tuple[MetricInfo, ...]
    cost_names: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def incomplete(self) -> bool:
        """Whether any mean is of fewer scores than there are files."""
        return any(cell.count for row in self.rows for cell in row.cells)

    @property
    def ties(self) -> bool:
        """Whether any system is tied with the best."""
        return any(cell.tied for row in self.rows for cell in row.cells)


#: Columns of what a system costs; the page's template explains them.
COSTS = ("rtf 1", "rtf all", "MB", "params", "MACs/s")


def summary(results: Results) -> Table:
    """The table of the headline subset."""
    ids = results.set.ids()
    metrics = tuple(metric for metric in results.metrics if has_values(results, metric, ids))
    columns = [_column(results.systems, metric, ids) for metric in metrics]
    costs = [_costs(system) for system in results.systems]
    shown = [i for i in range(len(COSTS)) if any(cost[i] != NONE for cost in costs)]
    rows = []
    for i, system in enumerate(results.systems):
        files = [file.scores.values() for file in system.files if file.id in ids]
        failed = sum(bool(scores) and all(x is None for x in scores) for scores in files)
        cells = tuple(column[i] for column in columns)
        rows.append(Row(system, cells, tuple(costs[i][k] for k in shown), failed))
    subset = "main" if "main" in results.set.subsets else "all"
    return Table(subset, ids, metrics, tuple(COSTS[k] for k in shown), tuple(rows))


def _column(systems: Sequence[System], metric: MetricInfo, ids: Sequence[str]) -> list[Cell]:
    digits = digits_of(metric)
    values = [system.values(metric.name, ids) for system in systems]
    estimates = [statistics.estimate(x) for x in values]
    best = leaders(metric, systems, [estimate.mean for estimate in estimates])
    rivals = [i for i, system in enumerate(systems) if estimates[i].n_valid and system.kind != "noisy"]
    others = [i for i in rivals if i not in best]
    rising = metric.higher_is_better
    compared = [statistics.compare(values[best[0]], values[i], rising, resamples=1) for i in others]
    adjusted = statistics.holm([comparison.p for comparison in compared])
    tied = {
        i
        for i, against, p in zip(others, compared, adjusted, strict=True)
        if not p < ALPHA or against.difference * against.effect <= 0
    }
    cells = []
    for i, e in enumerate(estimates):
        interval = f"{number(e.low, digits)} to {number(e.high, digits)}" if e.n_valid > 1 else ""
        count = f"{e.n_valid}/{e.n_total}" if e.n_valid < e.n_total else ""
        cells.append(Cell(number(e.mean, digits), interval, i in best, i in tied, count, e))
    return cells


def _costs(system: System) -> tuple[str, ...]:
    cost = system.cost
    timed = (number(cost.rtf_1, 3), number(cost.rtf_all, 3), number(cost.peak_memory_mb, 0))
    return (*timed, large(cost.parameters), large(cost.macs_per_s))


def missing(results: Results) -> list[dict[str, Any]]:
    """Scores that do not exist, over all pairs of the set: ``system``, ``metric``, ``reason``, ``n``, ``example``."""
    ids: dict[tuple[str, str, str], list[str]] = {}
    for system in results.systems:
        for file in system.files:
            for metric in (metric for metric, value in file.scores.items() if value is None):
                reason = file.reasons.get(metric, "no reason was recorded")
                ids.setdefault((system.name, metric, reason), []).append(file.id)
    return [
        {"system": system, "metric": metric, "reason": reason, "n": len(without), "example": without[0]}
        for (system, metric, reason), without in ids.items()
    ]


def as_text(results: Results, *, bold: bool = False) -> str:
    """The table of means, and a small one a metric for all subsets.

    Args:
        results: what to show.
        bold: mark the best by the terminal's bold face instead of a star.
    """

    def marked(text: str, best: bool, count: str = "") -> str:
        best_text = f"{BOLD}{text}{PLAIN}" if bold else f"{text}*"
        return (best_text if best else text if bold else f"{text} ") + (f" ({count})" if count else "")

    table = summary(results)
    rows = [["system", *(metric.name for metric in table.metrics), *table.cost_names, ""]]
    for row in table.rows:
        cells = [marked(cell.text, cell.best, cell.count) for cell in row.cells]
        rows.append([row.system.name, *cells, *row.costs, f"{row.failed} failed" if row.failed else ""])
    lines = [
        f"{results.set.name}, subset {table.subset}: {len(table.ids)} pairs",
        *aligned(rows, {0}, rule=True),
    ]
    for metric in (metric for metric in results.metrics if metric.name in _BY_SUBSET):
        parts = breakdown(metric, results.set.subsets, results.systems)
        if not parts or [part.name for part in parts] == ["main"]:
            continue
        rows = [["system", *(part.name for part in parts)], ["", *(f"n={part.n}" for part in parts)]]
        for i, system in enumerate(results.systems):
            rows.append([system.name, *(marked(part.texts[i], part.best[i]) for part in parts)])
        unit = f" in {metric.unit}" if metric.unit else ""
        lines += ["", f"{metric.name}{unit} by subset", *aligned(rows, {0}, rule=True)]
    return "\n".join(lines)
