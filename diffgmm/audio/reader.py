"""Reader of audio files, whole or block by block, that refuses what is not sound."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from diffgmm.audio.levels import to_mono
from diffgmm.audio.media import CONTAINERS, MediaReader, av_is_installed
from diffgmm.audio.signal import resample
from diffgmm.audio.streams import UNKNOWN, Layout, Slice, Stretch, layout
from diffgmm.utils.errors import AudioError

#: File name endings that libsndfile reads and writes, and the format each stands for.
FORMATS = {
    ".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".oga": "OGG", ".opus": "OGG", ".mp3": "MP3",
    ".aiff": "AIFF", ".aif": "AIFF", ".au": "AU", ".caf": "CAF", ".w64": "W64", ".rf64": "RF64",
}  # fmt: skip
BLOCK = 1 << 16  # frames per block when streaming
_SMALL = 512  # of a damaged file: libsndfile drops a block that breaks off
LOWEST_RATE = 100  # Hz; one second at 1 Hz would become 16000 samples in a model, the rest is damage
HIGHEST_RATE = 10_000_000  # Hz, far above any recorder; filters from a damaged header's 1 GHz took 3 GB
# libsndfile clips a sample count that the header promises to what is there, and reports it only in its log.
_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)", re.M)
_PLACEHOLDER = 0x7FFF0000  # sizes from here up are what programs that write into a pipe put in the header
_AGAIN = "copy the file again (`diffgmm denoise --salvage` takes what is there)"
_MP3_SLACK = 2 * 1152  # MP3 headers count frames before encoder delay and padding are cut


@dataclass(frozen=True)
class AudioInfo:
    """A file's header: ``frames`` is samples per channel; ``format``, ``subtype`` are soundfile's names.

    ``note`` says what had to be put right to read the file, for the user; empty for most files.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    note: str = ""

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate


