"""The results as text: one table of the headline subset, one small one a metric for all subsets."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diffgmm.evaluation.results import MetricInfo, Results
from diffgmm.utils.text_table import BOLD, PLAIN, aligned

_BY_SUBSET = ("pesq_wb", "pesq_nb", "si_sdr")


def render(results: Results, subset: str | None = None, *, bold: bool = False) -> str:
    """All tables.

    Args:
        results: what to show.
        subset: of the first table; None: ``main``, or all pairs where there is no such subset.
        bold: mark the best by the terminal's bold face instead of a star.
    """
    ids = results.set.ids(subset)
    name = subset or ("main" if "main" in results.set.subsets else "all")
    parts = [
        f"{results.set.name}, subset {name}: {len(ids)} pairs",
        _headline(results, ids, bold),
    ]
    parts += [_by_subset(results, metric, bold) for metric in results.metrics if metric.name in _BY_SUBSET]
    return "\n".join(part for part in parts if part)


def _headline(results: Results, ids: Sequence[str], bold: bool) -> str:
    columns = [metric for metric in results.metrics if _any_value(results, metric, ids)]
    head = ["system", *(metric.name for metric in columns), "rtf_1", "rtf_all", "MB", "params", "MACs/s", ""]
    marked = {metric.name: _marked(results, metric, ids, bold) for metric in columns}
    rows = [head]
    for i, system in enumerate(results.systems):
        cost = system.cost
        failed = sum(
            all(v is None for v in file.scores.values()) for file in system.files if file.id in set(ids)
        )
        rows.append(
            [
                system.name,
                *(marked[metric.name][i] for metric in columns),
                _number(cost.rtf_1, ".3f"),
                _number(cost.rtf_all, ".3f"),
                _number(cost.peak_memory_mb, ".0f"),
                _large(cost.parameters),
                _large(cost.macs_per_s),
                f"{failed} failed" if failed else "",
            ]
        )
    return "\n".join(aligned(rows, left={0}, rule=True))


def _by_subset(results: Results, metric: MetricInfo, bold: bool) -> str:
    subsets = [name for name in results.set.subsets if _any_value(results, metric, results.set.ids(name))]
    if not subsets or (len(subsets) == 1 and subsets[0] == "main"):
        return ""
    cells = [_marked(results, metric, results.set.ids(name), bold) for name in subsets]
    rows = [["system", *subsets], ["", *(f"n={len(results.set.ids(name))}" for name in subsets)]]
    rows += [[system.name, *(column[i] for column in cells)] for i, system in enumerate(results.systems)]
    unit = f" in {metric.unit}" if metric.unit else ""
    lines = aligned(rows, left={0}, rule=True)
    return "\n".join(["", f"{metric.name}{unit} by subset", *lines])


def _any_value(results: Results, metric: MetricInfo, ids: Sequence[str]) -> bool:
    return any(math.isfinite(x) for system in results.systems for x in system.values(metric.name, ids))


def _marked(results: Results, metric: MetricInfo, ids: Sequence[str], bold: bool) -> list[str]:
    """Means as text, the best but for the input's marked; how many scores a mean is of, where some are missing."""
    digits = 2 if metric.unit else 3
    wanted = set(ids)
    means = [_mean(system.values(metric.name, ids)) for system in results.systems]
    totals = [
        sum(metric.name in file.scores for file in system.files if file.id in wanted)
        for system in results.systems
    ]
    texts = [f"{mean:.{digits}f}" if count else "-" for mean, count in means]
    rivals = [
        system.kind != "noisy" and count > 0
        for system, (_, count) in zip(results.systems, means, strict=True)
    ]
    known = [mean for rival, (mean, _) in zip(rivals, means, strict=True) if rival]
    best = f"{(max if metric.higher_is_better else min)(known, default=math.nan):.{digits}f}"
    cells = []
    for text, rival, total, (_, count) in zip(texts, rivals, totals, means, strict=True):
        mark = text + ("" if bold else " ")
        if rival and text == best:
            mark = f"{BOLD}{text}{PLAIN}" if bold else f"{text}*"
        cells.append(mark + (f" ({count}/{total})" if 0 < count < total else ""))
    return cells


def _mean(values: Sequence[float]) -> tuple[float, int]:
    """Mean of the scores there are, and their number."""
    there = [value for value in values if math.isfinite(value)]
    return (math.fsum(there) / len(there) if there else math.nan), len(there)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _large(value: float | None) -> str:
    if value is None:
        return "-"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"
