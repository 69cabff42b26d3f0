"""Curves of training runs: loss, validation metrics beside the noisy input, and whatever else was logged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffgmm.report import groups, plots
from diffgmm.report.collect import TrainingRun
from diffgmm.report.plots import Plot
from diffgmm.training.run_folders import Curve
from diffgmm.utils.text_table import number

_POINTS = 600  # of a line at most
_SKIPPED = re.compile(r"_(valid|improvement|noisy)$|/pairs$")
_BUCKET = re.compile(r"^(val/.+)_snr_(.+)$")
_MARKED = {"marker": "o", "markersize": 4, "linewidth": 2}


def training(runs: Sequence[TrainingRun]) -> dict[str, Any]:
    """Plots of all runs together (``by_snr`` only of the last one), and their last values as ``head`` and ``rows``."""
    names = list(dict.fromkeys(name for run in runs for name in run.curves))
    order = {f"val/{name}": i for i, name in enumerate(groups.FIRST)}
    quality = [name for name in names if f"{name}_noisy" in names]
    quality.sort(key=lambda name: order.get(name, len(order)))
    main = (["loss"] if {"train/loss", "val/loss"} & set(names) else []) + quality
    others = [name for name in names if not _SKIPPED.search(name) and not _BUCKET.match(name)]
    loose = dict.fromkeys(re.sub(r"^(train|val)/", "", name) for name in others if name not in quality)
    rest = [name for name in loose if name not in main and f"val/{name}" not in main]
    buckets = dict.fromkeys(match[1] for name in names if (match := _BUCKET.match(name)))
    shown = [name for name in ["train/loss", "val/loss", *quality] if name in names]
    drawn: dict[str, list[Plot | None]] = {
        "main": [_plot(runs, name) for name in main],
        "by_snr": [_by_snr(runs[-1], name) for name in buckets],
        "rest": [_plot(runs, name) for name in rest],
    }
    last = [{name: curve.values[-1] for name, curve in run.curves.items()} for run in runs]
    rows = [
        [run.name, *(number(values.get(name), 3) for name in shown)]
        for run, values in zip(runs, last, strict=True)
    ]
    pictures = {name: [plot for plot in several if plot] for name, several in drawn.items()}
    return {**pictures, "head": ["run", *shown], "rows": rows}


def _smooth(curve: Curve) -> Curve:
    """A running mean of the values over a twelfth of the curve."""
    width = max(1, len(curve.values) // 12)
    padded = np.pad(curve.values, (width // 2, width - 1 - width // 2), mode="edge")
    return Curve(curve.steps, tuple(np.convolve(padded, np.full(width, 1 / width), mode="valid").tolist()))


def _plot(runs: Sequence[TrainingRun], name: str) -> Plot | None:
    """One quantity of all runs: in training thin, in validation with marks, the noisy input dashed."""
    lines: list[tuple[Curve, dict[str, Any]]] = []
    parts: dict[str, None] = {}
    for i, run in enumerate(runs):
        color, label = plots.color(i), run.name if len(runs) > 1 else None
        for logged in (f"train/{name}", f"val/{name}", name):
            if (curve := run.curves.get(logged)) is None:
                continue
            if logged.startswith("val/"):
                lines.append((curve, {**_MARKED, "color": color, "label": label}))
                parts["validation with marks"] = None
            else:
                lines.append((curve, {"color": color, "linewidth": 0.8, "alpha": 0.35}))
                lines.append((_smooth(curve), {"color": color, "linewidth": 1.4, "label": label}))
                parts["training thin"] = None
            label = None
        if noisy := run.curves.get(f"{name}_noisy"):
            lines.append((noisy, {"color": plots.FAINT, "linewidth": 1.2, "linestyle": ":"}))
            parts["noisy input dashed"] = None
    return _drawn(lines, f"{name.removeprefix('val/')} ({', '.join(parts)})")


def _by_snr(run: TrainingRun, name: str) -> Plot | None:
    """A validation metric of one run, a line a range of ratios."""
    lines = [
        (curve, {"marker": "o", "markersize": 4, "label": match[2].replace("_", " ")})
        for logged, curve in run.curves.items()
        if (match := _BUCKET.match(logged)) and match[1] == name
    ]
    return _drawn(lines, f"{name.removeprefix('val/')} by SNR in dB")


def _drawn(lines: Sequence[tuple[Curve, dict[str, Any]]], title: str) -> Plot | None:
    """Curves in one plot, with limits that a few wild values at the start can't stretch; None without any."""
    if not lines:
        return None
    figure, axes = plots.new_plot("step")
    for curve, style in lines:
        every = max(1, -(-len(curve.steps) // _POINTS))
        axes.plot(curve.steps[::every], curve.values[::every], **style)
    values = [value for curve, style in lines if "alpha" not in style for value in curve.values]
    low, high = np.percentile(values, [1, 99]) if len(values) > 50 else (min(values), max(values))
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - pad, high + pad)
    axes.locator_params("x", integer=True)
    return plots.plot_with_legend(figure, title)
