"""Location of the sound in a file whose header states a wrong length or that holds several streams.

libsndfile believes headers: it stops at the length that one promises or, for MP3 without a count, guesses, and
reads the first of several streams. What is found here is handed to it as slices of the file, with a corrected
header in front of each where that is needed (:class:`Slice`). Files whose header is right are left alone.
"""

from __future__ import annotations

import io
import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

UNKNOWN = 1 << 62  # libsndfile's number of samples for an unknown length is above this
_4GIB = 1 << 32
_MOST_CHUNKS = 10_000  # a file with more has none: it is damaged
_LONGER = 64  # above the ratio of the highest to the lowest bit rate of MP3
_TAIL = 4096  # bytes at the end in which libsndfile looks for tags
_FEWEST = 4  # MP3 frames of another kind that are a stream of their own
_MOST_GUESSES = 200_000  # places where the next MP3 frame may begin, before a file is left to libsndfile


class Stretch(NamedTuple):
    """Bytes ``start`` to ``end`` of a file, behind the bytes ``prefix``: one stream that libsndfile can open.

    ``samples``, if not 0, is its length where libsndfile would guess one; it is then shown a file of
    :data:`_LONGER` times the size, so that its guess is too long rather than too short.
    """

    start: int
    end: int
    prefix: bytes = b""
    samples: int = 0


class Layout(NamedTuple):
    """The streams of a file, in order; none: the file as it is.

    ``note`` names what its header states wrongly, ``missing`` what should be there and is not.
    """

    streams: tuple[Stretch, ...] = ()
    note: str = ""
    missing: str = ""


