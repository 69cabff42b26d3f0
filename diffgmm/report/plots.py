"""Plots of results: quality against cost, by ratio, by network calls."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from diffgmm.evaluation.results import MetricInfo, Results, System
from diffgmm.metrics import statistics
from diffgmm.metrics.statistics import Estimate
from diffgmm.report import groups, svg
from diffgmm.report.svg import Plot
from diffgmm.report.tables import Table


def name_of(metric: MetricInfo) -> str:
    """Name and unit, and the direction where it is not the usual one."""
    unit = f" in {metric.unit}" if metric.unit and metric.unit != "MOS" else ""
    return f"{metric.name}{unit}" + ("" if metric.higher_is_better else ", lower is better")


def rank(systems: Sequence[System], i: int) -> int | None:
    """Number of a system's colour; None for the input, which is grey."""
    return None if systems[i].kind == "noisy" else sum(system.kind != "noisy" for system in systems[:i])


def _style(systems: Sequence[System], i: int) -> dict[str, Any]:
    number = rank(systems, i)
    name = systems[i].name.replace("$", r"\$")
    if number is None:
        return {"color": svg.FAINT, "linestyle": ":", "label": name}
    return {"color": svg.color(number), "linestyle": svg.dash(number), "label": name}


def _bars(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Distances from the means to the ends of their intervals, as matplotlib wants them."""
    ends = [(e.mean - e.low, e.high - e.mean) if math.isfinite(e.low) else (0.0, 0.0) for e in estimates]
    return [list(column) for column in zip(*ends, strict=True)]


def cost_plots(results: Results, table: Table) -> list[Plot]:
    """Quality against the real-time factor with one thread, a plot a metric; none where nothing was timed."""
    plots: list[Plot] = []
    shown = [metric for metric in groups.main_metrics(results) if metric in table.metrics]
    for metric in shown if any(system.cost.rtf_1 for system in results.systems) else []:
        figure, axes = svg.new_plot("rtf, one thread (left is faster)")
        svg.log_axis(axes)
        for i, system in enumerate(results.systems):
            estimate, style = table.cell(i, metric.name).estimate, _style(results.systems, i)
            if system.kind == "noisy" and estimate.n_valid:
                axes.axhline(estimate.mean, **style)
            elif system.cost.rtf_1 and estimate.n_valid:
                axes.errorbar([system.cost.rtf_1], [estimate.mean], _bars([estimate]), fmt="o", **style)
        plots.append(svg.plot_with_legend(figure, f"{name_of(metric)} against rtf"))
    return plots


def snr_plots(results: Results, ids: Sequence[str]) -> list[Plot]:
    """Means by ratio, a line a system, a plot a metric; none for fewer than two ratios."""
    levels = groups.by_snr(results, ids)
    plots: list[Plot] = []
    for metric in groups.main_metrics(results) if len(levels) > 1 else []:
        lines = {
            i: [statistics.mean(system.values(metric.name, inside)) for inside in levels.values()]
            for i, system in enumerate(results.systems)
        }
        if not any(math.isfinite(y) for line in lines.values() for y in line):
            continue  # a metric of other pairs, such as pesq_nb of those at 8 kHz
        figure, axes = svg.new_plot("SNR in dB")
        axes.set_xticks(list(levels))
        for i, line in lines.items():
            own = results.systems[i].kind in ("model", "files")
            width = 2.2 if own else 1.2
            axes.plot(
                list(levels), line, marker="o", markersize=4, linewidth=width, **_style(results.systems, i)
            )
        plots.append(svg.plot_with_legend(figure, f"{name_of(metric)} by SNR"))
    return plots


def nfe_series(results: Results) -> dict[str, list[tuple[int, int]]]:
    """``(nfe, index of the system)`` by the systems' name without it; only where ``nfe`` varies and nothing else."""
    series: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for i, system in enumerate(results.systems):
        nfe = system.settings.get("nfe")
        if isinstance(nfe, int) and nfe > 0:
            rest = sorted((k, str(v)) for k, v in system.settings.items() if k not in ("nfe", "seed"))
            name = re.sub(rf"-?nfe-?{nfe}(?!\d)", "", system.name).strip("-") or system.name
            series.setdefault((name, str(rest)), []).append((nfe, i))
    several = {key: sorted(points) for key, points in series.items() if len({nfe for nfe, _ in points}) > 1}
    return {name: points for (name, _), points in several.items()}


def nfe_plots(results: Results, ids: Sequence[str]) -> list[Plot]:
    """Means with intervals by the number of network calls, a plot a metric."""
    series = nfe_series(results)
    plots: list[Plot] = []
    for metric in groups.main_metrics(results) if series else []:
        figure, axes = svg.new_plot("network calls (nfe)")
        svg.log_axis(axes, 2, (1,))
        for k, (name, points) in enumerate(series.items()):
            estimates = [statistics.estimate(results.systems[i].values(metric.name, ids)) for _, i in points]
            means = [estimate.mean for estimate in estimates]
            axes.errorbar(
                [nfe for nfe, _ in points], means, _bars(estimates), fmt="o", color=svg.color(k), linestyle=svg.dash(k),
                label=name,
            )  # fmt: skip
        plots.append(svg.plot_with_legend(figure, f"{name_of(metric)} by network calls"))
    return plots
