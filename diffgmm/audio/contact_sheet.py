"""Sheets of small pictures: spectrograms of many clips in rows, and histograms side by side."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from diffgmm.audio import figures, plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#3b5b92", "#d97706", "#4d7c0f", "#9d174d")


@dataclass(frozen=True)
class Row:
    """One row of a contact sheet.

    Args:
        title: what the clips are.
        note: a second, smaller line.
        clips: caption and signal of each, float ``[samples]``.
    """

    title: str
    note: str
    clips: Sequence[tuple[str, np.ndarray]]


def contact_sheet(
    rows: Sequence[Row],
    sample_rate: int,
    path: str | os.PathLike[str] | None = None,
    title: str | None = None,
    seconds: float = 3.0,
) -> Figure:
    """Spectrograms of many clips, a row for each kind; every clip on a scale of its own, 75 dB from its loudest bin.

    Args:
        rows: from top to bottom.
        sample_rate: Hz, of all clips.
        path: also write a PNG there.
        title: above everything.
        seconds: width of a picture; of longer clips the loudest stretch is shown.

    Returns:
        The figure.
    """
    across = max((len(row.clips) for row in rows), default=1)
    figure = plots.new_figure(1.3 + 2.3 * across, 0.75 + 1.62 * len(rows), title)
    grid = figure.add_gridspec(len(rows), across + 1, width_ratios=[0.5, *[1.0] * across])
    for i, row in enumerate(rows):
        heading = figure.add_subplot(grid[i, 0])
        heading.set_axis_off()
        heading.text(
            0.0, 0.62, row.title, fontsize=11, fontweight="bold", va="bottom", transform=heading.transAxes
        )
        heading.text(0.0, 0.56, row.note, fontsize=8, va="top", linespacing=1.4, transform=heading.transAxes)
        for j, (caption, x) in enumerate(row.clips):
            axes = figure.add_subplot(grid[i, j + 1])
            low, high = plots.scale({caption: x}, sample_rate)
            shown = _loudest(x, round(seconds * sample_rate))
            plots.spectrogram(axes, shown, sample_rate, seconds, low, high)
            axes.set_title(_fitted(caption), loc="left", fontsize=7.5, pad=2.5)
            plots.labels(axes, left=j == 0, bottom=i == len(rows) - 1)
            axes.tick_params(labelsize=7)
    if path is not None:
        figures.save(figure, path)
    return figure


def _loudest(x: np.ndarray, samples: int) -> np.ndarray:
    """The loudest stretch of so many samples."""
    if x.size <= samples:
        return x
    power = np.concatenate([[0.0], np.cumsum(np.square(x, dtype=np.float64))])
    start = int(np.argmax(power[samples:] - power[:-samples]))
    return x[start : start + samples]


def _fitted(text: str, most: int = 34) -> str:
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal width.

    Args:
        start, step: left end of the first bin, and width of each.
        counts: of the bins.
    """

    start: float
    step: float
    counts: Sequence[int]


def histograms(
    panels: Mapping[str, Mapping[str, Histogram]],
    path: str | os.PathLike[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Histograms as shares of their total, one panel for each quantity, its series over one another.

    Args:
        panels: what is on the horizontal axis -> series -> histogram.
        path: also write a PNG there.
        title: above everything.

    Returns:
        The figure.
    """
    across = min(2, max(1, len(panels)))
    down = -(-len(panels) // across)
    figure = plots.new_figure(5.2 * across, 2.7 * down + 0.5, title)
    for i, (label, series) in enumerate(panels.items()):
        axes = figure.add_subplot(down, across, i + 1)
        plots.style(axes)
        for colour, (name, histogram) in zip(_COLOURS * len(series), series.items(), strict=False):
            _steps(axes, histogram, name, colour)
        axes.set_xlim(*_ends(series.values()))
        axes.set_ylim(0, None)
        axes.set_xlabel(label)
        axes.set_ylabel("share of clips, %" if i % across == 0 else "")
        axes.legend(frameon=False, fontsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    if path is not None:
        figures.save(figure, path)
    return figure


def _steps(axes: Axes, histogram: Histogram, name: str, colour: str) -> None:
    counts = np.asarray(histogram.counts, float)
    shares = 100.0 * counts / max(1.0, counts.sum())
    edges = histogram.start + histogram.step * np.arange(len(counts) + 1)
    axes.stairs(shares, edges, color=colour, linewidth=1.4, label=f"{name} ({int(counts.sum())})")
    axes.stairs(shares, edges, color=colour, alpha=0.12, fill=True)


def _ends(series: Iterable[Histogram]) -> tuple[float, float]:
    """The bins that anything is in, and one more on either side."""
    low, high = float("inf"), float("-inf")
    for histogram in series:
        used = np.flatnonzero(histogram.counts)
        if len(used):
            low = min(low, histogram.start + histogram.step * (used[0] - 1))
            high = max(high, histogram.start + histogram.step * (used[-1] + 2))
    return (low, high) if low < high else (0.0, 1.0)
