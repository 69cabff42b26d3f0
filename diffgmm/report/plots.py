"""Plots of results, as pictures inside a page: quality against cost, by ratio, by network calls."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffgmm.audio import figures
from diffgmm.evaluation.results import MetricInfo, Results, System
from diffgmm.metrics import statistics
from diffgmm.metrics.statistics import Estimate
from diffgmm.report import groups
from diffgmm.report.audio import data_uri
from diffgmm.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#1f5fd0", "#c2410c", "#12805c", "#a21caf", "#8a6100", "#0e7490", "#be123c", "#5b4bb5")
"""Of the series: ``--c0`` to ``--c7`` of the style sheet."""
FAINT = "#667085"
_DASHES = ("-", "--", ":")


@dataclass(frozen=True)
class Plot:
    """A plot as the address of an SVG picture, with its title."""

    title: str
    uri: str


def color(i: int) -> str:
    """Of the i-th series, from 0; they come round."""
    return COLORS[i % len(COLORS)]


def dash(i: int) -> str:
    """Line style of the i-th series: another one each time that the colours come round."""
    return _DASHES[i // len(COLORS) % len(_DASHES)]


def new_plot(x_label: str) -> tuple[Figure, Axes]:
    """A figure with one quiet pair of axes; the page names the plot and its y axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.3, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel=x_label)
    axes.grid(color="#e4e7ee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def log_axis(axes: Axes, base: int = 10, subs: tuple[int, ...] = (1, 3)) -> None:
    """Logarithmic x axis with plain numbers at ``subs`` times the powers of ``base``."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log", base=base)
    axes.xaxis.set_major_locator(LogLocator(base, subs))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def plot_with_legend(figure: Figure, title: str) -> Plot:
    """The finished figure, with a legend below it where artists have labels."""
    entries = sum(len(axes.get_legend_handles_labels()[1]) for axes in figure.axes)
    if entries:
        figure.set_figheight(figure.get_figheight() + 0.2 * -(-entries // 2))
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return plot_of(figure, title)


def plot_of(figure: Figure, title: str) -> Plot:
    """The finished figure as it is."""
    return Plot(title, data_uri(figures.svg(figure, title, bbox_inches="tight"), "image/svg+xml"))


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
        return {"color": FAINT, "linestyle": ":", "label": name}
    return {"color": color(number), "linestyle": dash(number), "label": name}


def _bars(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Distances from the means to the ends of their intervals, as matplotlib wants them."""
    ends = [(e.mean - e.low, e.high - e.mean) if math.isfinite(e.low) else (0.0, 0.0) for e in estimates]
    return [list(column) for column in zip(*ends, strict=True)]


def cost_plots(results: Results, table: Table) -> list[Plot]:
    """Quality against the real-time factor with one thread, a plot a metric; none where nothing was timed."""
    plots: list[Plot] = []
    timed = any(system.cost.rtf_1 for system in results.systems)
    for metric in groups.main_metrics(results) if timed else []:
        if metric not in table.metrics:
            continue
        figure, axes = new_plot("rtf, one thread (left is faster)")
        log_axis(axes)
        for i, (system, row) in enumerate(zip(results.systems, table.rows, strict=True)):
            estimate, style = row.cells[table.metrics.index(metric)].estimate, _style(results.systems, i)
            if system.kind == "noisy" and estimate.n_valid:
                axes.axhline(estimate.mean, **style)
            elif system.cost.rtf_1 and estimate.n_valid:
                axes.errorbar([system.cost.rtf_1], [estimate.mean], _bars([estimate]), fmt="o", **style)
        plots.append(plot_with_legend(figure, f"{name_of(metric)} against rtf"))
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
        figure, axes = new_plot("SNR in dB")
        axes.set_xticks(list(levels))
        for i, line in lines.items():
            width = 2.2 if results.systems[i].kind in ("model", "files") else 1.2
            style = {"marker": "o", "markersize": 4, "linewidth": width, **_style(results.systems, i)}
            axes.plot(list(levels), line, **style)
        plots.append(plot_with_legend(figure, f"{name_of(metric)} by SNR"))
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
        figure, axes = new_plot("network calls (nfe)")
        log_axis(axes, 2, (1,))
        for k, (name, points) in enumerate(series.items()):
            estimates = [statistics.estimate(results.systems[i].values(metric.name, ids)) for _, i in points]
            means = [estimate.mean for estimate in estimates]
            style: dict[str, Any] = {"fmt": "o", "color": color(k), "linestyle": dash(k), "label": name}
            axes.errorbar([nfe for nfe, _ in points], means, _bars(estimates), **style)
        plots.append(plot_with_legend(figure, f"{name_of(metric)} by network calls"))
    return plots