class Slice(io.RawIOBase):
    """A :class:`Stretch` of a file as a file of its own, read-only."""

    def __init__(self, path: Path, stretch: Stretch) -> None:
        self._file, self._stretch, self._at = path.open("rb"), stretch, 0
        self._size = len(stretch.prefix) + stretch.end - stretch.start
        self._shown = self._size * (_LONGER if stretch.samples else 1)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._shown)[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        prefix = self._stretch.prefix
        wanted = max(0, min(len(buffer), self._size - self._at))
        data = prefix[self._at : self._at + wanted]
        if len(data) < wanted:
            self._file.seek(self._stretch.start + max(0, self._at - len(prefix)))
            data += self._file.read(wanted - len(data))
        if self._size < self._shown - _TAIL <= self._at:
            data = bytes(min(len(buffer), self._shown - self._at))  # where a tag is looked for
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _unless_plain(streams: list[Stretch], note: str = "", missing: str = "") -> Layout:
    """These streams, or none if they are the file as it is."""
    plain = len(streams) < 2 and not any(stream.prefix or stream.samples for stream in streams)
    return Layout(() if plain else tuple(streams), note, missing)


def layout(path: Path) -> Layout:
    """How to read a file to its end.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        try:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # empty, or no file of a fixed size
            return Layout()
        with view:
            head = _after_id3(view, 0)
            magic = bytes(view[head : head + 4])
            find = _chunked if magic in _FAMILIES else {b"OggS": _ogg, b"fLaC": _flac}.get(magic, _mp3)
            return find(view, head)


# Chunks: RIFF, RF64, AIFF, CAF, W64, and AU, whose samples are as one chunk behind its header --------------------


class Family(NamedTuple):
    """How files of one kind are divided into chunks."""

    size: str  # of a chunk, as struct writes it
    data: bytes  # identifier of the chunk that holds the samples
    head: int = 12  # bytes before the first chunk
    counts_itself: bool = False  # whether a chunk's size includes its identifier and size
    align: int = 2
    size_at: int | None = 4  # where the size of the whole file stands
    skip: int = 0  # bytes at the beginning of the data chunk that are no samples

    @property
    def frame(self) -> int:
        """Bytes of an identifier and a size."""
        return len(self.data) + struct.calcsize(self.size)


_W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_FAMILIES = {
    b"RIFF": Family("<I", b"data"),
    b"RF64": Family("<I", b"data"),
    b"RIFX": Family(">I", b"data"),
    b"FORM": Family(">I", b"SSND", skip=8),
    b"caff": Family(">q", b"data", head=8, align=1, size_at=None, skip=4),
    b"riff": Family("<Q", _W64_DATA, 40, counts_itself=True, align=8, size_at=16),
    b".snd": Family(">I", b"", head=4, align=1, size_at=None),
}


_FILE = re.compile(rb"\.snd|(?:RIFF|RF64|RIFX).{4}WAVE|FORM.{4}AIF[FC]", re.DOTALL)


class Chunk(NamedTuple):
    """A chunk of a file: identifier, where its contents begin, and how many bytes its header promises."""

    name: bytes
    start: int
    size: int


def chunks(view: mmap.mmap | bytes, first: int = 0) -> Iterator[Chunk]:
    """The chunks of a RIFF, AIFF, CAF or W64 file that begins at byte ``first``, as far as they make sense."""
    family = _FAMILIES.get(bytes(view[first : first + 4]))
    if family is None:
        return
    if not family.data:
        if first + 24 <= len(view):
            offset, size = struct.unpack_from(">II", view, first + 4)
            if 24 <= offset < len(view) - first:
                yield Chunk(b"", first + offset, size)
        return
    at, long = first + family.head, 0
    for _ in range(_MOST_CHUNKS):
        if at + family.frame > len(view):
            return
        name = bytes(view[at : at + len(family.data)])
        (size,) = struct.unpack_from(family.size, view, at + len(name))
        size -= family.frame if family.counts_itself else 0
        if name == b"ds64" and size >= 16 and at + family.frame + 16 <= len(view):
            (long,) = struct.unpack_from("<Q", view, at + family.frame + 8)
        if name == family.data and size == _4GIB - 1 and view[first : first + 4] == b"RF64":
            size = long
        yield Chunk(name, at + family.frame, size)
        if size < 0:
            return
        at += family.frame + size
        at += -(at - first) % family.align


def _plausible(view: mmap.mmap, at: int, family: Family) -> bool:
    """Whether a chunk, a tag or another file begins here rather than samples."""
    rest = len(view) - at
    start = bytes(view[at : at + 8])
    if rest <= 1 or start[:3] in (b"TAG", b"ID3") or start == b"APETAGEX":
        return True
    if rest < family.frame or not family.data:
        return _FILE.match(view, at) is not None
    name = bytes(view[at : at + len(family.data)])
    (size,) = struct.unpack_from(family.size, view, at + len(name))
    if len(name) == 16:
        return name[4:] == family.data[4:] and size <= rest
    return all(32 <= letter < 127 for letter in name) and 0 <= size <= rest - family.frame + 1


def _chunked(view: mmap.mmap, head: int) -> Layout:
    """Files of chunks, one or several in a row, each with a right or a wrong size of its samples."""
    streams, note = list[Stretch](), ""
    first: int | None = head
    while first is not None:
        family = _FAMILIES[bytes(view[first : first + 4])]
        data = next((chunk for chunk in chunks(view, first) if chunk.name == family.data), None)
        if data is None:
            streams.append(Stretch(first, len(view)))
            break
        end, wrong = _end_of_samples(view, data, family)
        following = next((i for i in (end, end + 1) if _FILE.match(view, i)), None)
        if wrong:
            promised, there = (max(0, n - family.skip) for n in (data.size, end - data.start))
            read = f"the header promises {promised} bytes of samples, {there} are there: all of them are read"
            note = note or read
            streams.append(Stretch(data.start, end, _corrected(view, first, data, family, end - data.start)))
        else:
            streams.append(Stretch(first, following or len(view)))
        first = following
    return _unless_plain(streams, note)


def _end_of_samples(view: mmap.mmap, data: Chunk, family: Family) -> tuple[int, bool]:
    """Where the samples end, and whether that is another place than the header says."""
    size = len(view)
    open_end = data.size < 0 or (data.size == 0 and family.size == "<Q")
    end = data.start + max(data.size, 0)
    # Cut, or from a pipe: libsndfile reads what is there and reports the rest.
    if not open_end and end > size:
        return size, False
    if not open_end and data.size > family.skip:
        padding = range(max(4, family.align))
        follows = any(size - end - odd > 1 and _plausible(view, end + odd, family) for odd in padding)
        if follows or size - end < max(2, family.align):
            return end, False
        for wrapped in range(end + _4GIB, size + 1, _4GIB):
            if _plausible(view, wrapped, family):
                return wrapped, True
    elif not open_end and (size - end <= 1 or _plausible(view, end, family)):  # nothing in it
        return end, False
    return size, size > data.start + family.skip


def _corrected(view: mmap.mmap, first: int, data: Chunk, family: Family, length: int) -> bytes:
    """The bytes before the samples with the sizes that are true."""
    head = bytearray(view[first : data.start])
    size_at = len(head) - struct.calcsize(family.size)
    if bytes(head[:4]) in (b"RIFF", b"RF64", b"RIFX"):
        # libsndfile takes these sizes for a file that was not closed, and reads it to the end, be it above 4 GiB.
        head[:4] = b"RIFX" if head[:4] == b"RIFX" else b"RIFF"
        length, total = 0, 8
    else:
        total = len(head) + length - (0 if family.counts_itself else 8)
        length += family.frame if family.counts_itself else 0
    limit = (1 << 8 * struct.calcsize(family.size)) - 1
    struct.pack_into(family.size, head, size_at if family.data else 8, min(length, limit))
    if family.size_at is not None:
        struct.pack_into(family.size, head, family.size_at, min(total, limit))
    for chunk in chunks(bytes(head)):
        if chunk.name == b"COMM" and chunk.size >= 18:  # of an AIFF file: also the number of frames
            channels, _, bits = struct.unpack_from(">hIh", head, chunk.start)
            if (frame := channels * -(-bits // 8)) > 0:
                frames = (length - family.skip) // frame
                struct.pack_into(">I", head, chunk.start + 2, min(frames, _4GIB - 1))
    return bytes(head)


# Ogg and FLAC --------------------------------------------------------------------------------------------------


def _ogg(view: mmap.mmap, at: int) -> Layout:
    """Ogg (RFC 3533): the links of a chain begin at a first page that does not follow another first page."""
    starts, before, end = [], False, 0
    while at >= 0 and at + 27 <= len(view):
        begins = bool(view[at + 5] & 2)
        if begins and not before:
            starts.append(at)
        before = begins
        segments = view[at + 26]
        length = 27 + segments + sum(view[at + 27 : at + 27 + segments])
        if at + length > len(view):
            break
        at = end = at + length
        if view[at : at + 4] != b"OggS":
            at = view.find(b"OggS", at)
    cut = at >= 0
    ends = [*starts[1:], end if cut else len(view)]
    streams = [Stretch(start, end) for start, end in zip(starts, ends, strict=False) if start < end]
    if cut:
        return Layout(tuple(streams) if end else (), missing="truncated, its last page is incomplete")
    return _unless_plain(streams)


_FLAC_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")


def _flac(view: mmap.mmap, first: int) -> Layout:
    """FLAC: several files in a row, and lengths that the encoder could not write because it had no seekable file."""
    # Files that were joined begin at the marker and the header of a STREAMINFO block.
    starts = [first, *(match.start() for match in _FLAC_START.finditer(view, first + 1))]
    streams = []
    for start, end in zip(starts, [*starts[1:], len(view)], strict=True):
        head = bytearray(view[start : start + 42])
        samples = 0
        if len(head) == 42 and not (head[21] & 15 or any(head[22:26])):
            samples = _last_flac_sample(view, start, end, int.from_bytes(head[8:10], "big"))
        if samples:
            head[21] |= samples >> 32 & 15
            head[22:26] = (samples & _4GIB - 1).to_bytes(4, "big")
        streams.append(Stretch(start + 42, end, bytes(head)) if samples else Stretch(start, end))
    return _unless_plain(streams)


def _last_flac_sample(view: mmap.mmap, start: int, end: int, block: int) -> int:
    """Samples up to the end of the last frame (RFC 9639, section 9.1); 0 if none is found."""
    at = end
    for _ in range(_MOST_GUESSES):
        if (at := view.rfind(b"\xff", start, at)) < 0:
            break
        head = bytes(view[at : at + 16])
        if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] >> 4 > 10 or head[3] & 1:
            continue
        length = 1 if head[4] < 0x80 else 8 - (head[4] ^ 0xFF).bit_length()
        if head[4] == 0xFF or head[4] & 0xC0 == 0x80:  # no first byte of UTF-8's scheme
            continue
        number = head[4] & (0x7F if length == 1 else 0x7F >> length)
        for byte in head[5 : 4 + length]:
            number = number << 6 | byte & 0x3F
        code, after = head[2] >> 4, 4 + length
        extra = {6: 1, 7: 2}.get(code, 0)
        size = int.from_bytes(head[after : after + extra], "big") + 1
        if not extra:
            size = 0 if not code else 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
        after += extra + {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
        if size and after < len(head) and _crc8(head[:after]) == head[after]:
            return (number if head[1] & 1 else number * block) + size
    return 0


def _crc8(data: bytes) -> int:
    """CRC with the polynomial x^8 + x^2 + x + 1, of FLAC's frame headers."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x107) if crc & 128 else crc << 1
    return crc


# MP3 -----------------------------------------------------------------------------------------------------------

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass
class _Mp3Stream:
    start: int
    header: bytes  # the first frame's
    info: int  # length of the frame with the count; 0 if the stream begins with none
    frames: int = 0  # that hold sound

    @property
    def lasts(self) -> bool:
        """Whether it is a stream rather than damage that looks like a frame."""
        return self.info > 0 or self.frames >= _FEWEST

    @property
    def kind(self) -> tuple[int, int, bool]:
        """Version and layer, rate, and whether it is mono."""
        return self.header[1] >> 1, self.header[2] & 12, self.header[3] >> 6 == 3


@cache
def _frame_bytes(second: int, third: int) -> int:
    """Bytes of an MPEG layer III frame, by the second and third byte of its header; 0: it is none."""
    version, kbits, rate = second >> 3 & 3, third >> 4, third >> 2 & 3
    if second & 0xE6 != 0xE2 or version == 1 or rate == 3 or kbits in (0, 15):
        return 0
    bits = (144 if version == 3 else 72) * _KBITS[version == 3][kbits] * 1000
    return bits // _RATES[version][rate] + (third >> 1 & 1)


def _frame_length(view: mmap.mmap, at: int) -> int:
    """Bytes of the MPEG layer III frame that begins at ``at``; 0 if none does."""
    if at + 4 > len(view) or view[at] != 0xFF:
        return 0
    return _frame_bytes(view[at + 1], view[at + 2])


def _count_at(header: bytes) -> int:
    """Where a frame's Xing or Info tag stands: behind the side information."""
    mono = header[3] >> 6 == 3
    return 4 + ((17 if mono else 32) if header[1] >> 3 & 3 == 3 else (9 if mono else 17))


def _after_id3(view: mmap.mmap, at: int) -> int:
    """Behind the ID3v2 tags that begin at ``at``, if any do."""
    while view[at : at + 3] == b"ID3" and at + 10 <= len(view):
        a, b, c, d = (byte & 127 for byte in view[at + 6 : at + 10])
        at += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if view[at + 5] & 16 else 0)
    return at


