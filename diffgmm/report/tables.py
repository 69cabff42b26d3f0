"""The table of means: best in bold, intervals, counts, and who cannot be told from the best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from diffgmm.evaluation.results import MetricInfo, Results, System
from diffgmm.metrics import statistics
from diffgmm.metrics.statistics import Estimate
from diffgmm.report.groups import digits_of, has_values, large, number

ALPHA = 0.05


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
    cost_names: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]

    @property
    def incomplete(self) -> bool:
        """Whether any mean is of fewer scores than there are files."""
        return any(cell.count for row in self.rows for cell in row.cells)

    @property
    def ties(self) -> bool:
        """Whether any system is tied with the best."""
        return any(cell.tied for row in self.rows for cell in row.cells)

    def cell(self, system: int, metric: str) -> Cell:
        """By the index of the system and the name of the metric."""
        return self.rows[system].cells[[metric.name for metric in self.metrics].index(metric)]


#: Columns of what a system costs: heading, explanation.
COSTS = (
    ("rtf 1", "real-time factor with one thread: seconds of computation per second of audio"),
    ("rtf all", "real-time factor with all cores"),
    ("MB", "memory that it takes over an empty interpreter, in 2^20 bytes"),
    ("params", "numbers in the model"),
    ("MACs/s", "multiply-accumulate operations per second of audio"),
)


def summary(results: Results) -> Table:
    """The table of the headline subset."""
    ids = results.set.ids()
    metrics = tuple(metric for metric in results.metrics if has_values(results, metric, ids))
    columns = [_column(results.systems, metric, ids) for metric in metrics]
    costs = [_costs(system) for system in results.systems]
    shown = [i for i in range(len(COSTS)) if any(cost[i] != number(None, 0) for cost in costs)]
    wanted = set(ids)
    rows = tuple(
        Row(
            system,
            tuple(column[i] for column in columns),
            tuple(costs[i][k] for k in shown),
            sum(
                bool(file.scores) and all(x is None for x in file.scores.values())
                for file in system.files
                if file.id in wanted
            ),
        )
        for i, system in enumerate(results.systems)
    )
    subset = "main" if "main" in results.set.subsets else "all"
    return Table(subset, ids, metrics, tuple(COSTS[k] for k in shown), rows)


def _column(systems: Sequence[System], metric: MetricInfo, ids: Sequence[str]) -> list[Cell]:
    digits = digits_of(metric)
    values = [system.values(metric.name, ids) for system in systems]
    estimates = [statistics.estimate(x) for x in values]
    rivals = [i for i, estimate in enumerate(estimates) if estimate.n_valid and systems[i].kind != "noisy"]
    choose = max if metric.higher_is_better else min
    first = choose(rivals, key=lambda i: estimates[i].mean) if rivals else None
    best = {
        i
        for i in rivals
        if first is not None and _text(estimates[i], digits) == _text(estimates[first], digits)
    }
    tied: set[int] = set()
    if first is not None:
        others = [i for i in rivals if i not in best]
        compared = [
            statistics.compare(values[first], values[i], metric.higher_is_better, resamples=1) for i in others
        ]
        adjusted = statistics.holm([estimate.p for estimate in compared])
        for i, against, p in zip(others, compared, adjusted, strict=True):
            if not p < ALPHA or against.difference * against.effect <= 0:
                tied.add(i)
    cells = []
    for i, estimate in enumerate(estimates):
        plus_minus = (
            f"{number(estimate.low, digits)} to {number(estimate.high, digits)}"
            if estimate.n_valid > 1
            else ""
        )
        count = f"{estimate.n_valid}/{estimate.n_total}" if estimate.n_valid < estimate.n_total else ""
        cells.append(Cell(_text(estimate, digits), plus_minus, i in best, i in tied, count, estimate))
    return cells


def _text(estimate: Estimate, digits: int) -> str:
    return number(estimate.mean if estimate.n_valid else math.nan, digits)


def _costs(system: System) -> tuple[str, ...]:
    cost = system.cost
    return (
        number(cost.rtf_1, 3),
        number(cost.rtf_all, 3),
        number(cost.peak_memory_mb, 0),
        large(cost.parameters),
        large(cost.macs_per_s),
    )


@dataclass(frozen=True)
class Missing:
    """Scores that do not exist, for one reason."""

    system: str
    metric: str
    reason: str
    n: int
    example: str


def missing(results: Results) -> list[Missing]:
    """All of them, over all pairs of the set."""
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], str] = {}
    for system in results.systems:
        for file in system.files:
            for metric, value in file.scores.items():
                if value is None:
                    key = (system.name, metric, file.reasons.get(metric, "no reason was recorded"))
                    counts[key] += 1
                    first.setdefault(key, file.id)
    return [Missing(*key, n, first[key]) for key, n in counts.items()]
