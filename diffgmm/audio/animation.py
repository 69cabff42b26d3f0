"""Sounds one after the other in a moving picture: waveform over spectrogram, all on one scale."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffgmm.audio import plots
from diffgmm.audio.figures import rgb
from diffgmm.audio.media import av_is_installed
from diffgmm.utils.errors import AudioError
from diffgmm.utils.files import replacing

ENDINGS = (".gif", ".mp4")
_HELD_SECONDS = 1.5  # of the first and of the last picture


def animate(
    sounds: Mapping[str, Any],
    sample_rate: int,
    path: str | os.PathLike[str],
    pictures_per_second: float = 4.0,
) -> None:
    """Write a GIF or MP4 file, atomically; an existing file is replaced.

    Args:
        sounds: heading -> signal, of one rate; the first and the last are shown longer.
        sample_rate: Hz.
        path: ends in one of :data:`ENDINGS`.
        pictures_per_second: above 0.

    Raises:
        AudioError: another ending, or an MP4 file without PyAV.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise AudioError(f"{path}: an animation is a .gif or an .mp4 file")
    if path.suffix.lower() == ".mp4" and not av_is_installed():
        raise AudioError(f"{path}: only PyAV writes this kind of file; pip install av")
    signals = {heading: plots.mono(x) for heading, x in sounds.items()}
    pictures = [_picture(heading, x, signals, sample_rate) for heading, x in signals.items()]
    seconds = [1.0 / pictures_per_second] * len(pictures)
    seconds[0] = seconds[-1] = max(_HELD_SECONDS, seconds[0])
    with replacing(path) as part:
        (_gif if path.suffix.lower() == ".gif" else _mp4)(part, pictures, seconds)


def _picture(heading: str, x: np.ndarray, signals: Mapping[str, np.ndarray], sample_rate: int) -> np.ndarray:
    """One frame, uint8 ``[height, width, 3]`` with even sizes, as video wants them."""
    seconds = max(signal.size for signal in signals.values()) / sample_rate
    peak = plots.peak_of(*signals.values())
    figure = plots.new_figure(8.0, 4.4)
    top, below = figure.subplots(2, 1, gridspec_kw={"height_ratios": [1, 3]})
    plots.waveform(top, x, sample_rate, seconds, peak)
    plots.set_heading(top, heading)
    image = plots.spectrogram(below, x, sample_rate, seconds, *plots.scale(signals, sample_rate))
    plots.labels(below, left=True, bottom=True)
    plots.colorbar(figure, image, [below])
    picture = rgb(figure)
    return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]


def _gif(part: Path, pictures: list[np.ndarray], seconds: list[float]) -> None:
    from PIL import Image  # matplotlib brings it

    first, *others = (Image.fromarray(picture).quantize(128) for picture in pictures)
    milliseconds = [round(1000 * s) for s in seconds]
    first.save(part, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=True)


def _mp4(part: Path, pictures: list[np.ndarray], seconds: list[float]) -> None:
    from fractions import Fraction

    import av

    height, width, _ = pictures[0].shape
    with av.open(os.fsdecode(part), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, 25)
        for picture, shown in zip(pictures, seconds, strict=True):
            for _ in range(max(1, round(25 * shown))):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
