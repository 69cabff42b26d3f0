"""Formats of new files: container and codec by the name, depth and bit rate by the source."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from diffgmm.audio.media import ENCODERS
from diffgmm.audio.reader import FORMATS, AudioInfo
from diffgmm.audio.sounds import AudioError, av_is_installed

FLOAT_SUBTYPES = frozenset({"FLOAT", "DOUBLE"})  # these hold values beyond full scale
INTEGER_BITS = re.compile(r"(?:PCM_[SU]?|ALAC_)(\d+)")
_LOSSY = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}
#: Bytes of one sample of the subtypes that are not compressed.
SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
#: Containers with 32-bit sizes, and how many bytes of samples they take beside header and tags.
SMALL_CONTAINERS = ("WAV", "WAVEX", "AIFF", "AU")
MOST_BYTES = (1 << 32) - (1 << 22)


def choose_format(path: str | os.PathLike[str], like: AudioInfo | None = None) -> tuple[str, str]:
    """Format and subtype for a new file.

    Files keep what they came with if the ending stays the same. In another format they get the same subtype where
    it exists, else the least integer depth that holds as many bits (24 for floats, 16 for what was coded with a
    loss), and the codec that the name implies: ``.opus`` is Opus. Containers of AAC and video are the format ``MEDIA``.

    Raises:
        AudioError: the ending names no audio format, or one that needs PyAV, which is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix in ENCODERS:
        if not av_is_installed():
            raise AudioError(f"{path}: only PyAV writes this kind of file; pip install av")
        return "MEDIA", ENCODERS[suffix][1].upper()
    same = False
    if like is not None and like.format != "MEDIA":
        before = like.path.suffix.lower()
        same = suffix == before or not {suffix, before} & FORMATS.keys()  # neither name is informative
    if suffix not in FORMATS and not same:
        raise AudioError(
            f"{path}: the name's ending is no audio format; use one of {' '.join([*FORMATS, *ENCODERS])}"
        )
    form = like.format if like is not None and same else FORMATS[suffix]  # a .wav may hold WAVEX or RF64
    if form == "WAV" and not same and like is not None and like.channels > 2:
        form = "WAVEX"  # which states the places of its channels
    default = "OPUS" if suffix == ".opus" else str(soundfile.default_subtype(form))
    if like is None:
        return form, default
    if suffix == ".opus" and not same:
        return form, "OPUS"
    wanted = [like.subtype, _LOSSY[form]] if form in _LOSSY else list(_depths(like.subtype))
    for subtype in wanted:
        if _writable(form, subtype, like.sample_rate, like.channels):
            return form, subtype
    return form, default


def _depths(subtype: str) -> Iterator[str]:
    """Subtypes that keep what ``subtype`` holds, best first, then those that keep less."""
    yield subtype
    if subtype in FLOAT_SUBTYPES:
        yield from ("FLOAT", "PCM_24", "PCM_16")
        return
    match = INTEGER_BITS.fullmatch(subtype)
    bits = int(match[1]) if match else 16
    if bits == 8:
        yield from ("PCM_U8", "PCM_S8")
    depths = (16, 24, 32)
    for depth in [d for d in depths if d >= bits] + [d for d in reversed(depths) if d < bits]:
        yield f"PCM_{depth}"


def _writable(form: str, subtype: str, sample_rate: int, channels: int) -> bool:
    """Whether libsndfile writes this: it is tried, for ``soundfile.check_format`` allows more than there is."""
    try:
        with soundfile.SoundFile(io.BytesIO(), "w", sample_rate, channels, subtype, format=form):
            return True
    except (soundfile.SoundFileError, ValueError, TypeError):
        return False


def coding(subtype: str, like: AudioInfo | None) -> dict[str, float | str]:
    """Options of ``soundfile.SoundFile`` with which a lossy codec keeps the bit rate of a lossy source.

    Args:
        subtype: of the new file.
        like: where the sound came from; anything but MP3, Vorbis or Opus leaves libsndfile's defaults.
    """
    if like is None or like.subtype not in ("MPEG_LAYER_III", "VORBIS", "OPUS"):
        return {}
    kbits, constant = _bit_rate(like)
    rate, channels = like.sample_rate, like.channels
    if subtype == "MPEG_LAYER_III":
        most, least = (320, 32) if rate >= 32000 else (160, 8) if rate >= 16000 else (64, 8)
        level = (most - kbits) / (most - least)
        return {"compression_level": _clipped(level), "bitrate_mode": "CONSTANT" if constant else "AVERAGE"}
    if subtype == "OPUS":
        return {"compression_level": _clipped((256 * channels - kbits) / (250 * channels))}
    if subtype == "VORBIS":
        return {"compression_level": _vorbis_level(rate, channels, kbits)}
    return {}


def _clipped(level: float) -> float:
    return min(0.99, max(0.0, level))  # libsndfile refuses 1.0 for MP3


def _bit_rate(info: AudioInfo) -> tuple[float, bool]:
    """Kilobits a second of a lossy file without its tags, and whether the rate is constant."""
    from mutagen import MutagenError
    from mutagen.mp3 import MP3, BitrateMode
    from mutagen.oggvorbis import OggVorbis

    try:
        if info.subtype == "MPEG_LAYER_III":
            mp3: Any = MP3(info.path).info
            constant = mp3.bitrate_mode in (BitrateMode.CBR, BitrateMode.UNKNOWN)
            return mp3.bitrate / 1000, constant
        if info.subtype == "VORBIS":
            vorbis: Any = OggVorbis(info.path).info
            if vorbis.bitrate > 0:
                return vorbis.bitrate / 1000, False
    except MutagenError:
        pass  # measured below
    return info.path.stat().st_size * 8 / 1000 / max(info.seconds, 1e-3), False


def _vorbis_level(sample_rate: int, channels: int, kbits: float) -> float:
    """The compression level whose nominal bit rate, which the encoder writes into the header, is nearest."""
    nominal = {}
    for level in np.linspace(0.0, 1.0, 21):
        buffer = io.BytesIO()
        options = {"format": "OGG", "compression_level": float(level)}
        try:
            with soundfile.SoundFile(buffer, "w", sample_rate, channels, "VORBIS", **options):
                pass
        except soundfile.SoundFileError:
            continue
        at = buffer.getvalue().find(b"\x01vorbis")
        nominal[float(level)] = int.from_bytes(buffer.getvalue()[at + 20 : at + 24], "little", signed=True)
    return min(nominal, key=lambda level: abs(nominal[level] / 1000 - kbits), default=0.6)
