"""Write audio files atomically, keeping format and subtype, rescaling only what would clip."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import soundfile

from diffgmm.audio.reader import BLOCK, FORMATS, AudioError, AudioInfo
from diffgmm.utils.files import part_beside

FLOAT_SUBTYPES = frozenset({"FLOAT", "DOUBLE"})  # these hold values beyond full scale
_INTEGER_BITS = re.compile(r"(?:PCM_[SU]?|ALAC_)(\d+)")


def choose_format(path: str | os.PathLike[str], like: AudioInfo | None = None) -> tuple[str, str]:
    """Format and subtype for a new file: those of ``like`` if the ending allows it, else the default.

    Raises:
        AudioError: the ending names no audio format.
    """
    suffix = Path(path).suffix.lower()
    if like is not None and suffix == like.path.suffix.lower():
        form = like.format  # a .wav may hold WAVEX or RF64, keep it
    elif suffix in FORMATS:
        form = FORMATS[suffix]
    else:
        raise AudioError(f"{path}: the name's ending is no audio format; use one of {' '.join(FORMATS)}")
    if like is not None and soundfile.check_format(form, like.subtype):
        return form, like.subtype
    return form, "OPUS" if suffix == ".opus" else str(soundfile.default_subtype(form))


class Writer:
    """Write a file block by block; it appears under its name only when complete.

    Subtypes without headroom (integer, lossy) are spooled as float first, so that one gain can be applied
    to the whole file if, and only if, its peak exceeds full scale. Leaving the ``with`` block by an
    exception removes everything.

    Attributes:
        gain: factor applied to avoid clipping, 1.0 for none; final after :meth:`close`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        channels: int,
        *,
        format: str | None = None,
        subtype: str | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        if format is None:
            format, default = choose_format(self.path)
            subtype = subtype or default
        self.sample_rate, self.channels, self.format = sample_rate, channels, format
        self.subtype = subtype or str(soundfile.default_subtype(format))
        self.gain, self._peak, self._overwrite = 1.0, 0.0, overwrite
        self._sound: soundfile.SoundFile | None = None
        self._spool: IO[bytes] | None = None
        if self.path.is_dir():
            raise AudioError(f"{self.path}: is a directory, give a file name to write")
        if self.path.exists() and not overwrite:
            raise AudioError(f"{self.path}: exists already; choose another name or allow overwriting")
        if not self.path.parent.is_dir():
            raise AudioError(f"{self.path.parent}: no such folder to write into")
        self._part = part_beside(self.path)
        try:
            self._sound = soundfile.SoundFile(
                os.fsencode(self._part), "w", sample_rate, channels, self.subtype, format=format
            )
            if self.subtype not in FLOAT_SUBTYPES:
                self._spool = tempfile.SpooledTemporaryFile(max_size=1 << 26, dir=str(self.path.parent))  # noqa: SIM115
        except BaseException as error:
            self.abort()
            if not isinstance(error, (soundfile.SoundFileError, ValueError, OSError)):
                raise
            if not os.access(self.path.parent, os.W_OK):
                raise AudioError(f"{self.path.parent}: no permission to write into this folder") from error
            what = f"{channels} channel(s) at {sample_rate} Hz as {format}/{self.subtype}"
            raise AudioError(f"{self.path}: cannot write {what}; choose another format, say .wav") from error

    def write(self, block: np.ndarray) -> None:
        """Append float ``[channels, samples]``; NaN and Inf are refused."""
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"expected [{self.channels}, samples], got {list(block.shape)}")
        if not np.isfinite(block).all():
            raise AudioError(f"{self.path}: refusing to write NaN or Inf")
        frames = np.ascontiguousarray(block.T, dtype=np.float32)
        with self._disk_errors():
            if self._spool is None:
                self._encode(frames)
            elif frames.size:
                self._peak = max(self._peak, float(np.abs(frames).max()))
                self._spool.write(frames.tobytes())

    def close(self) -> float:
        """Finish the file, move it to its name and return the gain used (1.0 = none)."""
        with self._disk_errors():
            if self._spool is not None:
                self.gain = 1.0 if self._peak <= 1.0 else 1.0 / self._peak
                self._spool.seek(0)
                gain = np.float32(self.gain)
                while data := self._spool.read(BLOCK * 4 * self.channels):
                    self._encode(np.frombuffer(data, np.float32).reshape(-1, self.channels) * gain)
                self._spool.close()
            if self._sound is not None:
                self._sound.close()
            if self.path.exists() and not self._overwrite:
                raise AudioError(f"{self.path}: exists already; choose another name or allow overwriting")
            os.replace(self._part, self.path)
        return self.gain

    def abort(self) -> None:
        """Drop everything written so far."""
        if self._spool is not None:
            self._spool.close()
        if self._sound is not None:
            self._sound.close()
        self._part.unlink(missing_ok=True)

    def _encode(self, frames: np.ndarray) -> None:
        if self._sound is None:
            raise ValueError(f"{self.path}: writer is closed")
        bits = _INTEGER_BITS.fullmatch(self.subtype)
        if bits:  # round here: libsndfile truncates, which shifts every sample down by half a step
            top = 1 << (int(bits[1]) - 1)
            steps = np.clip(np.rint(frames.astype(np.float64) * top), -top, top - 1)
            frames = (steps * (2**31 // top)).astype(np.int32)
        self._sound.write(frames)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except (soundfile.SoundFileError, OSError) as error:
            self.abort()
            raise AudioError(f"{self.path}: writing failed ({error})") from error
        except AudioError:
            self.abort()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def write(
    path: str | os.PathLike[str],
    x: np.ndarray,
    sample_rate: int,
    *,
    format: str | None = None,
    subtype: str | None = None,
    overwrite: bool = False,
) -> float:
    """Write ``x`` (float ``[channels, samples]`` or ``[samples]``) atomically.

    Args:
        path: target; its ending chooses the format unless ``format`` does.
        sample_rate: Hz.
        format, subtype: soundfile's names, for example ``"WAV"`` and ``"PCM_24"``.
        overwrite: replace an existing file.

    Returns:
        The gain used: below 1.0 only if the peak would have clipped in this subtype.

    Raises:
        AudioError: exists already, unwritable folder, unsupported combination, NaN or Inf in ``x``.
    """
    x = np.atleast_2d(x)
    with Writer(path, sample_rate, x.shape[0], format=format, subtype=subtype, overwrite=overwrite) as writer:
        for start in range(0, x.shape[1], BLOCK):
            writer.write(x[:, start : start + BLOCK])
    return writer.gain
