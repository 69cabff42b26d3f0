"""Decoders behind one face: libsndfile for a file or several streams in it, PyAV for what libsndfile can't read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import soundfile

from diffgmm.audio.streams import Slice, Stretch

UNKNOWN = 1 << 62  # libsndfile's number of samples for "not told" is above this
#: Endings of containers that only PyAV opens (``pip install av``).
CONTAINERS = frozenset(
    [".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".aac", ".webm", ".mkv", ".mka", ".weba", ".wma", ".asf", ".amr",
     ".ac3", ".mp2", ".ape", ".wv", ".tta", ".dsf", ".avi"]
)  # fmt: skip


class Sound(Protocol):
    """What the reader needs of a decoder; ``soundfile.SoundFile`` is one."""

    samplerate: int
    channels: int
    frames: int
    format: str
    subtype: str
    extra_info: str

    def read(self, frames: int = -1, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """The next samples, ``[<= frames, channels]``; none at the end."""

    def seek(self, frames: int) -> int:
        """Go to a sample."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *error: Any) -> None: ...


def av_is_installed() -> bool:
    """Whether PyAV is there."""
    return find_spec("av") is not None


def open_sound(path: Path, streams: tuple[Stretch, ...] = ()) -> Sound:
    """Open a file for reading.

    Args:
        path: the file.
        streams: what :func:`diffgmm.audio.streams.layout` found in it.

    Raises:
        soundfile.SoundFileError: neither libsndfile nor PyAV reads it.
        StreamsDiffer: its streams can't be joined.
    """
    try:
        sound: Sound = Chain(path, streams) if streams else _InOrder(os.fsencode(path))
        if len(streams) == 1 and streams[0].samples:
            plain = _InOrder(os.fsencode(path))
            if plain.frames == streams[0].samples:  # a guess, but a right one
                return plain
            plain.close()
        return sound
    except soundfile.SoundFileError:
        if path.suffix.lower() not in CONTAINERS or not av_is_installed():
            raise
        return Media(path)


class _InOrder(soundfile.SoundFile):
    """A file that is read from front to back, without soundfile's seek after each block.

    libsndfile is where it should be anyway, and its MP3 decoder loses what it knows of earlier frames at a seek.
    """

    def seekable(self) -> bool:
        return False


class StreamsDiffer(ValueError):
    """Streams of several rates or numbers of channels in one file; the message is one line."""


class Chain:
    """Several streams of one file in a row, as if they were one; with their headers put right.

    Raises:
        StreamsDiffer: they have several rates or numbers of channels.
    """

    def __init__(self, path: Path, streams: tuple[Stretch, ...]) -> None:
        self._path, self._streams = path, streams
        self._open: soundfile.SoundFile | None = None
        self._slice: Slice | None = None
        self._index, self._lengths = -1, []
        first: soundfile.SoundFile | None = None
        for index in range(len(streams)):
            sound = self._turn_to(index)
            kind = (sound.samplerate, sound.channels)
            if first is None:
                first = kind
                self.samplerate, self.channels = kind
                self.format, self.subtype, self.extra_info = sound.format, sound.subtype, sound.extra_info
            elif kind != first:
                self._close()
                rate, channels = kind
                raise StreamsDiffer(
                    f"{path}: holds {len(streams)} streams in a row that can't be joined: {self.samplerate} Hz with "
                    f"{self.channels} channel(s), then {rate} Hz with {channels}; split the file"
                )
            self._lengths.append(streams[index].samples or sound.frames)
        self.frames = min(sum(self._lengths), 2 * UNKNOWN)
        self._turn_to(0)

    def read(self, frames: int = -1, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """The next samples, ``[<= frames, channels]``; none at the end."""
        while True:
            assert self._open is not None
            block: np.ndarray = self._open.read(frames, dtype=dtype, always_2d=always_2d)
            if len(block) or self._index + 1 >= len(self._streams):
                return block
            self._turn_to(self._index + 1)

    def seek(self, frames: int) -> int:
        """Go to a sample."""
        rest = frames
        for index, length in enumerate(self._lengths):
            if rest < length or index + 1 == len(self._lengths):
                self._turn_to(index).seek(rest)
                break
            rest -= length
        return frames

    def _turn_to(self, index: int) -> soundfile.SoundFile:
        self._close()
        self._slice = Slice(self._path, self._streams[index])
        self._open, self._index = _InOrder(self._slice), index
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
        if self._slice is not None:
            self._slice.close()

    def __enter__(self) -> Chain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


class Media:
    """The first audio stream of a container that PyAV opens; its length is known after decoding alone."""

    format, extra_info = "MEDIA", ""

    def __init__(self, path: Path) -> None:
        import av

        self._path = path
        self._resources = ExitStack()
        try:
            self._container = self._resources.enter_context(av.open(os.fsdecode(path)))
            if not self._container.streams.audio:
                raise soundfile.SoundFileRuntimeError("no audio stream")
            stream = self._container.streams.audio[0]
            self.samplerate, self.channels = stream.rate, stream.channels
            self.subtype = stream.codec_context.name.upper()
        except (av.FFmpegError, UnicodeError) as error:
            self._resources.close()
            raise soundfile.SoundFileRuntimeError(str(error)) from error
        except BaseException:
            self._resources.close()
            raise
        self.frames = 2 * UNKNOWN
        self._decoded = self._pieces()
        self._rest = np.zeros((0, self.channels), np.float32)

    def read(self, frames: int = -1, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """The next samples, ``[<= frames, channels]``; none at the end."""
        pieces, count = [self._rest], len(self._rest)
        while frames < 0 or count < frames:
            piece = next(self._decoded, None)
            if piece is None:
                break
            pieces.append(piece)
            count += len(piece)
        together = np.concatenate(pieces)
        stop = count if frames < 0 else frames
        self._rest = together[stop:]
        return together[:stop]

    def seek(self, frames: int) -> int:
        """Go to a sample ahead, by decoding up to it: containers find no sample exactly."""
        rest = frames
        while rest > 0 and (skipped := len(self.read(min(rest, 1 << 16)))):
            rest -= skipped
        return frames - rest

    def _pieces(self) -> Iterator[np.ndarray]:
        import av

        resampler = av.AudioResampler(format="flt", rate=self.samplerate)
        try:
            for frame in self._container.decode(audio=0):
                frame.pts = None  # gaps and overlaps of time stamps are not sound
                for piece in resampler.resample(frame):
                    yield self._array(piece)
            for piece in resampler.resample(None):
                yield self._array(piece)
        except av.FFmpegError as error:
            raise soundfile.SoundFileRuntimeError(str(error)) from error

    def _array(self, frame: Any) -> np.ndarray:
        array: np.ndarray = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
        if array.shape[1] != self.channels:
            raise soundfile.SoundFileRuntimeError("the number of channels changes inside the file")
        return array

    def __enter__(self) -> Media:
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.close()
