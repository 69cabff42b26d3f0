"""Curves of training runs: loss, validation metrics beside the noisy input, and whatever else was logged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from diffgmm.report import groups, svg
from diffgmm.report.collect import Curve, TrainingRun
from diffgmm.report.plots import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 600  # of a line at most
_SKIPPED = re.compile(r"_(valid|improvement|noisy)$|/pairs$")
_BUCKET = re.compile(r"^(val/.+)_snr_(.+)$")


@dataclass(frozen=True)
class Training:
    """Plots of all runs together: the main ones, by ratio, the rest; and the last values as a table."""

    main: tuple[Plot, ...]
    by_snr: tuple[Plot, ...]
    rest: tuple[Plot, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def training(runs: Sequence[TrainingRun], key: str = "train") -> Training:
    """Everything about the curves of the runs."""
    names = list(dict.fromkeys(name for run in runs for name in run.curves))
    quality = [name for name in names if f"{name}_noisy" in names]
    order = {f"val/{name}": i for i, name in enumerate(groups.FIRST)}
    quality.sort(key=lambda name: order.get(name, len(order)))
    first = (["loss"] if {"train/loss", "val/loss"} & set(names) else []) + quality
    others = [
        name
        for name in names
        if name not in quality and not _SKIPPED.search(name) and not _BUCKET.match(name)
    ]
    loose = list(dict.fromkeys(re.sub(r"^(train|val)/", "", name) for name in others))
    rest = [name for name in loose if name not in first and f"val/{name}" not in first]
    buckets = list(dict.fromkeys(match[1] for name in names if (match := _BUCKET.match(name))))
    plots = [_plot(runs, name, f"{key}m{i}") for i, name in enumerate(first)]
    more = [_plot(runs, name, f"{key}o{i}") for i, name in enumerate(rest)]
    ratios = [_bucket_plot(runs[-1], name, names, f"{key}b{i}") for i, name in enumerate(buckets)]
    shown = [name for name in ["train/loss", "val/loss", *quality] if name in names]
    rows = tuple(
        (
            run.name,
            *(groups.number(run.curves[n].values[-1] if n in run.curves else None, 3) for n in shown),
        )
        for run in runs
    )
    return Training(
        tuple(p for p in plots if p), tuple(p for p in ratios if p), tuple(p for p in more if p),
        ("run", *shown), rows,
    )  # fmt: skip


def smooth(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Steps and a running mean of the values over a twelfth of the curve."""
    x, y = np.asarray(curve.steps), np.asarray(curve.values)
    width = max(1, x.size // 12)
    if width < 2:
        return x, y
    padded = np.pad(y, (width // 2, width - 1 - width // 2), mode="edge")
    return x, np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    step = max(1, -(-x.size // _POINTS))
    return x[::step], y[::step]


def _plot(runs: Sequence[TrainingRun], name: str, key: str) -> Plot | None:
    """One quantity of all runs: in training thin, in validation with marks, the noisy input dashed."""
    figure, axes = svg.new_plot("step")
    seen: list[float] = []
    parts: set[str] = set()
    ends = []
    for i, run in enumerate(runs):
        tint, last = svg.color(i), None
        for kind, logged in (("train", f"train/{name}"), ("val", f"val/{name}"), ("", name)):
            curve = run.curves.get(logged)
            if curve is None:
                continue
            x, y = np.asarray(curve.steps), np.asarray(curve.values)
            if kind == "val" or name.startswith("val/"):
                axes.plot(*_thin(x, y), color=tint, linewidth=2, marker="o", markersize=4)
                parts.add("validation")
            else:
                axes.plot(*_thin(x, y), color=tint, linewidth=0.8, alpha=0.35)
                x, y = smooth(curve)
                axes.plot(*_thin(x, y), color=tint, linewidth=1.4)
                parts.add("training")
            seen += y.tolist()
            last = (float(x[-1]), float(y[-1]))
        noisy = run.curves.get(f"{name}_noisy")
        if noisy is not None:
            axes.plot(noisy.steps, noisy.values, color=svg.FAINT, linewidth=1.2, linestyle=(0, (2, 2)))
            seen += noisy.values
            parts.add("noisy input dashed")
        if last is not None and len(runs) > 1:
            ends.append((*last, str(i + 1), tint))
    if not seen:
        return None
    _frame(axes, seen)
    svg.end_labels(axes, ends)
    both = {"training", "validation"} <= parts
    legend = "training thin, validation with marks" if both else ", ".join(sorted(parts, reverse=True))
    title = f"{name.removeprefix('val/')} ({legend})"
    return Plot(title, svg.inline(figure, key, title))


def _frame(axes: Axes, values: Sequence[float]) -> None:
    """Limits that a few wild values at the start can't stretch."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = np.percentile(values, [1, 99]) if len(values) > 50 else (min(values), max(values))
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - pad, high + pad)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: groups.large(x) if x >= 1e3 else f"{x:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: f"{y:.1e}" if 0 < abs(y) < 1e-3 else f"{y:g}".replace("-", "−"))
    )


def _bucket_plot(run: TrainingRun, name: str, names: Sequence[str], key: str) -> Plot | None:
    """A validation metric of one run, a line a range of ratios."""
    figure, axes = svg.new_plot("step")
    seen: list[float] = []
    labels: list[tuple[float, float, str, str]] = []
    for logged in names:
        match = _BUCKET.match(logged)
        if match and match[1] == name and logged in run.curves:
            curve, tint = run.curves[logged], svg.color(len(labels))
            axes.plot(curve.steps, curve.values, color=tint, linewidth=1.6, marker="o", markersize=4)
            seen += curve.values
            labels.append((curve.steps[-1], curve.values[-1], match[2].replace("_", " "), tint))
    if not seen:
        return None
    _frame(axes, seen)
    ends = [(x, y, chr(ord("a") + i % 26), tint) for i, (x, y, _, tint) in enumerate(labels)]
    svg.end_labels(axes, ends)
    legend = ", ".join(f"{chr(ord('a') + i % 26)}: {label}" for i, (_, _, label, _) in enumerate(labels))
    title = f"{name.removeprefix('val/')} by SNR in dB ({legend})"
    return Plot(title, svg.inline(figure, key, title))
