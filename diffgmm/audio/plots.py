"""Parts of pictures of sounds: waveforms, spectrograms, scales, labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from diffgmm.audio.levels import to_mono

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

RANGE_DB = 75.0  # from the loudest colour to the darkest
_FLOOR_DB = -120.0
_COLUMNS = 1600  # of a spectrogram at most: more than a picture has pixels
_INK, _FAINT, WAVE, BEHIND = "#1f2430", "#6b7280", "#3b5b92", "#c3c9d4"


def spectrogram_db(x: np.ndarray, sample_rate: int) -> np.ndarray:
    """Magnitude spectrogram in dB, 0 dB for a full-scale sine; 32 ms Hann frames, centred.

    Args:
        x: float ``[samples]``.
        sample_rate: Hz.

    Returns:
        float32 ``[frequencies, frames]`` from 0 Hz to half the rate, not below -120 dB.
    """
    length = max(16, 2 * round(0.016 * sample_rate))
    hop = max(1, round(0.004 * sample_rate), math.ceil(x.size / _COLUMNS))
    window = np.hanning(length + 1)[:-1]
    padded = np.pad(np.asarray(x, np.float64), (length // 2, length // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[: max(1, x.size) : hop]
    magnitude = np.abs(np.fft.rfft(frames * window)).T * (2 / window.sum())
    return np.maximum(20 * np.log10(np.maximum(magnitude, 1e-12)), _FLOOR_DB).astype(np.float32)


def mono(x: Any) -> np.ndarray:
    """Mean over channels, or the strongest one where they cancel each other; float32 ``[samples]``."""
    x = np.asarray(x, dtype=np.float32)
    return to_mono(x.reshape(-1, x.shape[-1]))


def scale(signals: Mapping[str, np.ndarray], sample_rate: int) -> tuple[float, float]:
    """Darkest and loudest level: the loudest is what one bin in a thousand of the loudest signal exceeds."""
    loudest = [float(np.percentile(spectrogram_db(x, sample_rate), 99.9)) for x in signals.values()]
    high = max([*loudest, _FLOOR_DB + RANGE_DB])
    return high - RANGE_DB, high


def new_figure(width: float, height: float, title: str | None) -> Figure:
    """A white figure of this size in inches, apart from pyplot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=_INK)
    return figure


def set_heading(axes: Axes, text: str) -> None:
    """Write the axes' title, bold, over their left end."""
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", color=_INK)


def style(axes: Axes) -> None:
    """Quiet lines and small labels. Not by rcParams: those belong to the program that calls us."""
    # rcParams apply when an axes is made, which add_subplot does outside of our context: set them here, once
    # each.
    axes.tick_params(colors=_FAINT, labelcolor=_INK, labelsize=8, width=0.6, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=9, color=_INK)
    for spine in axes.spines.values():
        spine.set(color=_FAINT, linewidth=0.6)


