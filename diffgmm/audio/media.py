"""Containers of AAC and video through PyAV: sound out of them, and new sound beside the pictures that it came with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from diffgmm.audio.streams import UNKNOWN
from diffgmm.utils.errors import AudioError

#: Endings of containers that only PyAV opens (``pip install av``).
CONTAINERS = frozenset(
    [".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".aac", ".webm", ".mkv", ".mka", ".weba", ".wma", ".asf", ".amr",
     ".ac3", ".mp2", ".ape", ".wv", ".tta", ".dsf", ".avi"]
)  # fmt: skip
#: Endings that can be written: FFmpeg's names of the container and of what codes the sound.
ENCODERS = {
    ".m4a": ("mp4", "aac"), ".m4b": ("mp4", "aac"), ".mp4": ("mp4", "aac"), ".m4v": ("mp4", "aac"),
    ".mov": ("mov", "aac"), ".aac": ("adts", "aac"), ".mkv": ("matroska", "libopus"), ".mka": ("matroska", "libopus"),
    ".webm": ("webm", "libopus"), ".weba": ("webm", "libopus"),
}  # fmt: skip
VIDEO = frozenset([".mp4", ".m4v", ".mov", ".mkv", ".webm"])
"""Those that take pictures along."""
_COVERED = frozenset([".m4a", ".m4b", ".mp4", ".m4v", ".mov"])
_BITS_A_CHANNEL = 96_000  # a second, where the source has no rate to keep
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_GAP_SECONDS = 0.03  # between the time stamps of sound; less is rounding


def av_is_installed() -> bool:
    """Whether PyAV is there."""
    return find_spec("av") is not None


@contextmanager
def _as_soundfile_errors() -> Iterator[None]:
    """PyAV's errors as those of libsndfile, which those who read and write files know."""
    import av

    try:
        yield
    except AudioError:
        raise
    except (av.FFmpegError, UnicodeError, ValueError) as error:
        raise soundfile.SoundFileRuntimeError(" ".join(str(error).split())) from error


class MediaReader:
    """The first audio stream of a container that PyAV opens; its length is known after decoding alone.

    Raises:
        soundfile.SoundFileError: it can't be opened, or has no sound.
    """

    format, extra_info, frames = "MEDIA", "", 2 * UNKNOWN

    def __init__(self, path: Path) -> None:
        import av

        with _as_soundfile_errors(), ExitStack() as resources:
            self._container = resources.enter_context(av.open(os.fsdecode(path)))
            if not self._container.streams.audio:
                raise soundfile.SoundFileRuntimeError("no audio stream")
            stream = self._container.streams.audio[0]
            self.samplerate, self.channels = stream.rate, stream.channels
            self.subtype = stream.codec_context.name.upper()
            self.close = resources.pop_all().close
        self._decoded = self._pieces()
        self._rest = np.zeros((0, self.channels), np.float32)

    def read(self, frames: int, **_options: Any) -> np.ndarray:
        """The next samples, ``[<= frames, channels]``; none at the end."""
        while len(self._rest) < frames and (piece := next(self._decoded, None)) is not None:
            self._rest = np.concatenate([self._rest, piece])
        block, self._rest = self._rest[:frames], self._rest[frames:]
        return block

    def seek(self, frames: int) -> None:
        """Go to a sample ahead, by decoding up to it: containers find no sample exactly."""
        while frames > 0 and (skipped := len(self.read(min(frames, 1 << 16)))):
            frames -= skipped

    def _pieces(self) -> Iterator[np.ndarray]:
        import av

        resampler = av.AudioResampler(format="flt", rate=self.samplerate)
        with _as_soundfile_errors():
            for frame in chain(self._container.decode(audio=0), [None]):
                if frame is not None:
                    frame.pts = None  # gaps and overlaps of time stamps are not sound
                for piece in resampler.resample(frame):
                    array: np.ndarray = piece.to_ndarray().reshape(-1, piece.layout.nb_channels)
                    if array.shape[1] != self.channels:
                        why = "the number of channels changes inside the file"
                        raise soundfile.SoundFileRuntimeError(why)
                    yield array


