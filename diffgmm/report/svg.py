"""Matplotlib figures as pictures inside a page."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffgmm.report.audio import data_uri

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
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing, bbox_inches="tight")
    return Plot(title, data_uri(buffer.getvalue(), "image/svg+xml"))
