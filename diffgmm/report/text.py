"""The tables of a report as aligned text, for a terminal."""

from __future__ import annotations

from diffgmm.evaluation.results import Results
from diffgmm.report import groups, tables
from diffgmm.utils.text_table import BOLD, PLAIN, aligned

_BY_SUBSET = ("pesq_wb", "pesq_nb", "si_sdr")


def render(results: Results, *, bold: bool = False) -> str:
    """The table of means, and a small one a metric for all subsets.

    Args:
        results: what to show.
        bold: mark the best by the terminal's bold face instead of a star.
    """

    def marked(text: str, best: bool, count: str = "") -> str:
        star = f"{BOLD}{text}{PLAIN}" if bold and best else text if bold else f"{text}{'*' if best else ' '}"
        return star + (f" ({count})" if count else "")

    table = tables.summary(results)
    rows = [
        ["system", *(metric.name for metric in table.metrics), *(name for name, _ in table.cost_names), ""]
    ]
    rows += [
        [
            row.system.name,
            *(marked(cell.text, cell.best, cell.count) for cell in row.cells),
            *row.costs,
            f"{row.failed} failed" if row.failed else "",
        ]
        for row in table.rows
    ]
    lines = [
        f"{results.set.name}, subset {table.subset}: {len(table.ids)} pairs",
        *aligned(rows, left={0}, rule=True),
    ]
    subsets = results.set.subsets
    for metric in results.metrics:
        parts = groups.breakdown(metric, subsets, results.systems) if metric.name in _BY_SUBSET else []
        if not parts or [part.name for part in parts] == ["main"]:
            continue
        rows = [["system", *(part.name for part in parts)], ["", *(f"n={part.n}" for part in parts)]]
        rows += [
            [system.name, *(marked(part.texts[i], part.best[i]) for part in parts)]
            for i, system in enumerate(results.systems)
        ]
        unit = f" in {metric.unit}" if metric.unit else ""
        lines += ["", f"{metric.name}{unit} by subset", *aligned(rows, left={0}, rule=True)]
    return "\n".join(lines)
