"""The final table: figures measured here, checked against those expected, beside figures that are cited."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffgmm.evaluation.results import Results
from diffgmm.metrics import METRICS
from diffgmm.metrics.statistics import mean
from diffgmm.utils.files import replacing
from diffgmm.utils.text_table import aligned
from diffgmm.workflows.reproduce.plan import Plan

HERE = "measured here"


@dataclass(frozen=True)
class Check:
    """One figure beside what it should be.

    Args:
        system, metric: whose and which.
        value, expected, tolerance: the figures.
        ok: whether they agree.
        note: why not, if it is not the distance.
    """

    system: str
    metric: str
    value: float
    expected: float
    tolerance: float
    ok: bool
    note: str = ""

    def text(self) -> str:
        """As one line."""
        figures = (
            f"{self.system} {self.metric} {self.value:.4g}, expected {self.expected:.4g} ± {self.tolerance:g}"
        )
        return f"{figures}: {self.note or ('agrees' if self.ok else 'DIFFERS')}"


def means(results: Results, subset: str | None, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """Mean of every metric by system over the scores there are; NaN where there is none."""
    ids = results.set.ids(subset)
    return {
        system.name: {name: mean(system.values(name, ids)) for name in metrics} for system in results.systems
    }


def expectations(plan: Plan, results: Results) -> dict[str, Any]:
    """The measured figures as the description keeps them."""
    expected: dict[str, Any] = {}
    measured = means(results, plan.subset, plan.metrics)
    for system in results.systems:
        weights = system.settings.get("weights")
        values = {
            name: round(value, 5) for name, value in measured[system.name].items() if math.isfinite(value)
        }
        expected[system.name] = {**({"weights": weights} if weights else {}), "values": values}
    return expected


def checks(plan: Plan, results: Results) -> list[Check]:
    """Every expected figure of a system that was measured."""
    outcomes = []
    measured = means(results, plan.subset, plan.metrics)
    weights = {system.name: system.settings.get("weights") for system in results.systems}
    for name, entry in plan.expected.items():
        other = weights.get(name) != entry.get("weights")
        for metric, expected in entry["values"].items() if name in measured else ():
            if metric not in plan.metrics:
                continue
            value, allowed = measured[name][metric], float(plan.tolerance.get(metric, 0.0))
            ok = abs(value - expected) <= allowed and not other
            note = "other weights than those it was recorded with (--record writes new ones)" if other else ""
            outcomes.append(Check(name, metric, value, float(expected), allowed, ok, note))
    return outcomes


def _cell(value: Any, metric: str) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.{2 if METRICS[metric].unit else 3}f}"


def _sources(plan: Plan) -> list[str]:
    """What is cited, each once."""
    return list(dict.fromkeys(str(row["source"]) for row in plan.published))


def rows(plan: Plan, results: Results) -> list[list[str]]:
    """Head and body: measured systems first, cited ones after them."""
    measured = means(results, plan.subset, plan.metrics)
    body = [
        [name, *(_cell(values[metric], metric) for metric in plan.metrics), HERE]
        for name, values in measured.items()
    ]
    sources = _sources(plan)
    for row in plan.published:
        cells = [_cell(row["values"].get(metric), metric) for metric in plan.metrics]
        body.append([str(row["system"]), *cells, f"cited [{sources.index(str(row['source'])) + 1}]"])
    units = [f"{name} in {METRICS[name].unit}" if METRICS[name].unit else name for name in plan.metrics]
    return [["system", *units, "figures"], *body]


def facts(plan: Plan, results: Results, outcomes: Sequence[Check]) -> list[str]:
    """The sentences below the table."""
    lines = [f"[{i}] {source}" for i, source in enumerate(_sources(plan), 1)]
    if plan.published:
        lines.append("Cited figures are those of the sources named; this run measured none of them.")
    lines += plan.notes
    if not plan.expected:
        lines.append(
            "No figures are expected of this benchmark yet: it was never run here (--record writes them)."
        )
    missing = [
        system.name for system in results.systems if plan.expected and system.name not in plan.expected
    ]
    if missing:
        lines.append(f"Nothing is expected yet of {', '.join(missing)}.")
    return lines + [check.text() for check in outcomes]


def render(plan: Plan, results: Results, outcomes: Sequence[Check]) -> str:
    """Everything as text for a terminal."""
    table = rows(plan, results)
    lines = aligned(table, left=(0, len(table[0]) - 1))
    return "\n".join([_title(plan, results), *lines, "", *facts(plan, results, outcomes)])


def _title(plan: Plan, results: Results) -> str:
    ids = results.set.ids(plan.subset)
    return f"{plan.title}: means over {len(ids)} pairs of {results.set.name}"


def write_markdown(
    path: Path, plan: Plan, results: Results, outcomes: Sequence[Check], record: Mapping[str, Any]
) -> None:
    """The same as Markdown."""
    head, *body = rows(plan, results)
    table = [head, ["---", *["---:"] * len(plan.metrics), "---"], *body]
    machine = record.get("machine", {})
    where = f"{machine.get('processor')}, {machine.get('cores')} cores"
    made = f"Measured with diffgmm {record.get('git_revision') or ''} on {where}."
    lines = [
        f"# {plan.title}", "",
        f"<!-- Made by `diffgmm reproduce {plan.name}`; edit nothing here, make it anew. -->", "",
        f"{_title(plan, results)}. {made}", "",
        *(f"| {' | '.join(row)} |" for row in table), "",
        *(f"- {line}" for line in facts(plan, results, outcomes)),
    ]  # fmt: skip
    with replacing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
