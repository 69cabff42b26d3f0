"""The final table: figures measured here, checked against those expected, beside figures that are cited."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diffgmm.evaluation.results import Results
from diffgmm.metrics import METRICS
from diffgmm.metrics.statistics import mean
from diffgmm.utils.files import write_text
from diffgmm.utils.text_table import aligned, markdown, number
from diffgmm.workflows.reproduce.plan import Plan

HERE = "measured here"


class Check(NamedTuple):
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
        expected = f"expected {self.expected:.4g} ± {self.tolerance:g}"
        outcome = self.note or ("agrees" if self.ok else "DIFFERS")
        return f"{self.system} {self.metric} {self.value:.4g}, {expected}: {outcome}"


def means(plan: Plan, results: Results) -> dict[str, dict[str, float]]:
    """Mean of every metric by system over the scores there are; NaN where there is none."""
    ids = results.set.ids(plan.subset)
    return {one.name: {name: mean(one.values(name, ids)) for name in plan.metrics} for one in results.systems}


def expectations(plan: Plan, results: Results) -> dict[str, Any]:
    """The measured figures as the description keeps them."""
    expected: dict[str, Any] = {}
    for system, values in zip(results.systems, means(plan, results).values(), strict=True):
        weights = system.settings.get("weights")
        rounded = {name: round(value, 5) for name, value in values.items() if math.isfinite(value)}
        expected[system.name] = {**({"weights": weights} if weights else {}), "values": rounded}
    return expected


def checks(plan: Plan, results: Results) -> list[Check]:
    """Every expected figure of a system that was measured."""
    outcomes = []
    measured = means(plan, results)
    weights = {system.name: system.settings.get("weights") for system in results.systems}
    for name in (name for name in plan.expected if name in measured):
        other = weights[name] != plan.expected[name].get("weights")
        note = "other weights than those it was recorded with (--record writes new ones)" if other else ""
        for metric, expected in plan.expected[name]["values"].items():
            if metric in plan.metrics:
                value, allowed = measured[name][metric], float(plan.tolerance.get(metric, 0.0))
                ok = abs(value - expected) <= allowed and not other
                outcomes.append(Check(name, metric, value, float(expected), allowed, ok, note))
    return outcomes


def _sources(plan: Plan) -> list[str]:
    """What is cited, each once."""
    return list(dict.fromkeys(str(row["source"]) for row in plan.published))


def rows(plan: Plan, results: Results) -> list[list[str]]:
    """Head and body: measured systems first, cited ones after them."""
    units = {name: METRICS[name].unit for name in plan.metrics}
    lines = [["system", *(f"{name} in {unit}" if unit else name for name, unit in units.items()), "figures"]]
    named = [(name, values, HERE) for name, values in means(plan, results).items()]
    for row in plan.published:
        place = _sources(plan).index(str(row["source"])) + 1
        named.append((str(row["system"]), row["values"], f"cited [{place}]"))
    for name, values, origin in named:
        cells = [number(values.get(metric), 2 if unit else 3) for metric, unit in units.items()]
        lines.append([name, *cells, origin])
    return lines


def facts(plan: Plan, results: Results, outcomes: Sequence[Check]) -> list[str]:
    """The sentences below the table."""
    lines = [f"[{i}] {source}" for i, source in enumerate(_sources(plan), 1)]
    if plan.published:
        lines.append("Cited figures are those of the sources named; this run measured none of them.")
    lines += plan.notes
    missing = [system.name for system in results.systems if system.name not in plan.expected]
    if not plan.expected:
        never = "it was never run here (--record writes them)"
        lines.append(f"No figures are expected of this benchmark yet: {never}.")
    elif missing:
        lines.append(f"Nothing is expected yet of {', '.join(missing)}.")
    return lines + [check.text() for check in outcomes]


def render(plan: Plan, results: Results, outcomes: Sequence[Check]) -> str:
    """Everything as text for a terminal."""
    table = aligned(rows(plan, results), left=(0, len(plan.metrics) + 1))
    return "\n".join([_title(plan, results), *table, "", *facts(plan, results, outcomes)])


def _title(plan: Plan, results: Results) -> str:
    ids = results.set.ids(plan.subset)
    return f"{plan.title}: means over {len(ids)} pairs of {results.set.name}"


def write_markdown(path: Path, plan: Plan, results: Results, outcomes: Sequence[Check]) -> None:
    """The same as Markdown."""
    machine = results.record.get("machine", {})
    where = f"{machine.get('processor')}, {machine.get('cores')} cores"
    made = f"Measured with diffgmm {results.record.get('git_revision') or ''} on {where}."
    lines = [
        f"# {plan.title}", "",
        f"<!-- Made by `diffgmm reproduce {plan.name}`; edit nothing here, make it anew. -->", "",
        f"{_title(plan, results)}. {made}", "",
        *markdown(rows(plan, results), left=(0, len(plan.metrics) + 1)), "",
        *(f"- {line}" for line in facts(plan, results, outcomes)),
    ]  # fmt: skip
    write_text(path, "\n".join(lines) + "\n")
