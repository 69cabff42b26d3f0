"""Conversion of one clip to mono 16-bit FLAC: decode, condition, encode. Runs in worker processes and keeps nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from data_modules.corpora.recipe import Condition, Entry, Refused
from diffgmm.audio import AudioError, read, resample
from diffgmm.audio.levels import to_mono
from diffgmm.utils.files import replacing, sha256_of

G722_RATE = 16000


@dataclass(frozen=True)
class Prepared:
    """A clip on disk: its length, and the SHA256 of the file and of the samples."""

    frames: int
    sample_rate: int
    sha256: str
    content: str


Results = list[tuple[Entry, Prepared | Refused]]
"""Clips in order, each with what became of it."""


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Samples [channels, samples] (float32) and rate in Hz; raw G.722 by PyAV, the rest by soundfile.

    Raises:
        AudioError: the file cannot be decoded.
    """
    if path.suffix != ".g722":
        x, info = read(path)
        return x, info.sample_rate
    import av  # only this format needs it

    try:
        with av.open(str(path), format="g722") as container:
            pieces = [frame.to_ndarray().reshape(1, -1) for frame in container.decode(audio=0)]
    except av.FFmpegError as error:
        raise AudioError(f"{path}: not G.722 audio") from error
    if not pieces:
        raise AudioError(f"{path}: holds no audio")
    return np.concatenate(pieces, axis=1).astype(np.float32) / 32768.0, G722_RATE


def keep(x: np.ndarray, rate: int, kind: str, to_rate: int) -> np.ndarray | Refused:
    """Mono clip [samples], int16, at the corpus's rate: mixed down and resampled, and nothing else done to it.

    16-bit mono audio of the right rate stays as it is, bit for bit. What resampling lifts above full scale is
    limited to it. Speech and noise that is silent throughout is refused; in pairs silence has its place.

    Args:
        x: samples [channels, samples] in [-1, 1].
        rate: their rate in Hz.
        kind: ``speech``, ``noise``, ``clean`` or ``noisy``.
        to_rate: rate of the result in Hz.
    """
    mono = resample(to_mono(x), rate, to_rate)
    pcm = np.clip(np.rint(mono * np.float32(32768)), -32768, 32767).astype(np.int16)
    if not len(pcm):
        return Refused("short", f"{x.shape[-1]} samples at {rate} Hz")
    if kind in ("speech", "noise") and not pcm.any():
        return Refused("silent")
    return pcm


def convert(
    entry: Entry, *, folder: Path, sample_rate: int | None, condition: Condition | None
) -> Prepared | Refused:
    """Turn a clip into a FLAC file (mono, 16 bit), or say why not; one that is there already stays.

    Args:
        entry: the clip.
        folder: of the corpus; the file appears whole or not at all.
        sample_rate: of the result, in Hz; None keeps that of the file.
        condition: in the place of `keep`; it gives int16 samples, or float ones in [-1, 1].
    """
    target = folder / entry.path
    try:
        pcm, rate = soundfile.read(target, dtype="int16")
        return Prepared(len(pcm), rate, sha256_of(target), hashlib.sha256(pcm.tobytes()).hexdigest())
    except (OSError, soundfile.SoundFileError):
        pass  # not there, or damaged as the machine went down
    if entry.file.is_file() and entry.file.stat().st_size == 0:
        return Refused("empty")
    try:
        x, rate = decode(entry.file)
    except AudioError as error:
        return Refused("undecodable", str(error).removeprefix(f"{entry.file}: "))
    to_rate = sample_rate or rate
    if isinstance(pcm := (condition or keep)(x, rate, entry.kind, to_rate), Refused):
        return pcm
    if pcm.dtype != np.int16:
        pcm = np.clip(np.rint(pcm * 32768.0), -32768, 32767).astype(np.int16)
    # In memory first: libsndfile would tell of a full disk in its own words, Python raises OSError.
    encoded = BytesIO()
    soundfile.write(encoded, pcm, to_rate, format="FLAC", subtype="PCM_16")
    data = encoded.getvalue()
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        part.write_bytes(data)
    content = hashlib.sha256(pcm.tobytes()).hexdigest()
    return Prepared(len(pcm), to_rate, hashlib.sha256(data).hexdigest(), content)