def is_audio(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends like an audio file that this module reads: :data:`CONTAINERS` only with PyAV."""
    suffix = Path(path).suffix.lower()
    return suffix in FORMATS or (suffix in CONTAINERS and av_is_installed())


@contextmanager
def _opened(path: str | os.PathLike[str], salvage: bool = False) -> Iterator[tuple[Any, AudioInfo]]:
    path = Path(path)
    _check_file(path)
    try:
        placed = layout(path)
        opened = _sound(path, placed.streams)
    except (soundfile.SoundFileError, TypeError) as error:
        raise AudioError(f"{path}: {_unreadable(path)}") from error
    with closing(opened) as sound:
        notes = [placed.note] if placed.note else []
        promised = _SHORT.search(sound.extra_info)
        if promised and int(promised[2]) < int(promised[1]) < _PLACEHOLDER:
            notes.append(f"truncated, {promised[2]} of {promised[1]} bytes are there")
        elif placed.missing:
            notes.append(placed.missing)
        if len(notes) > bool(placed.note) and not salvage:
            raise AudioError(f"{path}: {notes[-1]}; {_AGAIN}")
        if not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
            raise AudioError(f"{path}: a sample rate of {sound.samplerate} Hz is no audio; repair the header")
        frames = sound.frames
        if salvage or frames > UNKNOWN:
            frames, complete = _counted(path, placed, _SMALL if salvage else BLOCK)
            slack = _MP3_SLACK if sound.format == "MP3" else 0
            if not complete or frames + slack < sound.frames < UNKNOWN:
                of = f" of {sound.frames}" if sound.frames < UNKNOWN else ""
                notes.append(f"damaged or truncated after {frames}{of} samples")
                if not salvage:
                    raise AudioError(f"{path}: {notes[-1]}; {_AGAIN}")
        if frames <= 0:
            raise AudioError(f"{path}: holds no audio samples")
        note = "; ".join(notes)
        kind = sound.samplerate, sound.channels, frames, sound.format, sound.subtype
        yield sound, AudioInfo(path, *kind, note)


def _check_file(path: Path) -> None:
    if path.is_dir():
        reason = "is a directory, give an audio file"
    elif not path.exists():
        reason = "no such file"
    elif not path.is_file():
        reason = "is no regular file; copy what it gives to one"
    elif not os.access(path, os.R_OK):
        reason = "permission denied"
    elif path.stat().st_size == 0:
        reason = "the file is empty"
    else:
        return
    raise AudioError(f"{path}: {reason}")


def _unreadable(path: Path) -> str:
    if path.suffix.lower() in CONTAINERS:
        if not av_is_installed():
            return "only PyAV reads this kind of file; pip install av"
        return "holds no sound that can be read, or is damaged"
    return "not an audio file this reads (WAV, FLAC, OGG, MP3 ...), or damaged"


def _counted(path: Path, placed: Layout, size: int) -> tuple[int, bool]:
    """How many samples can be decoded in blocks of ``size``, and whether nothing broke."""
    frames = 0
    try:
        with closing(_sound(path, placed.streams)) as sound:
            while block := len(sound.read(size, dtype="float32", always_2d=True)):
                frames += block
    except soundfile.SoundFileError:
        return frames, False
    return frames, True


def _sound(path: Path, streams: tuple[Stretch, ...] = ()) -> soundfile.SoundFile | Chain | MediaReader:
    """Open a file for reading.

    Args:
        path: the file.
        streams: what :func:`diffgmm.audio.streams.layout` found in it.

    Raises:
        soundfile.SoundFileError: neither libsndfile nor PyAV reads it.
        AudioError: its streams have several rates or numbers of channels.
    """
    try:
        if not streams:
            return _InOrder(os.fsencode(path))
        chain = Chain(path, streams)
        if len(streams) == 1 and streams[0].samples:
            plain = _InOrder(os.fsencode(path))
            if plain.frames == streams[0].samples:  # a guess, but a right one
                return plain
            plain.close()
        return chain
    except soundfile.SoundFileError:
        if path.suffix.lower() not in CONTAINERS or not av_is_installed():
            raise
        return MediaReader(path)


class _InOrder(soundfile.SoundFile):
    """A file that is read from front to back, without soundfile's seek after each block.

    libsndfile is where it should be anyway, and its MP3 decoder loses what it knows of earlier frames at a seek.
    """

    def seekable(self) -> bool:
        return False


class Chain:
    """Several streams of one file in a row, as if they were one; with their headers put right.

    Raises:
        AudioError: they have several rates or numbers of channels.
    """

    def __init__(self, path: Path, streams: tuple[Stretch, ...]) -> None:
        self._path, self._streams, self._lengths = path, streams, list[int]()
        self._resources = ExitStack()
        self.close = self._resources.close
        for index, stream in enumerate(streams):
            sound = self._turn_to(index)
            if index == 0:
                self.samplerate, self.channels = sound.samplerate, sound.channels
                self.format, self.subtype, self.extra_info = sound.format, sound.subtype, sound.extra_info
            elif (sound.samplerate, sound.channels) != (self.samplerate, self.channels):
                self.close()
                raise AudioError(
                    f"{path}: holds {len(streams)} streams in a row that can't be joined: {self.samplerate} Hz with "
                    f"{self.channels} channel(s), then {sound.samplerate} Hz with {sound.channels}; split the file"
                )
            self._lengths.append(stream.samples or sound.frames)
        self.frames = min(sum(self._lengths), 2 * UNKNOWN)
        self._turn_to(0)

    def read(self, frames: int = -1, **options: Any) -> np.ndarray:
        """The next samples, ``[<= frames, channels]``; none at the end."""
        while True:
            block: np.ndarray = self._open.read(frames, **options)
            if len(block) or self._index + 1 >= len(self._streams):
                return block
            self._turn_to(self._index + 1)

    def seek(self, frames: int) -> None:
        """Go to a sample."""
        index = 0
        while index + 1 < len(self._lengths) and frames >= self._lengths[index]:
            frames -= self._lengths[index]
            index += 1
        self._turn_to(index).seek(frames)

    def _turn_to(self, index: int) -> soundfile.SoundFile:
        self.close()
        piece = self._resources.enter_context(Slice(self._path, self._streams[index]))
        self._open, self._index = self._resources.enter_context(_InOrder(piece)), index
        return self._open


def probe(path: str | os.PathLike[str], salvage: bool = False) -> AudioInfo:
    """Return the file's rate, channels, length and format from its header.

    Args:
        path: the file.
        salvage: of a damaged or truncated file, take what can be read (it is decoded to count it).

    Raises:
        AudioError: missing, a directory, empty, truncated, without samples or not audio.
    """
    with _opened(path, salvage) as (_, info):
        return info


def read_blocks(
    path: str | os.PathLike[str],
    frames: int = BLOCK,
    first: int = 0,
    count: int | None = None,
    salvage: bool = False,
) -> Iterator[np.ndarray]:
    """Yield the file piece by piece, float32 ``[channels, <= frames]``, in constant memory.

    Args:
        path: the file.
        frames: samples per channel in a piece; the last may be shorter.
        first: where to begin, in samples of the file.
        count: how many samples to read; ``None``: up to the end.
        salvage: end where a damaged or truncated file does, rather than raise.

    Raises:
        AudioError: as :func:`probe`, when NaN, Inf or fewer samples than promised turn up on the way, and
            when the stretch asked for reaches past the end.
    """
    with _opened(path, salvage) as (sound, info):
        stop = info.frames if count is None else first + count
        if not 0 <= first < max(stop, 1) or stop > info.frames:
            raise AudioError(f"{path}: samples {first} to {stop} are asked for, the file has {info.frames}")
        if first:
            try:
                sound.seek(first)
            except (soundfile.SoundFileError, ValueError) as error:
                raise AudioError(f"{path}: damaged, or can't be read from sample {first} on") from error
        done = first
        frames = min(frames, _SMALL) if salvage else frames
        while count is None or done < stop:
            try:
                size = frames if count is None else min(frames, stop - done)
                block = sound.read(size, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                if salvage:
                    break
                there = f"{done} of {info.frames} samples"
                raise AudioError(f"{path}: damaged or truncated after {there}; {_AGAIN}") from error
            if not len(block):
                break
            bad = ~np.isfinite(block)
            if bad.any():
                frame, channel = np.argwhere(bad)[0]
                kind = "NaN" if np.isnan(block[frame, channel]) else "Inf"
                where = f"sample {done + frame} of channel {channel + 1}"
                raise AudioError(f"{path}: holds {kind} at {where}; repair the file")
            done += len(block)
            yield np.ascontiguousarray(block.T)
        short = done + (_MP3_SLACK if info.format == "MP3" else 0) < stop
        if (short and not salvage) or not done:
            raise AudioError(f"{path}: truncated, {done} of {info.frames} samples are there; {_AGAIN}")


def read(
    path: str | os.PathLike[str],
    sample_rate: int | None = None,
    mono: bool = False,
    start: float = 0.0,
    seconds: float | None = None,
) -> tuple[np.ndarray, AudioInfo]:
    """Read a whole file or a stretch of it.

    Args:
        path: WAV, FLAC, OGG, MP3 or another format of libsndfile.
        sample_rate: resample to this rate in Hz; ``None`` keeps the file's.
        mono: average the channels into one, or take the strongest if their mean would cancel them.
        start: where the stretch begins, in seconds, to the nearest sample.
        seconds: how long it is; ``None``: up to the end. It may exceed the end by one millisecond, for times
            in lists are rounded.

    Returns:
        float32 ``[channels, samples]`` in [-1, 1] (float files may exceed it) and the file's own info.

    Raises:
        AudioError: see :func:`read_blocks`.
    """
    info = probe(path)
    first, count = round(start * info.sample_rate), None
    if seconds is not None:
        slack = max(1, info.sample_rate // 1000)
        count = round(seconds * info.sample_rate)
        count -= first + count - info.frames if info.frames < first + count <= info.frames + slack else 0
    x = np.concatenate(list(read_blocks(path, first=first, count=count)), axis=1)
    if mono:
        x = to_mono(x)[None]
    if sample_rate is not None:
        x = resample(x, info.sample_rate, sample_rate)
    return x, info