def waveform(
    axes: Axes,
    x: np.ndarray,
    sample_rate: int,
    seconds: float,
    peak: float,
    color: str = WAVE,
    label: str | None = None,
) -> None:
    """Envelope between the lowest and the highest sample of each column."""
    style(axes)
    step = max(1, math.ceil(x.size / _COLUMNS))
    columns = np.pad(x, (0, -x.size % step), mode="edge").reshape(-1, step) if x.size else np.zeros((1, 1))
    time = (np.arange(len(columns)) + 0.5) * step / sample_rate
    axes.fill_between(time, columns.min(1), columns.max(1), color=color, linewidth=0.6, label=label)
    axes.set_xlim(0, seconds)
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.set_yticks([])
    axes.tick_params(labelbottom=False, bottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.axhline(0, color=_FAINT, linewidth=0.4, zorder=0)


def spectrogram(
    axes: Axes, x: np.ndarray, sample_rate: int, seconds: float, low: float, high: float
) -> AxesImage:
    """Draw a spectrogram on the given dB scale, kHz over seconds."""
    style(axes)
    extent = (0.0, x.size / sample_rate, 0.0, sample_rate / 2000)
    image = axes.imshow(
        spectrogram_db(x, sample_rate),
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="magma",
        vmin=low,
        vmax=high,
    )
    axes.set_facecolor("black")
    axes.set_xlim(0, seconds)
    return image


def error_map(
    axes: Axes,
    rms: np.ndarray,
    map_rate: float,
    sample_rate: int,
    seconds: float,
    low: float,
    high: float,
) -> None:
    """Root mean squares per bin ``[F, N]`` on the scale of :func:`spectrogram`: dB of a full-scale sine."""
    style(axes)
    rms = np.asarray(rms, np.float32)
    columns = np.linspace(0, rms.shape[1], min(_COLUMNS, rms.shape[1]), endpoint=False).astype(int)
    level = 20 * np.log10(np.maximum(math.sqrt(2) * rms[:, columns], 1e-6))
    extent = (0.0, seconds, 0.0, map_rate / 2000)
    axes.imshow(level, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high)
    axes.set_facecolor("black")
    axes.set_xlim(0, seconds)
    axes.set_ylim(0, sample_rate / 2000)


def share_track(axes: Axes, x: np.ndarray, sample_rate: int, seconds: float) -> None:
    """A share between 0 and 1 over time, as mean of each column."""
    style(axes)
    step = max(1, math.ceil(x.size / _COLUMNS))
    columns = np.pad(x, (0, -x.size % step), mode="edge").reshape(-1, step).mean(1) if x.size else np.zeros(1)
    axes.fill_between(
        (np.arange(len(columns)) + 0.5) * step / sample_rate, 0, columns, color=WAVE, linewidth=0
    )
    axes.set(xlim=(0, seconds), ylim=(0, 1), yticks=[0, 0.5, 1], xlabel="seconds")


def labels(axes: Axes, left: bool, bottom: bool) -> None:
    """Name the axes and number their ticks only at the picture's left and bottom edge."""
    if left:
        axes.set_ylabel("kHz")
    else:
        axes.tick_params(labelleft=False)
    if bottom:
        axes.set_xlabel("seconds")
    else:
        axes.tick_params(labelbottom=False)


def colorbar(figure: Figure, image: AxesImage, axes: list[Axes], label: str) -> None:
    """One scale of colours beside all axes."""
    bar = figure.colorbar(image, ax=axes, pad=0.015, aspect=35, fraction=0.04)
    bar.set_label(label, fontsize=9, color=_INK)
    bar.ax.tick_params(labelsize=8, colors=_FAINT, labelcolor=_INK, width=0.6, length=3)
    bar.outline.set_visible(False)


def uncertainty(top: Axes, axes: Axes, values: Any, sample_rate: int, seconds: float) -> None:
    """Map of standard deviations; its own scale lies where the other panels have their waveform."""
    values = np.asarray(values, dtype=np.float32)
    style(axes)
    set_heading(top, "uncertainty")
    top.set_axis_off()
    high = (float(np.percentile(values, 99.5)) if values.size else 0.0) or 1.0
    top.text(1.0, 1.02, "standard deviation", ha="right", va="bottom", fontsize=8, transform=top.transAxes)
    if values.ndim < 2 or len(values) < 2:  # one value per sample: the waveform domain has no frequencies
        row = values.reshape(-1)
        axes.fill_between(np.linspace(0, seconds, row.size), 0, row, color=WAVE, linewidth=0)
        axes.set(xlim=(0, seconds), ylim=(0, 1.1 * high))
        return
    extent = (0.0, seconds, 0.0, sample_rate / 2000)
    image = axes.imshow(
        values, origin="lower", aspect="auto", extent=extent, cmap="viridis", vmin=0, vmax=high
    )
    scale = top.inset_axes((0.0, 0.45, 1.0, 0.3))
    bar = axes.figure.colorbar(image, cax=scale, orientation="horizontal")
    scale.tick_params(labelsize=8, colors=_FAINT, labelcolor=_INK, width=0.6, length=2, pad=1)
    bar.outline.set_visible(False)
