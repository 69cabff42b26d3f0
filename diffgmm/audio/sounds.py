"""Decoders of one interface: libsndfile for a file or several streams in it, PyAV for what libsndfile can't read."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from diffgmm.audio.media import CONTAINERS, MediaReader
from diffgmm.audio.streams import UNKNOWN, Slice, Stretch
from diffgmm.utils.errors import UserError


def av_is_installed() -> bool:
    """Whether PyAV is there."""
    return find_spec("av") is not None


def open_sound(path: Path, streams: tuple[Stretch, ...] = ()) -> soundfile.SoundFile | Chain | MediaReader:
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


class AudioError(UserError):
    """A file that cannot be read or written as asked; one line: which file, what, what to do."""


class Chain:
    """Several streams of one file in a row, as if they were one; with their headers put right.

    Raises:
        AudioError: they have several rates or numbers of channels.
    """

    def __init__(self, path: Path, streams: tuple[Stretch, ...]) -> None:
        self._path, self._streams = path, streams
        self._open: Any = None
        self._slice: Any = None
        self._lengths: list[int] = []
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

    def seek(self, frames: int) -> int:
        """Go to a sample."""
        rest, index = frames, 0
        while index + 1 < len(self._lengths) and rest >= self._lengths[index]:
            rest -= self._lengths[index]
            index += 1
        self._turn_to(index).seek(rest)
        return frames

    def _turn_to(self, index: int) -> soundfile.SoundFile:
        self.close()
        self._slice, self._index = Slice(self._path, self._streams[index]), index
        self._open = _InOrder(self._slice)
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._slice.close()
