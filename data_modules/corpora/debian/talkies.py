"""Spoken lines out of two adventure games' data files, which ScummVM plays and Debian distributes.

`queen.1c` (Flight of the Amazon Queen) is a table of names and a heap of MP3 files. `sky.dsk` (Beneath a Steel Sky)
is a heap of unsigned 8-bit samples at 11,025 Hz behind 22-byte headers, packed with RNC ProPack's method 1, and
`sky.dnr` is its table. Both formats as ScummVM reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import soundfile

__all__ = ["queen_entries", "rnc_unpack", "sky_entries"]

SKY_RATE = 11025
_SKY_HEADER = 22
_SKY_SPEECH = range(50_000, 59_000)  # below stand scripts and pictures, above the sounds of cut scenes
_RNC_HEADER = 18


def queen_entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Spoken lines in `queen.1c`, as (name, MP3 bytes).

    The file starts with "QTBL", a version (6 bytes), two bytes that tell the language and the compression (1 is
    MP3), and the number of entries (16 bits, big endian). An entry is a name (12 bytes), a bundle (1 byte), an
    offset and a length (32 bits each, big endian).

    Raises:
        ValueError: the table does not fit the file.
    """
    if len(data) < 15 or data[:4] != b"QTBL":
        raise ValueError("no table of entries at the start of queen.1c")
    if data[12] != 1:
        raise ValueError(f"queen.1c holds sounds of kind {data[12]}, not MP3")
    (count,) = struct.unpack_from(">H", data, 13)
    if 15 + 21 * count > len(data):
        raise ValueError(f"queen.1c is too short for its {count} entries")
    for index in range(count):
        raw, _, offset, length = struct.unpack_from(">12sBII", data, 15 + 21 * index)
        name = raw.rstrip(b"\0").decode("latin-1")
        if name.endswith(".SB"):
            if offset + length > len(data):
                raise ValueError(f"{name} lies beyond the end of queen.1c")
            yield f"queen.1c/{name}.mp3", data[offset : offset + length]


def sky_entries(table: bytes, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Spoken lines in `sky.dsk`, as (name, WAV bytes); `table` is `sky.dnr`.

    The table starts with the number of entries (32 bits, little endian). An entry has 8 bytes: a number (16 bits),
    where the file starts (23 bits, and a bit that tells to take it times 16), and its length (22 bits, then a bit
    that does not matter here, then one that tells that the file is not packed).

    Raises:
        ValueError: the table does not fit the file, or a file does not unpack.
    """
    if len(table) < 4 or len(table) < 4 + 8 * struct.unpack_from("<I", table)[0]:
        raise ValueError("sky.dnr is too short for its entries")
    for index in range(struct.unpack_from("<I", table)[0]):
        entry = table[4 + 8 * index : 12 + 8 * index]
        number = int.from_bytes(entry[:2], "little")
        if number not in _SKY_SPEECH:
            continue
        start = int.from_bytes(entry[2:5], "little")
        start = (start & 0x7FFFFF) << 4 if start & 0x800000 else start
        length = int.from_bytes(entry[5:8], "little")
        stored = data[start + _SKY_HEADER : start + (length & 0x3FFFFF)]
        if start + (length & 0x3FFFFF) > len(data):
            raise ValueError(f"file {number} lies beyond the end of sky.dsk")
        yield f"sky.dsk/{number}.wav", _wav(stored if length & 0x800000 else rnc_unpack(stored))


def _wav(samples: bytes) -> bytes:
    """WAV file (16 bit) of unsigned 8-bit samples; their full scale stays full scale, so that clipping shows."""
    centred = np.frombuffer(samples, np.uint8).astype(np.int32) - 128
    pcm = np.clip(centred * 258, -32768, 32767).astype(np.int16)
    buffer = BytesIO()
    soundfile.write(buffer, pcm, SKY_RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


class _Bits:
    """Bits of little-endian 16-bit words, lowest first, with whole bytes in between.

    A word is taken from the stream only when a bit of it is used up: the bytes come right behind it.
    """

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data + bytes(4)
        self._position = position
        self._held = 0
        self._count = 0

    def take(self, count: int) -> int:
        if count > self._count:
            at = self._position
            self._held |= int.from_bytes(self._data[at : at + 2], "little") << self._count
            self._position += 2
            self._count += 16
        value = self._held & ((1 << count) - 1)
        self._held >>= count
        self._count -= count
        return value

    def peek(self) -> int:
        """At least 16 bits, without using them up."""
        at = self._position
        return self._held | int.from_bytes(self._data[at : at + 2], "little") << self._count

    def raw(self, count: int) -> bytes:
        at = self._position
        if at + count > len(self._data):
            raise ValueError("packed data end early")
        self._position += count
        return self._data[at : at + count]


class _Code:
    """A canonical prefix code over the numbers' bit lengths, as the stream spells it out."""

    def __init__(self, bits: _Bits) -> None:
        lengths = [bits.take(4) for _ in range(bits.take(5))]
        self._mask = (1 << max(lengths, default=0)) - 1
        self._table: list[tuple[int, int] | None] = [None] * (self._mask + 1)
        code = 0
        for length in range(1, 16):
            for symbol in (at for at, own in enumerate(lengths) if own == length):
                mirrored = int(f"{code:0{length}b}"[::-1], 2)
                if mirrored <= self._mask:
                    places = len(range(mirrored, self._mask + 1, 1 << length))
                    self._table[mirrored :: 1 << length] = [(length, symbol)] * places
                code += 1
            code <<= 1

    def read(self, bits: _Bits) -> int:
        found = self._table[bits.peek() & self._mask]
        if found is None:
            raise ValueError("packed data hold an unknown code")
        length, symbol = found
        bits.take(length)
        return symbol if symbol < 2 else 1 << (symbol - 1) | bits.take(symbol - 1)


def rnc_unpack(data: bytes) -> bytes:
    """Unpack RNC ProPack data, method 1 (Huffman-coded LZ77).

    Behind an 18-byte header (magic, length, packed length, two checksums, slack, blocks) each block has three
    codes (literals, distances, lengths) and then runs of literals, each followed by a copy of what came before.

    Raises:
        ValueError: not such data, or damaged.
    """
    if len(data) < _RNC_HEADER or data[:4] != b"RNC\x01":
        raise ValueError("no data packed by RNC method 1")
    size = int.from_bytes(data[4:8], "big")
    bits = _Bits(data, _RNC_HEADER)
    bits.take(2)
    out = bytearray()
    for _ in range(data[17]):
        literals, distances, lengths = _Code(bits), _Code(bits), _Code(bits)
        runs = bits.take(16)
        for run in range(runs):
            out += bits.raw(literals.read(bits))
            if run == runs - 1:
                break
            distance, length = distances.read(bits) + 1, lengths.read(bits) + 2
            start = len(out) - distance
            if start < 0 or len(out) + length > size:
                raise ValueError("packed data are damaged")
            if distance >= length:
                out += out[start : start + length]
            else:  # a copy that reads what it writes repeats the last `distance` bytes
                out += (out[start:] * (length // distance + 1))[:length]
    if len(out) != size:
        raise ValueError(f"packed data gave {len(out)} bytes, not {size}")
    return bytes(out)
