"""Curves of training runs: loss, validation metrics beside the noisy input, and whatever else was logged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from diffgmm.report import groups, svg
from diffgmm.report.collect import Curve, TrainingRun
from diffgmm.report.svg import Plot

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


def training(runs: Sequence[TrainingRun]) -> Training:
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
    plots = [_plot(runs, name) for name in first]
    more = [_plot(runs, name) for name in rest]
    ratios = [_bucket_plot(runs[-1], name, names) for name in buckets]
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


def _plot(runs: Sequence[TrainingRun], name: str) -> Plot | None:
    """One quantity of all runs: in training thin, in validation with marks, the noisy input dashed."""
    figure, axes = svg.new_plot("step")
    values: list[float] = []
    parts: set[str] = set()
    for i, run in enumerate(runs):
        label = run.name if len(runs) > 1 else None
        for kind, logged in (("train", f"train/{name}"), ("val", f"val/{name}"), ("", name)):
            curve = run.curves.get(logged)
            if curve is None:
                continue
            x, y = np.asarray(curve.steps), np.asarray(curve.values)
            if kind == "val" or name.startswith("val/"):
                axes.plot(
                    *_thin(x, y), color=svg.color(i), linewidth=2, marker="o", markersize=4, label=label
                )
                parts.add("validation")
            else:
                axes.plot(*_thin(x, y), color=svg.color(i), linewidth=0.8, alpha=0.35)
                x, y = smooth(curve)
                axes.plot(*_thin(x, y), color=svg.color(i), linewidth=1.4, label=label)
                parts.add("training")
            values += y.tolist()
            label = None
        noisy = run.curves.get(f"{name}_noisy")
        if noisy is not None:
            axes.plot(noisy.steps, noisy.values, color=svg.FAINT, linewidth=1.2, linestyle=":")
            values += noisy.values
            parts.add("noisy input dashed")
    if not values:
        return None
    _frame(axes, values)
    both = {"training", "validation"} <= parts
    legend = "training thin, validation with marks" if both else ", ".join(sorted(parts, reverse=True))
    return svg.plot_with_legend(figure, f"{name.removeprefix('val/')} ({legend})")


def _frame(axes: Axes, values: Sequence[float]) -> None:
    """Limits that a few wild values at the start can't stretch."""
    low, high = np.percentile(values, [1, 99]) if len(values) > 50 else (min(values), max(values))
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - pad, high + pad)
    axes.locator_params("x", integer=True)


def _bucket_plot(run: TrainingRun, name: str, names: Sequence[str]) -> Plot | None:
    """A validation metric of one run, a line a range of ratios."""
    figure, axes = svg.new_plot("step")
    values: list[float] = []
    for logged in names:
        match = _BUCKET.match(logged)
        if match and match[1] == name and logged in run.curves:
            curve, label = run.curves[logged], match[2].replace("_", " ")
            axes.plot(curve.steps, curve.values, marker="o", markersize=4, label=label)
            values += curve.values
    if not values:
        return None
    _frame(axes, values)
    return svg.plot_with_legend(figure, f"{name.removeprefix('val/')} by SNR in dB")
