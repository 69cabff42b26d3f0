"""Candidate pairs of clips with the same recording: frames with equal bits, and few differing bits around.

As in Haitsma and Kalker (ISMIR 2002) a frame is looked up by its bits and by those with weak bits flipped, and
each hit is judged by the bit errors of the frames around it. That leaves few pairs of clips, which
`data_modules.inspect.alignment` compares by their waveforms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data_modules.inspect.fingerprint import BITS, SILENT

__all__ = ["Candidate", "Prints", "candidates"]

_GAP = 16  # silent frames between clips, so that no look to either side reaches the next clip
_NEAR = (-6, -4, -2, 2, 4, 6)  # frames looked at first
_AROUND = tuple(range(-_GAP, _GAP + 1))
_ERRORS_NEAR, _ERRORS_AROUND = 0.34, 0.25  # share of differing bits; half of unrelated frames' bits differ
_COMMON = 256  # a pattern that so many frames have tells nothing
_PIECE = 1 << 15  # frames looked up at a time
_OFFSETS = 6  # per pair of clips: a loop fits in many places
_ONES = np.array([bin(value).count("1") for value in range(1 << (BITS // 2))], np.uint8)


Hit = tuple[float, int, int]
"""Share of differing bits, offset in frames, and frame of the first clip."""


@dataclass(frozen=True)
class Candidate:
    """Two clips that may hold the same sound.

    Args:
        first, second: numbers of the clips.
        offset: by how many frames the sound lies later in the first clip.
        frame: of the first clip, around which the bits agree.
        errors: share of bits that differ there.
    """

    first: int
    second: int
    offset: int
    frame: int
    errors: float


class Prints:
    """The fingerprints of several clips in one row.

    Args:
        clips: numbers of the clips.
        prints: bits and weak bits of each, as `data_modules.inspect.fingerprint.fingerprint` gives them.
    """

    def __init__(self, clips: Sequence[int], prints: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        gap = np.full(_GAP, SILENT, np.uint32)
        self.clips = np.array(clips, np.int64)
        self.bits = np.concatenate([part for bits, _ in prints for part in (gap, bits)] + [gap])
        self.weak = np.concatenate([part for _, weak in prints for part in (gap * 0, weak)] + [gap * 0])
        lengths = np.array([len(bits) + _GAP for bits, _ in prints], np.int64)
        self.start = np.cumsum(lengths) - lengths + _GAP

    def clip_at(self, frames: np.ndarray) -> np.ndarray:
        """Position in `clips` of the clip that each frame belongs to."""
        return np.searchsorted(self.start, frames, side="right") - 1


def candidates(known: Prints, new: Prints) -> list[Candidate]:
    """Pairs of a clip of `known` (the first) and one of `new` that may hold the same sound."""
    places = np.flatnonzero(new.bits != SILENT)
    places = places[np.argsort(new.bits[places], kind="stable")]
    keys = new.bits[places]
    found: dict[tuple[int, int], list[Hit]] = {}
    for one, other in _hits(known, keys, places):
        one, other, _ = _judged(known, new, one, other, _NEAR, _ERRORS_NEAR)
        one, other, errors = _judged(known, new, one, other, _AROUND, _ERRORS_AROUND)
        _collect(found, known, new, one, other, errors)
    return [
        Candidate(first, second, offset, frame, errors)
        for (first, second), several in sorted(found.items())
        for errors, offset, frame in several
    ]


def _flips(weak: np.ndarray) -> Iterator[np.ndarray]:
    """Every subset of each frame's weak bits, one subset after another."""
    rest, single = weak.copy(), []
    while rest.any():
        lowest = rest & (~rest + np.uint32(1))
        single.append(lowest)
        rest &= ~lowest
    for choice in range(1 << len(single)):
        yield sum(
            (bit for number, bit in enumerate(single) if choice >> number & 1),
            start=np.zeros(len(weak), np.uint32),
        )


def _hits(known: Prints, keys: np.ndarray, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames of `known` and of the other side whose bits agree, but for weak ones."""
    frames = np.flatnonzero(known.bits != SILENT)
    for first in range(0, len(frames), _PIECE):
        piece = frames[first : first + _PIECE]
        for flip in _flips(known.weak[piece]):
            wanted = known.bits[piece] ^ flip
            order = np.argsort(wanted)  # sorted queries walk through the keys instead of leaping
            low = np.searchsorted(keys, wanted[order], side="left")
            count = np.searchsorted(keys, wanted[order], side="right") - low
            count[count > _COMMON] = 0
            if count.any():
                total = np.cumsum(count)
                inside = np.arange(total[-1]) - np.repeat(total - count, count)
                yield np.repeat(piece[order], count), places[np.repeat(low, count) + inside]


def _judged(
    known: Prints, new: Prints, one: np.ndarray, other: np.ndarray, around: Iterable[int], most: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The hits with at most so many differing bits in the frames around, and their share."""
    wrong = np.zeros(len(one), np.int32)
    seen = np.zeros(len(one), np.int32)
    for step in around:
        a, b = known.bits[one + step], new.bits[other + step]
        both = ((a | b) & SILENT) == 0
        differing = (a ^ b) & np.uint32((1 << BITS) - 1)
        ones = _ONES[differing & np.uint32((1 << BITS // 2) - 1)] + _ONES[differing >> np.uint32(BITS // 2)]
        wrong += np.where(both, ones, 0)
        seen += both
    errors = wrong / np.maximum(seen * BITS, 1)
    keep = (errors <= most) & (seen >= 2)
    return one[keep], other[keep], errors[keep]


def _collect(
    found: dict[tuple[int, int], list[Hit]],
    known: Prints,
    new: Prints,
    one: np.ndarray,
    other: np.ndarray,
    errors: np.ndarray,
) -> None:
    """Keep the best few offsets of each pair of clips."""
    a, b = known.clip_at(one), new.clip_at(other)
    frames = one - known.start[a]
    offsets = frames - (other - new.start[b])
    order = np.lexsort((errors, offsets, b, a))
    a, b, offsets, errors, frames = (part[order] for part in (a, b, offsets, errors, frames))
    new_place = np.ones(len(a), bool)
    new_place[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1]) | (offsets[1:] != offsets[:-1])
    for i in np.flatnonzero(new_place):
        key = (int(known.clips[a[i]]), int(new.clips[b[i]]))
        several = found.setdefault(key, [])
        hit = (float(errors[i]), int(offsets[i]), int(frames[i]))
        near = [at for at, (_, offset, _) in enumerate(several) if abs(offset - hit[1]) <= 1]
        if near:
            several[near[0]] = min(several[near[0]], hit)
        else:
            several.append(hit)
        several.sort()
        del several[_OFFSETS:]
