"""Atomic writer of audio files that keeps format and subtype and rescales only what would clip.

Container and codec of a new file go by its name, depth and bit rate by the source.
"""

from __future__ import annotations

import errno
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import soundfile

from diffgmm.audio import tags
from diffgmm.audio.media import ENCODERS, MediaWriter, av_is_installed
from diffgmm.audio.reader import BLOCK, FORMATS, AudioInfo
from diffgmm.utils.errors import AudioError
from diffgmm.utils.files import part_beside

Clip = Literal["scale", "keep"]
_FLOAT_SUBTYPES = frozenset({"FLOAT", "DOUBLE"})  # these hold values beyond full scale
_INTEGER_BITS = re.compile(r"(?:PCM_[SU]?|ALAC_)(\d+)")
_LOSSY = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}
#: Bytes of one sample of the subtypes that are not compressed.
_SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
#: Containers with 32-bit sizes, and how many bytes of samples they take beside header and tags.
_SMALL_CONTAINERS = ("WAV", "WAVEX", "AIFF", "AU")
MOST_BYTES = (1 << 32) - (1 << 22)


class Writer:
    """Write a file block by block; it appears under its name only when complete.

    Subtypes without headroom (integer, lossy) are spooled as float first, so that one gain can be applied
    to the whole file if, and only if, its peak exceeds full scale. A WAV that would pass 4 GiB becomes an RF64
    file; other containers with 32-bit sizes refuse. Leaving the ``with`` block by an exception removes everything.

    Args:
        path: the file.
        sample_rate: Hz.
        channels: of every block.
        format, subtype: soundfile's names; by default those of ``like``, or what the ending of ``path`` stands for.
        overwrite: replace an existing file.
        like: the file that the sound came from: its bit rate, places of channels, tags and cover are kept where the
            format can hold them.
        frames: how many samples per channel will be written, if that is known. What can't hold them is refused here.
        clip: ``scale`` lowers the whole file where it would clip, ``keep`` leaves the level and cuts peaks off.

    Attributes:
        gain: factor applied to avoid clipping, 1.0 for none; final after :meth:`close`.
        clipped: samples that were cut off, with ``clip="keep"``.
        lost: what of ``like`` could not be kept, in words; final after :meth:`close`.

    Raises:
        AudioError: exists already, unwritable folder, unsupported combination, too long for the format.
        ValueError: an unknown ``clip``.
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
        like: AudioInfo | None = None,
        frames: int | None = None,
        clip: Clip = "scale",
    ) -> None:
        if clip not in ("scale", "keep"):
            raise ValueError(f"clip must be scale or keep, got {clip!r}")
        self.path = Path(path)
        if format is None:
            format, default = choose_format(self.path, like)
            subtype = subtype or default
        self.sample_rate, self.channels, self.format = sample_rate, channels, format
        self.subtype = subtype or str(soundfile.default_subtype(format))
        self.gain, self._peak, self._overwrite = 1.0, 0.0, overwrite
        self.clipped, self._frames, self._like = 0, 0, like
        self.lost: list[str] = []
        self._sound: soundfile.SoundFile | MediaWriter | None = None
        self._spool: IO[bytes] | None = None
        headroom = self.subtype in _FLOAT_SUBTYPES
        self._cut_off = clip == "keep" and not headroom
        may_grow = frames is None and self.format in _SMALL_CONTAINERS
        spooled = may_grow or not (headroom or self._cut_off)
        if frames is not None:
            self._fit(frames)
        if self.path.is_dir():
            raise AudioError(f"{self.path}: is a directory, give a file name to write")
        if self.path.exists() and not overwrite:
            raise AudioError(f"{self.path}: exists already; choose another name or allow overwriting")
        if not self.path.parent.is_dir():
            raise AudioError(f"{self.path.parent}: no such folder to write into")
        self._part = part_beside(self.path)
        try:
            self._part.touch()  # gives the reason for a failure, where libsndfile has one message for everything
        except PermissionError as error:
            raise AudioError(f"{self.path.parent}: no permission to write into this folder") from error
        except OSError as error:
            raise AudioError(f"{self.path}: {error.strerror}") from error
        try:
            self._sound = self._opened()
            if spooled:
                self._spool = tempfile.SpooledTemporaryFile(max_size=1 << 26, dir=str(self.path.parent))  # noqa: SIM115
        except BaseException as error:
            self.abort()
            known = isinstance(error, (soundfile.SoundFileError, ValueError, OSError))
            if isinstance(error, AudioError) or not known:
                raise
            what = f"{channels} channel(s) at {sample_rate} Hz as {format}/{self.subtype}"
            raise AudioError(f"{self.path}: cannot write {what}; choose another format, say .wav") from error

    def write(self, block: np.ndarray) -> None:
        """Append float ``[channels, samples]``; NaN and Inf are refused."""
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"expected [{self.channels}, samples], got {list(block.shape)}")
        if not np.isfinite(block).all():
            raise AudioError(f"{self.path}: refusing to write NaN or Inf")
        frames = np.ascontiguousarray(block.T, dtype=np.float32)
        self._frames += len(frames)
        with self._disk_errors():
            self._fit(self._frames, started=self._spool is None)
            if frames.size:
                self._peak = max(self._peak, float(np.abs(frames).max()))
            if self._cut_off and self._peak > 1.0:
                self.clipped += int(np.count_nonzero(np.abs(frames) > 1.0))
                frames = np.clip(frames, -1.0, 1.0)
            if self._spool is None:
                self._encode(frames)
            else:
                self._spool.write(frames.tobytes())

    def close(self) -> float:
        """Finish the file, move it to its name and return the gain used (1.0 = none)."""
        with self._disk_errors():
            if self._spool is not None:
                if self._sound is not None and self._sound.format != self.format:  # longer than a WAV can be
                    self._sound.close()
                    self._sound = self._opened()
                scaled = self._peak > 1.0 and not self._cut_off and self.subtype not in _FLOAT_SUBTYPES
                self.gain = 1.0 / self._peak if scaled else 1.0
                self._spool.seek(0)
                gain = np.float32(self.gain)
                while data := self._spool.read(BLOCK * 4 * self.channels):
                    self._encode(np.frombuffer(data, np.float32).reshape(-1, self.channels) * gain)
                self._spool.close()
            if isinstance(self._sound, MediaWriter):
                self._sound.finish()
                self._sound.close()
                self.lost = self._sound.lost
            elif self._sound is not None:
                self._sound.close()
                if soundfile.info(os.fsencode(self._part)).frames < self._frames:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            if self._like is not None and self.format != "MEDIA":
                self.lost = tags.carry(self._like, self._part, self.format)
            if self.path.exists() and not self._overwrite:
                raise AudioError(f"{self.path}: exists already; choose another name or allow overwriting")
            self._part.replace(self.path)
        return self.gain

    def abort(self) -> None:
        """Drop everything written so far."""
        if self._spool is not None:
            self._spool.close()
        if self._sound is not None:
            self._sound.close()
        self._part.unlink(missing_ok=True)

    def _opened(self) -> soundfile.SoundFile | MediaWriter:
        if self.format == "MEDIA":
            like = None if self._like is None else self._like.path
            return MediaWriter(self._part, self.path, self.sample_rate, self.channels, like)
        options = {"format": self.format, **coding(self.subtype, self._like)}
        kind = self.sample_rate, self.channels, self.subtype
        sound = soundfile.SoundFile(os.fsencode(self._part), "w", *kind, **options)
        if self._like is not None:
            tags.copy_channels(self._like.path, sound)
            for name, value in tags.strings(self._like, self.format).items():
                setattr(sound, name, value)
        return sound

    def _fit(self, frames: int, started: bool = False) -> None:
        """Take RF64 instead of WAV if so many frames need it.

        Raises:
            AudioError: they don't fit into the format, or the file has begun as another.
        """
        needed = frames * self.channels * _SAMPLE_BYTES.get(self.subtype, 1)
        if self.format not in _SMALL_CONTAINERS or needed <= MOST_BYTES:
            return
        if self.format not in ("WAV", "WAVEX") or started:
            raise AudioError(
                f"{self.path}: {needed / (1 << 30):.1f} GiB of samples are more than {self.format} holds; "
                "choose another format, say .w64 or .flac"
            )
        self.format = "RF64"

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
        # soundfile asserts that all is written
        except (soundfile.SoundFileError, OSError, AssertionError) as error:
            why = self._words_of_the_system(error)
            self.abort()
            raise AudioError(f"{self.path}: writing failed: {why}") from error
        except AudioError:
            self.abort()
            raise

    def _words_of_the_system(self, error: BaseException) -> str:
        """Why a file can't be written: libsndfile gives no reason, so one more write is tried."""
        if isinstance(error, OSError) and error.errno != errno.EIO:
            return error.strerror or str(error)
        try:
            with self._part.open("ab") as file:
                file.write(bytes(1 << 16))
                file.flush()
                os.fsync(file.fileno())
        except OSError as refusal:
            return refusal.strerror or str(refusal)
        return str(error) or "not everything was written"

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
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
    options: Any = {"format": format, "subtype": subtype, "overwrite": overwrite, "frames": x.shape[1]}
    with Writer(path, sample_rate, len(x), **options) as writer:
        writer.write(x)
    return writer.gain


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
        known = " ".join([*FORMATS, *ENCODERS])
        raise AudioError(f"{path}: the name's ending is no audio format; use one of {known}")
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
    if subtype in _FLOAT_SUBTYPES:
        yield from ("FLOAT", "PCM_24", "PCM_16")
        return
    match = _INTEGER_BITS.fullmatch(subtype)
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

    kinds: dict[str, Any] = {"MPEG_LAYER_III": MP3, "VORBIS": OggVorbis}
    with suppress(MutagenError, KeyError):  # then it is measured
        coded = kinds[info.subtype](info.path).info
        if coded.bitrate > 0:
            constant = getattr(coded, "bitrate_mode", None) in (BitrateMode.CBR, BitrateMode.UNKNOWN)
            return coded.bitrate / 1000, constant
    return info.path.stat().st_size * 8 / 1000 / max(info.seconds, 1e-3), False


def _vorbis_level(sample_rate: int, channels: int, kbits: float) -> float:
    """The compression level whose nominal bit rate, which the encoder writes into the header, is nearest."""
    nominal = {}
    for level in np.linspace(0.0, 1.0, 21):
        buffer = io.BytesIO()
        options = {"format": "OGG", "compression_level": float(level)}
        try:
            soundfile.SoundFile(buffer, "w", sample_rate, channels, "VORBIS", **options).close()
        except soundfile.SoundFileError:
            continue
        at = buffer.getvalue().find(b"\x01vorbis")
        nominal[float(level)] = int.from_bytes(buffer.getvalue()[at + 20 : at + 24], "little", signed=True)
    return min(nominal, key=lambda level: abs(nominal[level] / 1000 - kbits), default=0.6)