def _mp3_frames(view: mmap.mmap, at: int) -> Iterator[tuple[int, int]]:
    """Where the frames of an MP3 file begin, and how long they are; what is none is skipped.

    Raises:
        ValueError: it is mostly no MP3.
    """
    guesses = 0
    while 0 <= at < len(view):
        length = _frame_length(view, at)
        if length:
            if at + length > len(view):
                return  # cut inside its last frame
            yield at, length
            at += length
        elif view[at : at + 3] == b"ID3":
            at = _after_id3(view, at)
        else:
            at = view.find(b"\xff", at + 1)
            while at >= 0 and not _sure(view, at):
                guesses += 1
                if guesses > _MOST_GUESSES:
                    raise ValueError("no MP3 frames")
                at = view.find(b"\xff", at + 1)


def _sure(view: mmap.mmap, at: int) -> bool:
    """Whether a frame begins here and another one, or the end, follows."""
    length = _frame_length(view, at)
    return length > 0 and (at + length == len(view) or _frame_length(view, at + length) > 0)


def _mp3_streams(view: mmap.mmap, first: int) -> list[_Mp3Stream]:
    """The streams of an MP3 file, all frames counted: one ends where another kind of frames or a new tag begins."""
    streams: list[_Mp3Stream] = []
    for at, length in _mp3_frames(view, first):
        header = bytes(view[at : at + 4])
        tag_at = at + _count_at(header)
        tagged = view[tag_at : tag_at + 4] in (b"Xing", b"Info") and tag_at + 12 <= at + length
        new = _Mp3Stream(at, header, length * tagged)
        if not tagged and len(streams) > 1 and streams[-1].kind != new.kind and not streams[-1].lasts:
            streams.pop()
        if tagged or not streams or streams[-1].kind != new.kind:
            streams.append(new)
        streams[-1].frames += not tagged
    return [stream for i, stream in enumerate(streams) if stream.frames and (i == 0 or stream.lasts)]


