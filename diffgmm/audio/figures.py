"""Pictures of sounds: waveform over spectrogram, panels side by side on one decibel scale.

Signals are float ``[samples]`` or ``[channels, samples]`` (channels are averaged) in [-1, 1]. Everything
returns a matplotlib ``Figure`` made without pyplot, so that nothing is left behind in a long training run;
:func:`png` and :func:`rgb` render it.
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

_WIDE_SECONDS = 8.0  # longer sounds get the whole width of the picture


def spectrogram_panel(
    panels: Mapping[str, Any],
    sample_rate: int,
    path: str | os.PathLike[str] | None = None,
    uncertainty: Any = None,
    title: str | None = None,
) -> Figure:
    """Waveform over spectrogram for each signal, all on one scale in dB, and an uncertainty map.

    Args:
        panels: title -> signal, of one rate; for example noisy, denoised, clean and estimated noise.
        sample_rate: Hz.
        path: also write a PNG there.
        uncertainty: standard deviation per time-frequency bin, ``[frequencies, frames]``, in the model's
            units.
        title: above everything.

    Returns:
        The figure.
    """
    signals = {name: plots.mono(x) for name, x in panels.items()}
    seconds = max((x.size for x in signals.values()), default=1) / sample_rate
    count = len(signals) + (uncertainty is not None)
    across = 1 if seconds > _WIDE_SECONDS else min(count, 3 if count != 4 else 2)
    down = math.ceil(count / across)
    height = 1.9 if across == 1 else 2.6
    figure = plots.new_figure(
        min(16.0, 4.4 * across + 1.4) if across > 1 else 11.0, height * down + 0.6, title
    )
    grid = figure.add_gridspec(2 * down, across, height_ratios=[1, 4] * down)
    low, high = plots.scale(signals, sample_rate)
    peak = max((float(np.abs(x).max(initial=0.0)) for x in signals.values()), default=0.0) or 1.0
    image, axes = None, []
    for i in range(count):
        row, column = divmod(i, across)
        top = figure.add_subplot(grid[2 * row, column])
        below = figure.add_subplot(grid[2 * row + 1, column])
        if i < len(signals):
            name, x = list(signals.items())[i]
            plots.waveform(top, x, sample_rate, seconds, peak)
            plots.set_heading(top, name)
            image = plots.spectrogram(below, x, sample_rate, seconds, low, high)
        else:
            plots.uncertainty(top, below, uncertainty, sample_rate, seconds)
        plots.labels(below, left=column == 0, bottom=i + across >= count)
        axes.append(below)
    if image is not None:
        plots.colorbar(figure, image, axes, "level (dB of full scale)")
    if path is not None:
        save(figure, path)
    return figure


def before_after(
    noisy: Any, denoised: Any, sample_rate: int, path: str | os.PathLike[str] | None = None
) -> Figure:
    """What denoising did: both waveforms, and spectrograms before, after and of what was removed.

    Args:
        noisy: the signal before.
        denoised: the signal after, of the same rate.
        sample_rate: Hz.
        path: also write a PNG there.

    Returns:
        The figure.
    """
    before, after = (np.atleast_2d(np.asarray(x, dtype=np.float32)) for x in (noisy, denoised))
    kept = kept_channel(before) if len(before) == len(after) else None
    if kept is not None:  # channels of opposite phase: the same one before and after
        before, after = before[kept], after[kept]
    before, after = plots.mono(before), plots.mono(after)
    samples = max(1, min(before.size, after.size))
    signals = {"before": before, "after": after, "removed": before[:samples] - after[:samples]}
    seconds = max(before.size, after.size, 1) / sample_rate
    low, high = plots.scale(signals, sample_rate)
    figure = plots.new_figure(11.0, 7.6, None)
    grid = figure.add_gridspec(4, 1, height_ratios=[1.3, 2, 2, 2])
    top = figure.add_subplot(grid[0])
    peak = max(float(np.abs(before).max(initial=0.0)), float(np.abs(after).max(initial=0.0))) or 1.0
    plots.waveform(top, before, sample_rate, seconds, peak, plots.BEHIND, "before")
    plots.waveform(top, after, sample_rate, seconds, peak, plots.WAVE, "after")
    top.legend(
        loc="upper right", ncols=2, frameon=False, fontsize=8, bbox_to_anchor=(1.0, 1.32), borderaxespad=0
    )
    plots.set_heading(top, "waveform")
    axes, image = [], None
    for i, (name, x) in enumerate(signals.items()):
        below = figure.add_subplot(grid[i + 1])
        image = plots.spectrogram(below, x, sample_rate, seconds, low, high)
        plots.set_heading(below, name)
        plots.labels(below, left=True, bottom=i == 2)
        axes.append(below)
    if image is not None:
        plots.colorbar(figure, image, axes, "level (dB of full scale)")
    if path is not None:
        save(figure, path)
    return figure


def certainty_panel(
    denoised: Any,
    std: Any,
    confidence: Any,
    sample_rate: int,
    bins: tuple[Any, float] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """How sure a model is of what it gave: spectrogram, expected error per bin on the same scale, and confidence.

    Args:
        denoised: the signal.
        std: expected root-mean-square error around each sample, of the signal's shape, in full-scale amplitude.
        confidence: share of the expected speech energy that the signal has got, of the signal's shape.
        sample_rate: of these, Hz.
        bins: expected root-mean-square error per bin in full-scale amplitude, ``[F, N]`` from 0 Hz to half the model's
            rate, and that rate.
        path: also write a PNG there.

    Returns:
        The figure.
    """
    x, width, sure = (plots.mono(signal) for signal in (denoised, std, confidence))
    seconds = max(x.size, 1) / sample_rate
    mapped = bins is not None and len(bins[0]) > 1
    figure = plots.new_figure(11.0, 7.6 if mapped else 5.7, None)
    grid = figure.add_gridspec(3 + mapped, 1, height_ratios=[1.3, 2, 2, 1] if mapped else [1.3, 2, 1])
    top = figure.add_subplot(grid[0])
    peak = float(np.abs(x).max(initial=0.0)) or 1.0
    plots.waveform(top, x, sample_rate, seconds, peak, plots.BEHIND, "denoised")
    plots.waveform(top, width, sample_rate, seconds, peak, plots.WAVE, "expected error (standard deviation)")
    top.legend(
        loc="upper right", ncols=2, frameon=False, fontsize=8, bbox_to_anchor=(1.0, 1.32), borderaxespad=0
    )
    plots.set_heading(top, "waveform")
    low, high = plots.scale({"denoised": x}, sample_rate)
    below = figure.add_subplot(grid[1])
    image = plots.spectrogram(below, x, sample_rate, seconds, low, high)
    plots.set_heading(below, "denoised")
    plots.labels(below, left=True, bottom=False)
    axes = [below]
    if bins is not None and mapped:
        below = figure.add_subplot(grid[2])
        plots.error_map(below, *bins, sample_rate, seconds, low, high)
        plots.set_heading(below, "expected error of each bin, on the same scale")
        plots.labels(below, left=True, bottom=False)
        axes.append(below)
    plots.colorbar(figure, image, axes, "level (dB of full scale)")
    bottom = figure.add_subplot(grid[2 + mapped])
    plots.share_track(bottom, sure, sample_rate, seconds)
    plots.set_heading(bottom, "confidence (share of the speech's energy that the output has)")
    if path is not None:
        save(figure, path)
    return figure


def calibration_panel(
    shares: Sequence[float], path: str | os.PathLike[str] | None = None, title: str | None = None
) -> Figure:
    """How well a model knows what it does not know: where in its distributions the truth lay.

    To the left the histogram of the distribution function's values at the truth (PIT), flat for a calibrated model; to
    the right the share of truths in central intervals against the share that should lie there, on the diagonal for a
    calibrated model, below it for one that is too sure.

    Args:
        shares: of the histogram's bins, an even number of them over [0, 1], adding up to one.
        path: where to write the PNG, if anywhere; an existing file is replaced.
        title: in the top left corner.
    """
    figure = plots.new_figure(9, 3.8, title)
    left, right = (figure.add_subplot(1, 2, i) for i in (1, 2))
    bins, half = len(shares), len(shares) // 2
    left.bar(
        [(i + 0.5) / bins for i in range(bins)],
        [bins * share for share in shares],
        0.92 / bins,
        color=plots.WAVE,
    )
    left.axhline(1.0, color="#1f2430", linewidth=1, linestyle="--")
    left.set(xlim=(0, 1), ylim=(0, None), xlabel="distribution function at the truth", ylabel="density")
    plots.set_heading(left, "PIT (flat: calibrated)")
    levels, covered = [0.0], [0.0]
    for k in range(half):
        levels.append((k + 1) / half)
        covered.append(covered[-1] + shares[half - 1 - k] + shares[half + k])
    right.plot([0, 1], [0, 1], color="#1f2430", linewidth=1, linestyle="--")
    right.plot(levels, covered, color=plots.WAVE, marker="o", markersize=3.5)
    right.set(xlim=(0, 1), ylim=(0, 1), xlabel="central interval, nominal", ylabel="share of truths in it")
    plots.set_heading(right, "coverage (below the line: too sure)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    if path is not None:
        save(figure, path)
    return figure


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def rgb(figure: Figure, dpi: int = 80) -> np.ndarray:
    """The figure as uint8 ``[height, width, 3]``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = 110) -> None:
    """Write the figure as a PNG file, atomically; an existing file is replaced."""
    with replacing(path) as part:
        part.write_bytes(png(figure, dpi))
