"""Matplotlib figures as SVG inside of a page: its fonts, its colours in light and dark, nothing that collides."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, SIZE = 380.0, 268.0, 12.0
"""Of a plot in CSS pixels, and of its letters: as wide as a phone, so that nothing is scaled down there."""
_LEFT, _RIGHT, _BOTTOM, _TOP = 48.0, 26.0, 44.0, 10.0
SERIES = 8  # colours of the style sheet, --c0 to --c7
# Stand-ins that no plot would use: in the page they become the style sheet's colours.
_COLORS = {"#fd0001": "ink", "#fd0002": "faint", "#fd0003": "grid", "#fd0004": "paper"}
INK, FAINT, GRID, PAPER = _COLORS
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))


def color(i: int) -> str:
    """Of the i-th series, from 0; they come round."""
    return f"#fe00{i % SERIES:02x}"


def dash(i: int) -> str | tuple[int, tuple[float, ...]]:
    """Line style of the i-th series: another one each time that the colours come round."""
    return _DASHES[i // SERIES % len(_DASHES)]


def new_plot(x_label: str) -> tuple[Figure, Axes]:
    """A figure with one quiet pair of axes; the page names the plot and its y axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
    box = (
        _LEFT / WIDTH,
        _BOTTOM / HEIGHT,
        (WIDTH - _LEFT - _RIGHT) / WIDTH,
        (HEIGHT - _BOTTOM - _TOP) / HEIGHT,
    )
    axes = figure.add_axes(box)
    axes.set_xlabel(x_label, fontsize=SIZE, color=INK, labelpad=3)
    axes.tick_params(which="both", colors=FAINT, labelcolor=INK, labelsize=SIZE, width=0.8, length=3)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set(color=FAINT, linewidth=0.8, visible=side in ("left", "bottom"))
    return figure, axes


def log_axis(axes: Axes, low: float, high: float, base: int = 10) -> None:
    """Logarithmic x axis with plain numbers on it."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", base=base)
    axes.set_xlim(low, high)
    if base == 2:
        ticks = [2.0**k for k in range(0, 12) if low <= 2.0**k <= high]
    else:
        steps = (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 300 else (1,)
        ticks = [s * 10.0**k for k in range(-8, 8) for s in steps if low <= s * 10.0**k <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def separate(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones that are ``gap`` apart, in the same order, within bounds if there is room.

    >>> separate([5.0, 5.0, 20.0], 2.0, 0.0, 30.0)
    [4.0, 6.0, 20.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    # Blocks of labels that touch: each sits at the mean of what its labels want, and is merged with the one below.
    blocks: list[list[int]] = []

    def start(block: Sequence[int]) -> float:
        middle = sum(wanted[i] for i in block) / len(block)
        first = middle - gap * (len(block) - 1) / 2
        return min(max(first, low), max(low, high - gap * (len(block) - 1)))

    for i in order:
        blocks.append([i])
        while len(blocks) > 1 and start(blocks[-2]) + gap * len(blocks[-2]) > start(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    placed = [0.0] * len(wanted)
    for block in blocks:
        for k, i in enumerate(block):
            placed[i] = start(block) + gap * k
    return placed


def end_labels(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write labels to the right of their lines' ends, one above the other where they would meet.

    Args:
        axes: with their final limits.
        ends: x, y, label, colour of each line's last point.
    """
    transform = axes.transData
    points = [tuple(map(float, transform.transform((x, y)))) for x, y, _, _ in ends]
    heights = [p[1] for p in points]
    for place in {round(p[0] / 30) for p in points}:
        inside = [i for i, p in enumerate(points) if round(p[0] / 30) == place]
        moved = separate([heights[i] for i in inside], SIZE + 0.5, _BOTTOM, HEIGHT - _TOP)
        for i, height in zip(inside, moved, strict=True):
            heights[i] = height
    for (x, y, label, tint), point, height in zip(ends, points, heights, strict=True):
        axes.annotate(
            label,
            xy=(x, y),
            xytext=(point[0] + 9, height),
            textcoords="figure pixels",
            fontsize=SIZE,
            color=tint,
            fontweight="bold",
            va="center",
            parse_math=False,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": tint, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0},
        )


def inline(figure: Figure, key: str, label: str, titles: Mapping[str, str] | None = None) -> Markup:
    """The figure as an ``<svg>`` element.

    Args:
        figure: made with the colours of this module.
        key: unique in the page, letters and digits: ids begin with it.
        label: what the plot shows, for those who don't see it.
        titles: by ``gid`` of an artist, what is shown when one points at it.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = re.sub(r"<!--.*?-->|<style.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    box = re.search(r'viewBox="([\d. ]+)"', text)
    text = text[text.index(">") + 1 :].replace("xlink:href=", "href=")
    families = r"(?:'[^']*'|[\w -]+)(?:, ?(?:'[^']*'|[\w -]+))*"
    text = re.sub(rf"font-family: {families}", "font-family: var(--sans)", text)
    text = re.sub(rf"font: ([\w .]*?[\d.]+px) {families}", r"font: \1 var(--sans)", text)
    text = re.sub(r'(?<=\bid=")|(?<=href="#)|(?<=url\(#)', f"{key}-", text)
    text = re.sub(r"(\.\d\d)\d+(?=[\s\",)])", r"\1", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    for stand_in, name in _COLORS.items():
        text = text.replace(stand_in, f"var(--{name})")
    text = re.sub(r"#fe000([0-7])", r"var(--c\1)", text)
    for gid, title in (titles or {}).items():
        head = f'<g id="{key}-{gid}">'
        text = text.replace(head, f"{head}<title>{escape(title)}</title>", 1)
    opening = f'<svg class="plot" role="img" viewBox="{box[1] if box else ""}" aria-label="{escape(label)}">'
    return Markup(opening + text)
