"""Pictures of sounds: waveform over spectrogram on one decibel scale and what a model is unsure of.

Signals are float ``[samples]`` or ``[channels, samples]`` (channels are averaged) in [-1, 1]. Everything
returns a matplotlib ``Figure`` made without pyplot, so that nothing is left behind in a long training run;
:func:`png` and :func:`rgb` render it, and with a ``path`` it is also written there as a PNG.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diffgmm.audio import plots
from diffgmm.audio.levels import kept_channel
from diffgmm.utils.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Place = str | os.PathLike[str] | None
    Bins = tuple[np.ndarray, float] | None

_WIDE_SECONDS = 8.0  # longer sounds get the whole width of the picture


def spectrogram_panel(
    panels: Mapping[str, Any], sample_rate: int, path: Place = None, uncertainty: Any = None, title: str = ""
) -> Figure:
    """Waveform over spectrogram for each signal, all on one scale in dB, and an uncertainty map.

    Args:
        panels: title -> signal, of one rate; for example noisy, denoised, clean and estimated noise.
        sample_rate: Hz.
        path: of a PNG.
        uncertainty: standard deviation per time-frequency bin, ``[frequencies, frames]``, in the model's
            units.
        title: above everything.
    """
    signals = {name: plots.mono(x) for name, x in panels.items()}
    seconds = max((x.size for x in signals.values()), default=1) / sample_rate
    shown = signals if uncertainty is None else {**signals, "uncertainty": uncertainty}
    count = len(shown)
    across = 1 if seconds > _WIDE_SECONDS else min(count, 3 if count != 4 else 2)
    down = math.ceil(count / across)
    width, height = (11.0, 1.9) if across == 1 else (min(16.0, 4.4 * across + 1.4), 2.6)
    figure = plots.new_figure(width, height * down + 0.6, title)
    grid = figure.add_gridspec(2 * down, across, height_ratios=[1, 4] * down)
    low, high = plots.scale(signals, sample_rate)
    peak = plots.peak_of(*signals.values())
    image, drawn = None, []
    for i, (name, x) in enumerate(shown.items()):
        row, column = divmod(i, across)
        top, below = (figure.add_subplot(grid[2 * row + k, column]) for k in (0, 1))
        plots.set_heading(top, name)
        if name in signals:
            plots.waveform(top, x, sample_rate, seconds, peak)
            image = plots.spectrogram(below, x, sample_rate, seconds, low, high)
            drawn.append(below)
        else:
            top.set_axis_off()
            plots.uncertainty(figure, below, x, sample_rate, seconds)
        plots.labels(below, left=column == 0, bottom=i + across >= count)
    if image is not None:
        plots.colorbar(figure, image, drawn)
    return save(figure, path)


def before_after(noisy: Any, denoised: Any, sample_rate: int, path: Place = None) -> Figure:
    """What denoising did: both waveforms, and spectrograms before, after and of what was removed.

    Args:
        noisy: the signal before.
        denoised: the signal after, of the same rate.
        sample_rate: Hz.
        path: of a PNG.
    """
    before, after = (np.atleast_2d(np.asarray(x, dtype=np.float32)) for x in (noisy, denoised))
    kept = kept_channel(before) if len(before) == len(after) else None
    if kept is not None:  # channels of opposite phase: the same one before and after
        before, after = before[kept], after[kept]
    before, after = plots.mono(before), plots.mono(after)
    samples = max(1, min(before.size, after.size))
    signals = {"before": before, "after": after, "removed": before[:samples] - after[:samples]}
    return save(_stack({"before": before, "after": after}, signals, sample_rate), path)


def certainty_panel(
    denoised: Any, std: Any, confidence: Any, sample_rate: int, bins: Bins = None, path: Place = None
) -> Figure:
    """How sure a model is of what it gave: spectrogram, expected error per bin on the same scale, and confidence.

    Args:
        denoised: the signal.
        std: expected root-mean-square error around each sample, of the signal's shape, in full-scale amplitude.
        confidence: share of the expected speech energy that the signal has got, of the signal's shape.
        sample_rate: of these, Hz.
        bins: expected root-mean-square error per bin in full-scale amplitude, ``[F, N]`` from 0 Hz to half the model's
            rate, and that rate.
        path: of a PNG.
    """
    x, width, sure = (plots.mono(signal) for signal in (denoised, std, confidence))
    waveforms = {"denoised": x, "expected error (standard deviation)": width}
    return save(_stack(waveforms, {"denoised": x}, sample_rate, bins, sure), path)


def _stack(
    waveforms: Mapping[str, np.ndarray],
    signals: Mapping[str, np.ndarray],
    sample_rate: int,
    bins: Bins = None,
    confidence: np.ndarray | None = None,
) -> Figure:
    """Two waveforms over one another, spectrograms of signals, a map of errors on their scale, and a track."""
    seconds = max(1, *(x.size for x in waveforms.values())) / sample_rate
    low, high = plots.scale(signals, sample_rate)
    maps: list[tuple[str, np.ndarray, float, float]]
    maps = [(name, plots.spectrogram_db(x, sample_rate), sample_rate, x.size) for name, x in signals.items()]
    if bins is not None and len(bins[0]) > 1:
        level = plots.error_db(bins[0])
        maps.append(("expected error of each bin, on the same scale", level, bins[1], seconds * bins[1]))
    ratios = [1.3, *[2] * len(maps), *[1] * (confidence is not None)]
    figure = plots.new_figure(11.0, 1.9 * len(ratios))
    top, *axes = figure.subplots(len(ratios), 1, gridspec_kw={"height_ratios": ratios})
    peak = plots.peak_of(*waveforms.values())
    for (label, x), color in zip(waveforms.items(), (plots.BEHIND, plots.WAVE), strict=True):
        plots.waveform(top, x, sample_rate, seconds, peak, color, label)
    top.legend(
        loc="upper right", ncols=2, frameon=False, fontsize=8, bbox_to_anchor=(1.0, 1.32), borderaxespad=0
    )
    plots.set_heading(top, "waveform")
    for below, (name, level, rate, samples) in zip(axes, maps, strict=False):
        image = plots.level_map(below, level, rate, samples / rate, low, high, seconds)
        below.set_ylim(0, sample_rate / 2000)
        plots.set_heading(below, name)
        plots.labels(below, left=True, bottom=below is axes[-1])
    plots.colorbar(figure, image, axes[: len(maps)])
    if confidence is not None:
        plots.share_track(axes[-1], confidence, sample_rate, seconds)
        plots.set_heading(axes[-1], "confidence (share of the speech's energy that the output has)")
    return figure


def calibration_panel(shares: Sequence[float], path: Place = None, title: str = "") -> Figure:
    """How well a model knows what it does not know: where in its distributions the truth lay.

    To the left the histogram of the distribution function's values at the truth (PIT), flat for a calibrated model; to
    the right the share of truths in central intervals against the share that should lie there, on the diagonal for a
    calibrated model, below it for one that is too sure.

    Args:
        shares: of the histogram's bins, an even number of them over [0, 1], adding up to one.
        path: of a PNG.
        title: in the top left corner.
    """
    figure = plots.new_figure(9, 3.8, title)
    left, right = figure.subplots(1, 2)
    heights, half = np.asarray(shares), len(shares) // 2
    left.bar((np.arange(2 * half) + 0.5) / (2 * half), 2 * half * heights, 0.46 / half, color=plots.WAVE)
    left.axhline(1.0, color=plots.INK, linewidth=1, linestyle="--")
    left.set(xlim=(0, 1), ylim=(0, None), xlabel="distribution function at the truth", ylabel="density")
    plots.set_heading(left, "PIT (flat: calibrated)")
    covered = np.append(0.0, np.cumsum(heights[:half][::-1] + heights[half:]))
    right.plot([0, 1], [0, 1], color=plots.INK, linewidth=1, linestyle="--")
    right.plot(np.linspace(0, 1, half + 1), covered, color=plots.WAVE, marker="o", markersize=3.5)
    right.set(xlim=(0, 1), ylim=(0, 1), xlabel="central interval, nominal", ylabel="share of truths in it")
    plots.set_heading(right, "coverage (below the line: too sure)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return save(figure, path)


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def svg(figure: Figure, salt: str, **options: Any) -> bytes:
    """The figure as an SVG file's content, the same bytes each time; ``options`` of ``savefig``."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing, **options)
    return buffer.getvalue()


def rgb(figure: Figure, dpi: int = 80) -> np.ndarray:
    """The figure as uint8 ``[height, width, 3]``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: Place, dpi: int = 110) -> Figure:
    """Write the figure as a PNG file, if there is a path, atomically; an existing file is replaced."""
    if path is not None:
        with replacing(path) as part:
            part.write_bytes(png(figure, dpi))
    return figure
