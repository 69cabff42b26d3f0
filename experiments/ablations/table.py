"""The table of finished runs, and what it says about one Gaussian against several."""

from __future__ import annotations

import functools
import json
import math
import operator
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from data_modules.errors import DataError
from diffgmm.audio import figures
from diffgmm.metrics.statistics import compare, holm
from diffgmm.utils.files import write_text
from diffgmm.utils.text_table import NONE, markdown, number
from experiments.ablations.plan import HERE, RESULT, Variant, own_name, settings_of

Columns = Mapping[str, tuple[str, int]]
"""Heading and decimals by the name that results have for a figure."""
_MIXTURE: Columns = {
    "nll": ("NLL", 3), "crps": ("CRPS", 4), "coverage_90": ("coverage of 90 %", 3), "components": ("in use", 2),
}  # fmt: skip
_QUALITY: Columns = {
    "pesq_wb": ("pesq_wb", 2), "estoi": ("estoi", 3), "si_sdr": ("si_sdr in dB", 1), "lsd": ("lsd in dB", 1),
    "dnsmos_p808": ("dnsmos_p808", 2),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A variant with the results of its seeds."""

    variant: Variant
    results: tuple[Any, ...]

    def values(self, *path: str) -> list[float]:
        """A figure of every seed, where it exists: ``("mixture", "nll")``, ``("quality", "nfe1", "pesq_wb")``."""
        found = (functools.reduce(operator.getitem, path, result) for result in self.results)
        return [float(value) for value in found if value is not None]

    def by_pair(self, setting: str, metric: str) -> list[float]:
        """Scores pair by pair, each the mean over the seeds; NaN where a seed has none."""
        seeds = [result.get("by_pair", {}).get(setting, {}).get(metric, []) for result in self.results]
        found = [[math.nan if value is None else value for value in values] for values in seeds]
        return [statistics.fmean(values) for values in zip(*found, strict=True)]

    @property
    def has_likelihood(self) -> bool:
        """Whether training fitted weights and scales; otherwise the likelihood tells nothing."""
        return all({"nll", "elbo"} & set(result["losses"]) for result in self.results)


def gather(variants: Sequence[Variant], home: Path) -> list[Row]:
    """The variants that have a finished run, in order.

    Raises:
        DataError: runs of different budgets, which one table must not compare.
    """
    rows, budgets = [], {}
    for variant in variants:
        results = []
        for path in sorted((home / variant.name).glob(f"seed-*/{RESULT}")):
            result = json.loads(path.read_text(encoding="utf-8"))
            budgets[path.parent] = (result["steps"], result["pairs"])
            results.append(result)
        if results:
            rows.append(Row(variant, tuple(results)))
    if len(set(budgets.values())) > 1:
        (first, expected), *others = budgets.items()
        other, budget = next(pair for pair in others if pair[1] != expected)
        raise DataError(
            f"{first} has {expected} steps and pairs, {other} has {budget}: these can't share a table"
        )
    return rows


def spread(values: Sequence[float], digits: int) -> str:
    """Mean, and with several values ``±`` their standard deviation.

    >>> spread([1.0, 3.0], 2), spread([0.5], 1), spread([], 1)
    ('2.00 ± 1.41', '0.5', '–')
    """
    if not values:
        return NONE
    text = number(statistics.fmean(values), digits)
    return text + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def verdict(rows: Sequence[Row]) -> str:
    """K = 1 against the best K > 1, by NLL: the margin beside the spread of the seeds."""
    fitted = [row for row in rows if row.variant.group == "components" and row.values("mixture", "nll")]
    single = [row for row in fitted if row.variant.changes.get("model.head.components") == 1]
    several = [row for row in fitted if row not in single]
    if not single or not several:
        return "K = 1 and a mixture are not both trained yet."
    most = max(len(row.results) for row in several)
    tested = [row for row in several if len(row.results) == most]
    best = min(tested, key=lambda row: statistics.fmean(row.values("mixture", "nll")))
    a, b = single[0].values("mixture", "nll"), best.values("mixture", "nll")
    margin = statistics.fmean(a) - statistics.fmean(b)
    text = (
        f"NLL in nats per real dimension: {single[0].variant.says} {spread(a, 4)} ({len(a)} seeds), "
        f"{best.variant.says} {spread(b, 4)} ({len(b)} seeds), the best of those with {most}. "
        f"{'Lower' if margin > 0 else 'Higher'} by {abs(margin):.4f} with the mixture"
    )
    if len(a) > 1 and len(b) > 1:
        pooled = math.sqrt((statistics.variance(a) + statistics.variance(b)) / 2)
        if pooled:
            text += f", {abs(margin) / pooled:.1f} times the pooled standard deviation of the seeds"
        apart = max(b) < min(a)
        text += "; every seed of the mixture is below every seed of K = 1" if apart else "; the seeds overlap"
    return text + "."


def _table(
    rows: Sequence[Row],
    columns: Columns,
    *path: str,
    before: Sequence[str] = (),
    against: Mapping[str, list[str]] = MappingProxyType({}),
) -> str:
    """A line a variant, of the figures that results have at a path, and what :func:`_against` found.

    Without a likelihood nothing is known about the mixture.
    """
    lines = [["variant", "seeds", *(heading for heading, _ in columns.values())]]
    lines[0] += ["pesq_wb against the control", "p"] if against else []
    lines += [["noisy", "", *before, *["", ""][: 2 * bool(against)]]] if before else []
    for row in rows:
        known = columns if row.has_likelihood or path != ("mixture",) else {}
        cells = [spread(row.values(*path, x) if x in known else [], n) for x, (_, n) in columns.items()]
        cells += against.get(row.variant.name, ["", ""]) if against else []
        lines.append([row.variant.says, str(len(row.results)), *cells])
    return "\n".join(markdown(lines))


def _against(rows: Sequence[Row], setting: str) -> dict[str, list[str]]:
    """PESQ against the variant without changes, as :func:`differences` has it."""
    scores = {row.variant.name: row.by_pair(setting, "pesq_wb") for row in rows}
    control = next((scores[row.variant.name] for row in rows if not row.variant.changes), [])
    others = [row.variant.name for row in rows if row.variant.changes]
    return differences({name: scores[name] for name in others if scores[name] and control}, control)


def differences(
    scores: Mapping[str, Sequence[float]],
    control: Sequence[float],
    digits: int = 3,
    higher_is_better: bool = True,
) -> dict[str, list[str]]:
    """Cells by variant: the difference from the control pair by pair, with its interval; p by Wilcoxon and Holm."""
    found = {name: compare(values, control, higher_is_better) for name, values in scores.items()}
    adjusted = holm([comparison.p for comparison in found.values()])
    return {
        name: [
            f"{number(c.difference, digits)} ({number(c.low, digits)} … {number(c.high, digits)})",
            number(p, 3),
        ]
        for (name, c), p in zip(found.items(), adjusted, strict=True)
    }


def _command(page: str, folder: Path) -> str:
    told = f" --plan experiments/ablations/{name}" if (name := own_name(folder)) else ""
    return f"python -m experiments.ablations table{told} --markdown experiments/{page}"


def render(
    rows: Sequence[Row], folder: Path = HERE, page: str = "ABLATIONS.md", plot: str | None = None
) -> str:
    """Markdown: what was run, the verdict, mixture and quality of every variant.

    Args:
        rows: of :func:`gather`.
        folder: of the plan.
        page: name of the file that this will be.
        plot: name of the file of the plot, if there is one.
    """
    result = rows[0].results[0]
    place = f"ablations/{name}" if (name := own_name(folder)) else "ablations"
    settings = settings_of(folder)
    columns = {name: column for name, column in _QUALITY.items() if name in settings["metrics"]}
    against = {name: _against(rows, name) for name in settings["calls"]}
    tested = (
        "Last columns: against the control, the variant without changes, pair by pair (each the mean over seeds), with "
        "a 95 % interval and Wilcoxon's p after Holm's correction over the rows."
    )
    parts = [
        f"# Ablations, {name}" if name else "# Ablations",
        f"<!-- Made by `{_command(page, folder)}`; edit nothing here, make it anew. -->",
        f"Each variant is [base.yaml]({place}/base.yaml) with changes of [variants.yaml]({place}/variants.yaml), "
        f"trained for {result['steps']} steps and judged on {result['pairs']} fixed validation pairs: small models, to "
        "be compared with one another and with nothing else. Mean ± standard deviation over seeds (of the weights and "
        "of the training windows).",
        verdict(rows),
        *([f"![NLL and PESQ of every variant]({plot})"] if plot else []),
        "## The mixture, from the noisy signal alone (t = 1)",
        "NLL in nats per real dimension and CRPS (lower is better), share of noise in the central 90 % interval, "
        "components in use (exponential of the entropy of the mean responsibilities).",
        _table(rows, _MIXTURE, "mixture"),
    ]
    if any(against.values()):
        parts.append(tested)
    noisy = [number(result["quality"]["noisy"][name], digits) for name, (_, digits) in columns.items()]
    for name, setting in settings["calls"].items():
        quality = _table(rows, columns, "quality", name, before=noisy, against=against[name])
        parts += [f"## Quality, {setting['heading']}", quality]
    return "\n\n".join(parts) + "\n"


def write(path: Path, rows: Sequence[Row], folder: Path = HERE) -> tuple[Path, Path]:
    """Write the page and, beside it, the plot; both replace what was there.

    Raises:
        DataError: no such folder.
    """
    if not path.parent.is_dir():
        raise DataError(f"{path.parent}: no such folder")
    picture = path.with_suffix(".svg")
    draw(rows, picture, folder)
    write_text(path, render(rows, folder, path.name, picture.name))
    return path, picture


def draw(rows: Sequence[Row], path: Path, folder: Path = HERE) -> None:
    """Write an SVG: NLL left, PESQ by sampler setting right, one line a variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 0.9 + 0.3 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    calls = settings_of(folder)["calls"]
    style: dict[str, Any] = {"markersize": 5, "alpha": 0.7, "linestyle": "none"}
    for place, row in enumerate(rows):
        if row.has_likelihood:
            values = row.values("mixture", "nll")
            left.plot(values, [place] * len(values), marker="o", color="#1f6feb", **style)
        for name, setting in calls.items():
            values = row.values("quality", name, "pesq_wb")
            shown = {"marker": setting["marker"], "color": setting["color"], **style}
            right.plot(values, [place] * len(values), label=None if place else setting["heading"], **shown)
    left.set_yticks(range(len(rows)), [row.variant.says for row in rows])
    left.invert_yaxis()
    left.set_xlabel("NLL in nats per real dimension (lower is better)")
    right.set_xlabel("pesq_wb (dashed: noisy)")
    noisy = rows[0].results[0]["quality"]["noisy"]["pesq_wb"]
    right.axvline(noisy, color="#777777", linestyle="--", linewidth=1)
    right.legend(fontsize=8, loc="best")
    for axes in (left, right):
        axes.grid(True, color="#dddddd", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    write_text(path, figures.svg(figure, "ablations").decode())
