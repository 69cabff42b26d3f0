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
INK, WAVE, BEHIND = "#1f2430", "#3b5b92", "#c3c9d4"
_FAINT = "#6b7280"


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


def error_db(rms: Any) -> np.ndarray:
    """Root mean squares per bin ``[F, N]`` on the scale of :func:`spectrogram_db`: dB of a full-scale sine."""
    rms = np.asarray(rms, np.float32)
    columns = np.linspace(0, rms.shape[1], min(_COLUMNS, rms.shape[1]), endpoint=False).astype(int)
    level: np.ndarray = 20 * np.log10(np.maximum(math.sqrt(2) * rms[:, columns], 1e-6))
    return level


def mono(x: Any) -> np.ndarray:
    """Mean over channels, or the strongest one where they cancel each other; float32 ``[samples]``."""
    x = np.asarray(x, dtype=np.float32)
    return to_mono(x.reshape(-1, x.shape[-1]))


def peak_of(*signals: np.ndarray) -> float:
    """The largest magnitude of all signals; 1 for silence."""
    return max((float(np.abs(x).max(initial=0.0)) for x in signals), default=0.0) or 1.0


def scale(signals: Mapping[str, np.ndarray], sample_rate: int) -> tuple[float, float]:
    """Darkest and loudest level: the loudest is what one bin in a thousand of the loudest signal exceeds."""
    loudest = [float(np.percentile(spectrogram_db(x, sample_rate), 99.9)) for x in signals.values()]
    high = max([*loudest, _FLOOR_DB + RANGE_DB])
    return high - RANGE_DB, high


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """A white figure of this size in inches, apart from pyplot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    return figure


def set_heading(axes: Axes, text: str) -> None:
    """Write the axes' title, bold, over their left end."""
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", color=INK)


def style(axes: Axes) -> None:
    """Quiet lines and small labels. Not by rcParams: those belong to the program that calls us."""
    axes.tick_params(colors=_FAINT, labelcolor=INK, labelsize=8, width=0.6, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=9, color=INK)
    for spine in axes.spines.values():
        spine.set(color=_FAINT, linewidth=0.6)


def _columns(x: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Times of a picture's columns, and the samples in each, ``[columns, n]``."""
    step = max(1, math.ceil(x.size / _COLUMNS))
    columns = np.pad(x, (0, -x.size % step), mode="edge").reshape(-1, step) if x.size else np.zeros((1, 1))
    return (np.arange(len(columns)) + 0.5) * step / sample_rate, columns


def waveform(
    axes: Axes, x: np.ndarray, rate: int, seconds: float, peak: float, color: str = WAVE, label: str = ""
) -> None:
    """Envelope between the lowest and the highest sample of each column."""
    style(axes)
    time, columns = _columns(x, rate)
    axes.fill_between(time, columns.min(1), columns.max(1), color=color, linewidth=0.6, label=label)
    axes.set(xlim=(0, seconds), ylim=(-1.05 * peak, 1.05 * peak), yticks=[])
    axes.tick_params(labelbottom=False, bottom=False)
    axes.spines[:].set_visible(False)
    axes.axhline(0, color=_FAINT, linewidth=0.4, zorder=0)


def share_track(axes: Axes, x: np.ndarray, sample_rate: int, seconds: float) -> None:
    """A share between 0 and 1 over time, as mean of each column."""
    style(axes)
    time, columns = _columns(x, sample_rate)
    axes.fill_between(time, 0, columns.mean(1), color=WAVE, linewidth=0)
    axes.set(xlim=(0, seconds), ylim=(0, 1), yticks=[0, 0.5, 1], xlabel="seconds")


def spectrogram(
    axes: Axes, x: np.ndarray, sample_rate: int, seconds: float, low: float, high: float
) -> AxesImage:
    """Draw a spectrogram on the given dB scale, kHz over seconds."""
    level = spectrogram_db(x, sample_rate)
    return level_map(axes, level, sample_rate, x.size / sample_rate, low, high, seconds)


def level_map(
    axes: Axes, level: np.ndarray, sample_rate: float, seconds: float, low: float, high: float, shown: float
) -> AxesImage:
    """Draw levels in dB ``[F, N]``, from 0 Hz to half the rate and over ``seconds``; ``shown`` of them are seen."""
    style(axes)
    extent = (0.0, seconds, 0.0, sample_rate / 2000)
    shades: Any = {"cmap": "magma", "vmin": low, "vmax": high}
    image = axes.imshow(level, origin="lower", aspect="auto", extent=extent, **shades)
    axes.set(facecolor="black", xlim=(0, shown))
    return image


def labels(axes: Axes, left: bool, bottom: bool) -> None:
    """Name the axes and number their ticks only at the picture's left and bottom edge."""
    axes.set(ylabel="kHz" if left else "", xlabel="seconds" if bottom else "")
    axes.tick_params(labelleft=left, labelbottom=bottom)


def colorbar(
    figure: Figure, image: AxesImage, axes: list[Axes], label: str = "level (dB of full scale)"
) -> None:
    """One scale of colours beside all axes."""
    bar = figure.colorbar(image, ax=axes, pad=0.015, aspect=35, fraction=0.04)
    bar.set_label(label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=_FAINT, labelcolor=INK, width=0.6, length=3)
    bar.outline.set_visible(False)


def uncertainty(figure: Figure, axes: Axes, values: Any, sample_rate: int, seconds: float) -> None:
    """Map of standard deviations on a scale of its own; in the waveform domain, which has one row, a track."""
    values = np.asarray(values, dtype=np.float32)
    style(axes)
    high = (float(np.percentile(values, 99.5)) if values.size else 0.0) or 1.0
    if values.ndim < 2 or len(values) < 2:
        track = values.reshape(-1)
        axes.fill_between(np.linspace(0, seconds, track.size), 0, track, color=WAVE, linewidth=0)
        axes.set(xlim=(0, seconds), ylim=(0, 1.1 * high))
        return
    extent = (0.0, seconds, 0.0, sample_rate / 2000)
    image = axes.imshow(values, origin="lower", aspect="auto", extent=extent, vmin=0, vmax=high)
    colorbar(figure, image, [axes], "standard deviation")
