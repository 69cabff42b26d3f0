"""Sounds and their pictures as data inside of the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from diffgmm import audio
from diffgmm.audio import plots

#: Format and subtype for soundfile, and the type that browsers know it by. FLAC alters nothing and plays everywhere;
#: Vorbis takes a third of that, and old Safari does not play it.
CODECS = {"flac": ("FLAC", "PCM_16", "audio/flac"), "ogg": ("OGG", "VORBIS", "audio/ogg")}
SECONDS = 10.0
"""Longer files are cut to this."""
_QUALITY = 0.3  # libsndfile's compression level for Vorbis: PESQ of the decoded sound is 4.5 or more
_BLOCK = 16384
_SHAPE = (257, 560)  # of pictures, at most


@dataclass(frozen=True)
class Sound:
    """A sound of an example: float32 ``[samples]``."""

    x: np.ndarray
    sample_rate: int
    cut: bool

    @property
    def seconds(self) -> float:
        """Length."""
        return self.x.size / self.sample_rate


def load(path: Path) -> Sound:
    """A file's first seconds, its channels averaged.

    Raises:
        AudioError: not audio, or damaged.
    """
    x, info = audio.read(path, mono=True)
    most = round(SECONDS * info.sample_rate)
    return Sound(x[0, :most].copy(), info.sample_rate, x.shape[1] > most)


def encode(sound: Sound, codec: str) -> bytes:
    """The content of a file of that codec."""
    kind, subtype, _ = CODECS[codec]
    buffer = io.BytesIO()
    level = {"compression_level": _QUALITY} if codec == "ogg" else {}
    rate = sound.sample_rate
    with soundfile.SoundFile(buffer, "w", rate, 1, subtype, format=kind, **level) as file:
        # libsndfile's Vorbis overflows its stack with long pieces
        for start in range(0, sound.x.size, _BLOCK):
            file.write(np.clip(sound.x[start : start + _BLOCK], -1.0, 1.0))
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """A ``data:`` address that holds the content."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def sound_uri(sound: Sound, codec: str) -> str:
    """The sound as an address for ``<audio>``."""
    return data_uri(encode(sound, codec), CODECS[codec][2])


def spectrogram_uris(sounds: Sequence[Sound]) -> list[str]:
    """Spectrograms as addresses for ``<img>``, all on one scale: 75 dB from black to the loudest, 0 Hz below."""
    scales = [plots.scale({"": sound.x}, sound.sample_rate) for sound in sounds]
    low, high = max(scales, key=lambda scale: scale[1], default=(0.0, 1.0))
    return [
        picture_uri(plots.spectrogram_db(sound.x, sound.sample_rate), "magma", low, high) for sound in sounds
    ]


def picture_uri(values: np.ndarray, cmap: str, low: float, high: float) -> str:
    """A map ``[rows, columns]`` as a picture, row 0 at the bottom, made smaller if it is large: means of neighbours."""
    import torch
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    size = (min(values.shape[0], _SHAPE[0]), min(values.shape[1], _SHAPE[1]))
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]
    small = torch.nn.functional.adaptive_avg_pool2d(tensor, size)[0].numpy()
    style: dict[str, Any] = {"format": "webp", "pil_kwargs": {"quality": 50, "method": 4}}
    imsave(buffer, small, cmap=cmap, origin="lower", vmin=low, vmax=max(high, low + 1e-9), **style)
    return data_uri(buffer.getvalue(), "image/webp")
