"""Plots of results: quality against cost, by ratio, by network calls."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from diffgmm.evaluation.results import MetricInfo, Results, System
from diffgmm.metrics import statistics
from diffgmm.report import groups, svg
from diffgmm.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Plot:
    """A plot with what the page writes beside it."""

    title: str
    svg: Markup


def name_of(metric: MetricInfo) -> str:
    """Name and unit, and the direction where it is not the usual one."""
    unit = f" in {metric.unit}" if metric.unit and metric.unit != "MOS" else ""
    return f"{metric.name}{unit}" + ("" if metric.higher_is_better else ", lower is better")


def tint(systems: Sequence[System], i: int) -> str:
    """Colour of a system: the input is grey."""
    rank = sum(system.kind != "noisy" for system in systems[:i])
    return svg.FAINT if systems[i].kind == "noisy" else svg.color(rank)


def _dash(systems: Sequence[System], i: int) -> str | tuple[int, tuple[float, ...]]:
    rank = sum(system.kind != "noisy" for system in systems[:i])
    return (0, (2, 2)) if systems[i].kind == "noisy" else svg.dash(rank)


def _limits(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - pad, high + pad)


def cost_plots(results: Results, table: Table, key: str) -> list[Plot]:
    """Quality against the real-time factor with one thread, a plot a metric; none where nothing was timed."""
    timed = [i for i, system in enumerate(results.systems) if system.cost.rtf_1]
    plots: list[Plot] = []
    for metric in groups.main_metrics(results) if timed else []:
        if metric.name not in [metric.name for metric in table.metrics]:
            continue
        cells = {i: table.cell(i, metric.name) for i in range(len(results.systems))}
        shown = [i for i in timed if cells[i].estimate.n_valid]
        if not shown:
            continue
        figure, axes = svg.new_plot("rtf, one thread (left is faster)")
        rtfs = {i: float(results.systems[i].cost.rtf_1 or math.nan) for i in shown}
        svg.log_axis(axes, min(rtfs.values()) / 1.8, max(rtfs.values()) * 1.8)
        inputs = [
            i
            for i, system in enumerate(results.systems)
            if system.kind == "noisy" and cells[i].estimate.n_valid
        ]
        ends = [
            x
            for i in (*shown, *inputs)
            for x in (cells[i].estimate.mean, cells[i].estimate.low, cells[i].estimate.high)
            if math.isfinite(x)
        ]
        _limits(axes, ends)
        for i in inputs:
            axes.axhline(cells[i].estimate.mean, color=svg.FAINT, linewidth=1.2, linestyle=(0, (2, 2)))
        titles = {}
        for i in shown:
            estimate, label = cells[i].estimate, tint(results.systems, i)
            axes.plot([rtfs[i]] * 2, [estimate.low, estimate.high], color=label, linewidth=1.2, alpha=0.55)
            axes.plot([rtfs[i]], [estimate.mean], "o", color=label, markersize=6, gid=f"s{i}", clip_on=False)
            titles[f"s{i}"] = f"{results.systems[i].name}: {cells[i].text}, rtf {rtfs[i]:.3g}"
        _numbers(axes, [(rtfs[i], cells[i].estimate.mean, i) for i in shown], results.systems)
        title = f"{name_of(metric)} against rtf"
        plots.append(Plot(title, svg.inline(figure, f"{key}c{len(plots)}", title, titles)))
    return plots


def _numbers(axes: Axes, points: Sequence[tuple[float, float, int]], systems: Sequence[System]) -> None:
    """Write systems' numbers beside their points, where they meet neither points nor one another."""
    at = {i: axes.transData.transform((x, y)) for x, y, i in points}
    taken = [(float(x), float(y)) for x, y in at.values()]
    box = axes.bbox
    near = [(r * math.cos(a), r * math.sin(a)) for r in (12, 18, 26, 36) for a in _ANGLES]
    for x, y, i in points:
        px, py = (float(v) for v in at[i])
        best, least = near[0], math.inf
        for dx, dy in near:
            lx, ly = px + dx, py + dy
            if not (box.x0 < lx < box.x1 + 18 and box.y0 + 4 < ly < box.y1 + 4):
                continue
            crowd = sum(max(0.0, 1 - abs(lx - qx) / 15) * max(0.0, 1 - abs(ly - qy) / 13) for qx, qy in taken)
            cost = crowd * 100 + math.hypot(dx, dy) / 12
            if cost < least - 1e-9:
                best, least = (dx, dy), cost
        taken.append((px + best[0], py + best[1]))
        line = {"arrowstyle": "-", "color": svg.FAINT, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
        axes.annotate(
            str(i + 1), xy=(x, y), xytext=best, textcoords="offset pixels", ha="center", va="center",
            fontsize=svg.SIZE, fontweight="bold", color=tint(systems, i), annotation_clip=False,
            arrowprops=line if math.hypot(*best) > 14 else None,
        )  # fmt: skip


_ANGLES = tuple(math.radians(a) for a in (0, 180, 90, 270, 45, 135, 315, 225))


def snr_plots(results: Results, ids: Sequence[str], key: str) -> list[Plot]:
    """Means by ratio, a line a system, a plot a metric; none for fewer than two ratios."""
    levels = groups.by_snr(results, ids)
    plots: list[Plot] = []
    for metric in groups.main_metrics(results) if len(levels) > 1 else []:
        lines: dict[int, tuple[list[float], list[float]]] = {}
        for i, system in enumerate(results.systems):
            pairs = [
                (level, statistics.mean(system.values(metric.name, inside)))
                for level, inside in levels.items()
            ]
            known = [pair for pair in pairs if math.isfinite(pair[1])]
            if known:
                lines[i] = ([x for x, _ in known], [y for _, y in known])
        if not lines:  # a metric of other pairs, such as pesq_nb of those at 8 kHz
            continue
        figure, axes = svg.new_plot("SNR in dB")
        axes.set_xticks(list(levels), [groups.number(x, 0 if x == round(x) else 1) for x in levels])
        few, many = min(levels), max(levels)
        axes.set_xlim(few - 0.03 * (many - few), many + 0.03 * (many - few))
        _limits(axes, [y for _, ys in lines.values() for y in ys])
        _draw(axes, lines, results.systems)
        title = f"{name_of(metric)} by SNR"
        titles = {f"s{i}": results.systems[i].name for i in lines}
        plots.append(Plot(title, svg.inline(figure, f"{key}n{len(plots)}", title, titles)))
    return plots


def _draw(
    axes: Axes, lines: Mapping[int, tuple[list[float], list[float]]], systems: Sequence[System]
) -> None:
    ends = []
    for i, (xs, ys) in lines.items():
        own = systems[i].kind in ("model", "files")
        axes.plot(
            xs, ys, color=tint(systems, i), linestyle=_dash(systems, i), marker="o", markersize=4 if own else 3,
            linewidth=2.2 if own else 1.2, gid=f"s{i}", clip_on=False,
        )  # fmt: skip
        ends.append((xs[-1], ys[-1], str(i + 1), tint(systems, i)))
    svg.end_labels(axes, ends)


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


def nfe_plots(results: Results, ids: Sequence[str], key: str) -> tuple[list[str], list[Plot]]:
    """Names of the lines, and means with intervals by the number of network calls, a plot a metric."""
    series = nfe_series(results)
    names = list(series)
    plots: list[Plot] = []
    for metric in groups.main_metrics(results) if series else []:
        figure, axes = svg.new_plot("network calls (nfe)")
        most = max(nfe for points in series.values() for nfe, _ in points)
        svg.log_axis(axes, 0.85, most * 1.18, base=2)
        lines = []
        for points in series.values():
            estimates = [
                (nfe, statistics.estimate(results.systems[i].values(metric.name, ids))) for nfe, i in points
            ]
            lines.append([(nfe, estimate) for nfe, estimate in estimates if estimate.n_valid])
        _limits(
            axes,
            [
                x
                for line in lines
                for _, estimate in line
                for x in (estimate.mean, estimate.low, estimate.high)
                if math.isfinite(x)
            ],
        )
        ends = []
        for k, line in enumerate(lines):
            if not line:
                continue
            xs, ys = [nfe for nfe, _ in line], [estimate.mean for _, estimate in line]
            for nfe, estimate in line:
                axes.plot(
                    [nfe] * 2, [estimate.low, estimate.high], color=svg.color(k), linewidth=1.2, alpha=0.55
                )
            axes.plot(
                xs, ys, color=svg.color(k), linestyle=svg.dash(k), marker="o", markersize=5, gid=f"s{k}"
            )
            ends.append((xs[-1], ys[-1], chr(ord("a") + k % 26), svg.color(k)))
        svg.end_labels(axes, ends)
        title = f"{name_of(metric)} by network calls"
        titles = {f"s{k}": name for k, name in enumerate(names)}
        plots.append(Plot(title, svg.inline(figure, f"{key}f{len(plots)}", title, titles)))
    return names, plots
