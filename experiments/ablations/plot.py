"""The plot beside the table: every seed of every variant."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffgmm.audio import replacing
from experiments.ablations.judging import SETTINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from experiments.ablations.table import Row

_MARKS = {"nfe1": ("o", "#1f6feb", "NFE 1, mean"), "nfe4": ("s", "#d9822b", "NFE 4, mean"),
          "nfe4_sample": ("^", "#4a9a5b", "NFE 4, sampled")}  # fmt: skip


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write an SVG: NLL left, PESQ by sampler setting right, one line a variant."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 0.9 + 0.3 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        if row.has_likelihood:
            values = row.values("mixture", "nll")
            left.plot(values, [place] * len(values), "o", color="#1f6feb", markersize=5, alpha=0.7)
        for setting in SETTINGS:
            mark, tint, label = _MARKS[setting]
            values = row.values("quality", setting, "pesq_wb")
            first = label if place == 0 else None
            right.plot(values, [place] * len(values), mark, color=tint, markersize=5, alpha=0.7, label=first)
    left.set_yticks(range(len(rows)), [row.variant.says for row in rows])
    left.invert_yaxis()
    left.set_xlabel("NLL in nats per real dimension (lower is better)")
    right.set_xlabel("pesq_wb (dashed: noisy)")
    right.axvline(
        rows[0].results[0]["quality"]["noisy"]["pesq_wb"], color="#777777", linestyle="--", linewidth=1
    )
    right.legend(fontsize=8, loc="best")
    for axes in (left, right):
        _quiet(axes)
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ablations"}):
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    with replacing(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def _quiet(axes: Axes) -> None:
    axes.grid(True, color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
