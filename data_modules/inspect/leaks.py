"""Check that the splits of a corpus share no speaker, no file and no recording.

A recording is found again if it was cut, re-levelled, resampled down to 8 kHz or coded, or if half a second of it
occurs in another. Not found: a copy played faster or slower, and one from a poor codec whose energy lies almost wholly
above 3 kHz, as of some birds (what is below is lost to the codec, what is above isn't looked at).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np

from data_modules.inspect.alignment import Alignment, align
from data_modules.inspect.fingerprint import HOP, RATE, SILENT, WEAKEST
from data_modules.inspect.measure import Measured, measure_all
from data_modules.pools.build import read_item
from data_modules.pools.sources import SPLITS, Item, shared_speakers
from diffgmm.utils.processes import in_processes

_ALIKE = 8  # clips per split and checksum that are named
_COMMON = 256  # a pattern that so many frames have tells nothing
_SMALL = 1 << 17  # frames: half an hour, in which chance rarely brings two frames together that agree
_OFFSETS = 6  # distances tried per pair of clips: a loop fits in many places

Pair = tuple[Item, Item]
"""Two clips in the order of their splits."""
Place = tuple[int, int]
"""By how many frames a sound lies later in the first clip, and a frame of that clip in it."""


@dataclass(frozen=True)
class Leak:
    """Two clips of different splits that belong together.

    Args:
        what: ``speaker`` (the same group), ``file`` (the same bytes), ``samples`` (the same sound in another
            format) or ``recording`` (the same sound at another level or rate, coded, or cut).
        first, second: the clips; of a speaker the first of each split.
        similarity: agreement of the phases at all frequencies, 0 to 1; 1 for files and samples, NaN for speakers.
        offset: by how many seconds the sound lies later in the first clip.
        seconds: how much of it is in both.
    """

    what: str
    first: Item
    second: Item
    similarity: float = float("nan")
    offset: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Checked:
    """What the check found.

    Args:
        leaks: sorted, the plainest first.
        measured: of each clip, in the order given; None where it can't be read.
        unreadable: name and reason of those.
        compared: pairs of clips whose waveforms were compared.
    """

    leaks: list[Leak]
    measured: list[Measured | None]
    unreadable: list[tuple[str, str]]
    compared: int


def check(items: Sequence[Item], workers: int | None = None) -> Checked:
    """Read every clip and look for those that are in two splits.

    Memory grows by some 10 MB per hour of all splits but the largest, which passes through.

    Args:
        items: of all splits and kinds.
        workers: processes; None: one per core.
    """
    sizes = Counter(item.split for item in items)
    largest = max(sizes, key=lambda split: (sizes[split], split))
    order = sorted(range(len(items)), key=lambda number: items[number].split == largest)
    measured: list[Measured | None] = [None] * len(items)
    unreadable: list[tuple[str, str]] = []
    kept: list[tuple[int, np.ndarray, np.ndarray]] = []
    index: Index | None = None
    places: dict[Pair, set[Place]] = defaultdict(set)

    def look_up(number: int, bits: np.ndarray, weak: np.ndarray) -> None:
        assert index is not None
        for known, offset, frame in index.find(bits, weak):
            item, own = items[known], items[number]
            if item.split == own.split or (own.split != largest and known > number):
                continue  # a pair of the smaller splits is found from both sides
            turned = _rank(item) > _rank(own)
            places[_pair(item, own)].add((-offset, frame - offset) if turned else (offset, frame))

    for number, result in zip(
        order,
        measure_all([items[i] for i in order], prints=True, workers=workers, title="fingerprint"),
        strict=True,
    ):
        if isinstance(result, str):
            unreadable.append((items[number].name, result))
            continue
        assert result.print is not None
        measured[number] = replace(result, print=None)
        if items[number].split != largest:
            kept.append((number, *result.print))
            continue
        index = index or Index(kept)
        look_up(number, *result.print)
    index = index or Index(kept)
    for number, bits, weak in kept:
        look_up(number, bits, weak)
    for pair in _of_one_shape(items, measured):
        places[pair].add((0, 0))
    same = _same(items, measured)
    for leak in same:
        places.pop((leak.first, leak.second), None)
    leaks = [*_speakers(items), *same, *_recordings(places, workers)]
    return Checked(leaks, measured, unreadable, len(places))


class Index:
    """Frames of several clips by the bits of their fingerprints.

    As in Haitsma and Kalker (ISMIR 2002) a frame is looked up by its bits and by those with weak bits flipped; clips
    that share several frames at one distance are worth comparing by their waveforms.

    Args:
        prints: number, bits and weak bits of each clip.
    """

    def __init__(self, prints: Sequence[tuple[int, np.ndarray, np.ndarray]]) -> None:
        none = np.zeros(0, np.int64)
        bits = np.concatenate([none.astype(np.uint32), *(bits for _, bits, _ in prints)])
        heard = np.flatnonzero(bits != SILENT)
        order = heard[np.argsort(bits[heard], kind="stable")]
        self.bits = bits[order]
        self.clip = np.concatenate([none, *(np.full(len(bits), number) for number, bits, _ in prints)])[order]
        self.frame = np.concatenate([none, *(np.arange(len(bits)) for _, bits, _ in prints)])[order]

    def find(self, bits: np.ndarray, weak: np.ndarray) -> Iterator[tuple[int, int, int]]:
        """Clip of the index, by how many frames the sound lies later in it, and a frame of it in the middle of that."""
        frames = np.flatnonzero(bits != SILENT)
        choices = np.arange(1 << WEAKEST, dtype=np.uint32)[:, None] >> np.arange(WEAKEST, dtype=np.uint32) & 1
        flips = (weak[frames, None] * choices).sum(axis=2, dtype=np.uint32)
        keys = (bits[frames, None] ^ flips).ravel()
        low = np.searchsorted(self.bits, keys, side="left")
        count = np.searchsorted(self.bits, keys, side="right") - low
        count[count > _COMMON] = 0
        ends = np.cumsum(count)
        if not len(ends) or not ends[-1]:
            return
        hits = np.arange(ends[-1]) - np.repeat(ends - count, count) + np.repeat(low, count)
        clip, frame = self.clip[hits], self.frame[hits]
        offset = frame - np.repeat(np.repeat(frames, len(choices)), count)
        order = np.lexsort((frame, offset, clip))
        clip, offset, frame = clip[order], offset[order], frame[order]
        starts = np.flatnonzero(np.diff(clip, prepend=-1) | np.diff(offset, prepend=offset[0]))
        votes = np.diff(starts, append=len(clip))
        needed = 2 if len(self.bits) < _SMALL else 3
        taken: Counter[int] = Counter()
        for i in np.argsort(-votes, kind="stable"):
            number = int(clip[starts[i]])
            if votes[i] >= needed and taken[number] < _OFFSETS:
                taken[number] += 1
                yield number, int(offset[starts[i]]), int(frame[starts[i] + votes[i] // 2])


def _pair(a: Item, b: Item) -> Pair:
    """Two clips in the order of their splits."""
    return (a, b) if _rank(a) <= _rank(b) else (b, a)


def _rank(item: Item) -> int:
    return SPLITS.index(item.split)


def _speakers(items: Sequence[Item]) -> Iterator[Leak]:
    for name, splits in shared_speakers(items).items():
        clips = [
            min(i for i in items if i.group == name and i.split == split and i.kind != "noise")
            for split in splits
        ]
        for first, second in combinations(clips, 2):
            yield Leak("speaker", first, second)


def _same(items: Sequence[Item], measured: Sequence[Measured | None]) -> list[Leak]:
    """Files, then samples, that are the same in two splits; silence is never the same."""
    leaks: dict[Pair, Leak] = {}
    for what in ("file", "samples"):
        alike: dict[str, list[Item]] = defaultdict(list)
        seconds: dict[Item, float] = {}
        for item, facts in zip(items, measured, strict=True):
            if facts is not None and facts.peak > 0.0 and getattr(facts, what):
                alike[getattr(facts, what)].append(item)
                seconds[item] = facts.shape[0] / RATE
        for pair in _across(alike.values()):
            leaks.setdefault(pair, Leak(what, *pair, similarity=1.0, seconds=seconds[pair[0]]))
    return list(leaks.values())


def _of_one_shape(items: Sequence[Item], measured: Sequence[Measured | None]) -> Iterator[Pair]:
    """Clips of one length with the loudest sample in one place: perhaps too short to have a fingerprint."""
    alike: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item, facts in zip(items, measured, strict=True):
        if facts is not None and facts.shape[1] >= 0:
            alike[facts.shape].append(item)
    yield from _across(alike.values())


def _across(groups: Iterable[Sequence[Item]]) -> Iterator[Pair]:
    """Pairs of clips of a group in two splits, of a split's many only a few."""
    for group in groups:
        splits: dict[str, list[Item]] = defaultdict(list)
        for item in group:
            splits[item.split].append(item)
        for left, right in combinations(splits.values(), 2):
            yield from (_pair(a, b) for a in left[:_ALIKE] for b in right[:_ALIKE])


@lru_cache(maxsize=64)
def _samples(item: Item) -> np.ndarray:
    return read_item(item, RATE)[0]


def _aligned(job: tuple[Pair, Sequence[Place]]) -> Alignment | None:
    """The best of several offsets at which two clips are the same recording."""
    (first, second), places = job
    fits = [align(_samples(first), _samples(second), offset * HOP, frame * HOP) for offset, frame in places]
    return max((fit for fit in fits if fit is not None), key=lambda fit: fit.score, default=None)


def _recordings(places: Mapping[Pair, set[Place]], workers: int | None) -> list[Leak]:
    jobs = [(pair, tuple(sorted(places[pair]))) for pair in sorted(places)]
    fits = in_processes(_aligned, jobs, workers=workers, title="compare")
    leaks = [
        Leak("recording", *pair, fit.score, fit.offset, fit.seconds)
        for (pair, _), fit in zip(jobs, fits, strict=True)
        if fit is not None
    ]
    return sorted(leaks, key=lambda leak: -leak.similarity)