class MediaWriter:
    """One audio stream that is written block by block, as into a ``soundfile.SoundFile``.

    Args:
        path: the file to write, whatever its ending.
        target: the name that it will have; it ends in a key of :data:`ENCODERS`.
        sample_rate: of what is written, Hz; the codec may take another, then :attr:`lost` reports it.
        channels: up to 8.
        like: the file that the sound came from. Its tags, cover, chapters and bit rate are kept where there is room;
            for the endings of :data:`VIDEO` its pictures and subtitles, as they are and in step with the sound, too.

    Attributes:
        lost: what of ``like`` could not be kept, in words.

    Raises:
        AudioError: the container holds no such pictures, or not so many channels.
        soundfile.SoundFileError: PyAV can't write.
    """

    format = "MEDIA"

    def __init__(self, path: Path, target: Path, sample_rate: int, channels: int, like: Path | None) -> None:
        import av

        self._rate, self._channels, self._target = sample_rate, channels, target
        self._read = self._placed = 0  # samples that came in, and that went out with what fills gaps
        self._doubled = 0  # samples to come that the time stamps have no room for
        self._copies: dict[int, Any] = {}  # by index of the source's stream
        self._templates: list[Any] = []
        self._gaps: list[tuple[int, int]] = []
        self.lost: list[str] = []
        with _as_soundfile_errors(), ExitStack() as resources:
            ending = target.suffix.lower()
            container, encoder = ENCODERS[ending]
            source: Any = None
            with suppress(av.FFmpegError):  # libsndfile reads more formats: these have no pictures
                source = None if like is None else resources.enter_context(av.open(os.fsdecode(like)))
            options = {"brand": "M4A "} if ending in (".m4a", ".m4b") else {}
            out: Any = av.open(os.fsdecode(path), "w", format=container, container_options=options)
            self._out = resources.enter_context(out)
            if source is not None:
                self._take_over(source, ending)
            self._add_sound(encoder, source)
            self._out.start_encoding()
            self._packets = packets(source, self._templates) if self._templates else iter(())
            self._next = next(self._packets, None)
            if like is not None and not all(map(_is_cover, self._templates)):
                self._gaps = gaps(like)
            self._resources = resources.pop_all()

    def _add_sound(self, encoder: str, source: Any) -> None:
        import av

        if self._channels not in _LAYOUTS:
            too_many = f"{self._channels} channels are too many for this format"
            raise AudioError(f"{self._target}: {too_many}; choose .wav or .flac")
        heard = source.streams.audio[0] if source and source.streams.audio else None
        codec = heard.codec_context.name if heard else ""
        layout = heard.layout.name if heard and heard.channels == self._channels else ""
        if not layout or layout.endswith("channels"):  # a WAV file need not name speakers
            layout = _LAYOUTS[self._channels]
        if codec == "aac" and self._out.format.name == "matroska":
            encoder = "aac"  # both do; this one keeps the rate
        rates: Any = av.Codec(encoder, "w").audio_rates
        rate = min((rate for rate in rates if rate >= self._rate), default=max(rates))
        if rate != self._rate:
            self.lost.append(f"the rate of {self._rate} Hz, it is {rate}")
        self._sound: Any = self._out.add_stream(encoder, rate=rate, layout=layout)
        kept = heard.bit_rate if heard and codec in ("aac", "opus", "mp3float", "vorbis") else None
        self._sound.bit_rate = kept or _BITS_A_CHANNEL * self._channels

    def _take_over(self, source: Any, ending: str) -> None:
        known = ("major_brand", "minor_version", "compatible_brands", "encoder")
        tags = {name: value for name, value in source.metadata.items() if name.lower() not in known}
        if ending == ".aac":
            self.lost += ["tags"] if tags else []
        else:
            self._out.metadata.update(tags)
            if chapters := source.chapters():
                self._out.set_chapters(chapters)
        for stream in source.streams:
            cover = _is_cover(stream)
            if stream.type not in ("video", "subtitle") or not (cover or ending in VIDEO):
                continue
            codec = stream.codec_context.codec.canonical_name
            if codec in self._out.supported_codecs and (ending in _COVERED or not cover):
                copy = self._out.add_stream_from_template(stream)
                copy.disposition = stream.disposition
                copy.metadata.update(stream.metadata)
                self._copies[stream.index] = copy
                self._templates.append(stream)
            elif cover or stream.type == "subtitle":
                self.lost.append("cover" if cover else f"subtitles of {codec}")
            else:
                remedy = "choose .mkv, or the video's own ending"
                raise AudioError(f"{self._target}: {ending[1:]} holds no pictures of {codec}; {remedy}")
        more = len(source.streams.audio) - 1
        if more > 0:
            self.lost.append(f"{more} more audio stream{'s' if more > 1 else ''}")

    def write(self, frames: np.ndarray) -> None:
        """Append float ``[samples, channels]``, or whole numbers of 32 bits."""
        with _as_soundfile_errors():
            while self._gaps and self._gaps[0][0] < self._read + len(frames):
                at, missing = self._gaps.pop(0)
                before, frames = np.split(frames, [at - self._read])
                self._place(before)
                if missing > 0:
                    self._encode(np.zeros((missing, self._channels), np.float32))
                else:
                    self._doubled -= missing
            self._place(frames)

    def _place(self, frames: np.ndarray) -> None:
        self._read += len(frames)
        dropped = min(self._doubled, len(frames))
        self._doubled -= dropped
        self._encode(frames[dropped:])

    def _encode(self, frames: np.ndarray) -> None:
        import av

        if not len(frames):
            return
        packed = np.ascontiguousarray(frames, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self._sound.layout.name)
        frame.sample_rate, frame.time_base, frame.pts = self._rate, Fraction(1, self._rate), self._placed
        self._placed += len(frames)
        self._copy_until(self._placed / self._rate)
        self._out.mux(self._sound.encode(frame))

    def _copy_until(self, seconds: float) -> None:
        """Pass on what the source has up to a time, so that sound and pictures lie side by side in the file."""
        while (packet := self._next) is not None:
            if float(packet.dts * packet.time_base) > seconds:
                return
            packet.stream = self._copies[packet.stream.index]
            self._out.mux(packet)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Write what is left of the sound and of the pictures."""
        with _as_soundfile_errors():
            self._out.mux(self._sound.encode(None))
            self._copy_until(float("inf"))

    def close(self) -> None:
        """Close the file, which is whole after :meth:`finish` alone."""
        with _as_soundfile_errors():
            self._resources.close()


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def packets(source: Any, streams: list[Any]) -> Iterator[Any]:
    """What some streams of a container hold, each packet with the time of its decoding.

    Matroska keeps only when a picture is shown; the times of a stream's first pictures are counted back from the first
    known one.
    """
    early: dict[int, list[Any]] = {stream.index: [] for stream in streams}
    for packet in source.demux(streams):
        index = packet.stream.index
        if packet.dts is None and packet.size and early.get(index) is not None and packet.pts is not None:
            early[index].append(packet)
            continue
        waiting = early.pop(index, [])
        step = packet.duration or (waiting[0].duration if waiting else 0) or 1
        start = packet.dts if packet.dts is not None else waiting[0].pts if waiting else 0
        for k, held in enumerate(waiting):
            held.dts = start - (len(waiting) - k) * step
            yield held
        if packet.size:  # the last of a stream is empty
            if packet.dts is None:  # a cover, or a stream without times
                packet.pts = packet.dts = packet.pts or 0
            yield packet


def gaps(path: Path) -> list[tuple[int, int]]:
    """Where the time stamps of a file's first audio stream jump, to keep new sound in step with its pictures.

    Returns:
        ``(sample, missing)``: before that sample of the decoded sound, so many are missing; below 0, so many are too
        many. The first is where the sound begins, if that is not at 0.
    """
    import av

    jumps: list[tuple[int, int]] = []
    with av.open(os.fsdecode(path)) as container:
        stream: Any = container.streams.audio[0]
        rate, samples, clock = stream.rate, 0, 0
        for frame in container.decode(stream):
            if frame.pts is not None and frame.time_base is not None:
                jump = round(float(frame.pts * frame.time_base) * rate) - clock
                if abs(jump) > _GAP_SECONDS * rate:
                    jumps.append((samples, jump))
                    clock += jump
            samples += frame.samples
            clock += frame.samples
    return jumps