def _mp3(view: mmap.mmap, first: int) -> Layout:
    try:
        streams = _mp3_streams(view, first) if _frame_length(view, first) or first else []
    except ValueError:
        return Layout()
    stretches, note = [], ""
    ends = [stream.start for stream in streams[1:]] + [len(view)] * bool(streams)
    for stream, end in zip(streams, ends, strict=True):
        tag = bytes(view[stream.start : stream.start + stream.info])
        flags, count = struct.unpack_from(">II", tag, _count_at(tag) + 4) if tag else (0, 0)
        promised = count if flags & 1 else 0
        if promised >= max(1, stream.frames - 1):
            stretches.append(Stretch(stream.start, end))
        elif promised:
            start = stream.start + len(tag)
            stretches.append(Stretch(start, end, _recounted(tag, stream, end - stream.start)))
            counted = f"its header counts {promised} frames of MP3, {stream.frames} are there"
            note = f"{counted}: all of them are read"
        else:
            samples = stream.frames * (1152 if stream.header[1] >> 3 & 3 == 3 else 576)
            stretches.append(Stretch(stream.start, end, samples=samples))
    return _unless_plain(stretches, note)


def _recounted(frame: bytes, stream: _Mp3Stream, size: int) -> bytes:
    """The frame with the count, corrected; LAME's padding at the end no longer applies."""
    corrected, at = bytearray(frame), _count_at(frame) + 4
    (flags,) = struct.unpack_from(">I", corrected, at)
    struct.pack_into(">I", corrected, at + 4, stream.frames)
    if flags & 2:
        struct.pack_into(">I", corrected, at + 8, min(size, _4GIB - 1))
    lame = at + 8 + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8)
    if len(corrected) >= lame + 24:
        corrected[lame + 22] &= 0xF0
        corrected[lame + 23] = 0
    return bytes(corrected)
