"""Check that the splits of a corpus share no speaker, no file and no recording.

A recording is found again if it was cut, re-levelled, resampled down to 8 kHz or coded, or if half a second of it
occurs in another. Not found: a copy played faster or slower, and one from a poor codec whose energy lies almost wholly
above 3 kHz, as of some birds (what is below is lost to the codec, what is above isn't looked at).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from data_modules.inspect.alignment import Alignment, align
from data_modules.inspect.candidates import Candidate, Prints, candidates
from data_modules.inspect.fingerprint import HOP, RATE
from data_modules.inspect.measure import Measured, measure_all
from data_modules.pools.build import read_item
from data_modules.pools.sources import SPLITS, Item, shared_speakers
from diffgmm.utils.processes import in_processes

__all__ = ["Checked", "Leak", "check"]

_FRAMES = 1 << 20  # of the largest split compared at a time, some four hours
_ALIKE = 8  # clips per split and checksum that are named


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
    """Reads every clip and looks for those that are in two splits.

    Memory grows by 2 MB per hour of all splits but the largest, which passes through in pieces.

    Args:
        items: of all splits and kinds.
        workers: processes; None: one per core.
    """
    order = _smallest_splits_first(items)
    measured: list[Measured | None] = [None] * len(items)
    unreadable: list[tuple[str, str]] = []
    found: list[Candidate] = []
    known: list[Prints] = []
    for part, prints in _prints(items, order, measured, unreadable, workers):
        for other in known:
            if items[int(other.clips[0])].split != items[part[0]].split:
                found += candidates(other, prints)
        if items[part[0]].split != items[order[-1]].split:
            known.append(prints)
    same = _same(items, measured)
    pairs = {(leak.first, leak.second) for leak in same}
    shapes = [one for one in _of_one_shape(items, measured) if _pair(items, one) not in pairs]
    rest = [one for one in found if _pair(items, one) not in pairs]
    leaks = [*_speakers(items), *same, *_recordings(items, [*shapes, *rest], workers)]
    return Checked(leaks, measured, unreadable, len({_pair(items, shape) for shape in [*shapes, *rest]}))


def _smallest_splits_first(items: Sequence[Item]) -> list[int]:
    """Numbers of the items, those of the largest split at the end."""
    splits: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        splits[item.split].append(number)
    return [
        number
        for split in sorted(splits, key=lambda one: (len(splits[one]), one))
        for number in splits[split]
    ]


def _prints(
    items: Sequence[Item],
    order: Sequence[int],
    measured: list[Measured | None],
    unreadable: list[tuple[str, str]],
    workers: int | None,
) -> Iterator[tuple[list[int], Prints]]:
    """Measures everything, and yields the fingerprints of a part of a split at a time."""
    part: list[int] = []
    prints: list[tuple[np.ndarray, np.ndarray]] = []
    frames = 0
    results = measure_all([items[i] for i in order], prints=True, workers=workers, title="fingerprint")
    for number, result in zip(order, results, strict=True):
        if part and (items[number].split != items[part[0]].split or frames > _FRAMES):
            yield part, Prints(part, prints)
            part, prints, frames = [], [], 0
        if isinstance(result, str):
            unreadable.append((items[number].name, result))
            continue
        assert result.print is not None
        part.append(number)
        prints.append(result.print)
        frames += len(result.print[0])
        measured[number] = result.without_print()
    if part:
        yield part, Prints(part, prints)


def _pair(items: Sequence[Item], one: Candidate) -> tuple[Item, Item]:
    """The clips of a candidate in the order of their splits."""
    first, second = items[one.first], items[one.second]
    return (first, second) if _rank(first) <= _rank(second) else (second, first)


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
    leaks: dict[tuple[Item, Item], Leak] = {}
    for what in ("file", "samples"):
        alike: dict[str, list[int]] = defaultdict(list)
        for number, one in enumerate(measured):
            if one is not None and one.peak > 0.0 and getattr(one, what):
                alike[getattr(one, what)].append(number)
        for numbers in alike.values():
            for candidate in _across(items, numbers):
                pair = _pair(items, candidate)
                seconds = measured[candidate.first].shape[0] / RATE  # type: ignore[union-attr]
                leaks.setdefault(pair, Leak(what, *pair, similarity=1.0, seconds=seconds))
    return list(leaks.values())


def _of_one_shape(items: Sequence[Item], measured: Sequence[Measured | None]) -> Iterator[Candidate]:
    """Clips of one length with the loudest sample in one place: perhaps too short to have a fingerprint."""
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, one in enumerate(measured):
        if one is not None and one.shape[1] >= 0:
            alike[one.shape].append(number)
    for numbers in alike.values():
        yield from _across(items, numbers)


def _across(items: Sequence[Item], numbers: Sequence[int]) -> Iterator[Candidate]:
    """Every pair of clips in two splits, of a split's many only a few."""
    splits: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        splits[items[number].split].append(number)
    for one, other in combinations(splits.values(), 2):
        yield from (Candidate(a, b, 0, 0, 0.0) for a in one[:_ALIKE] for b in other[:_ALIKE])


@lru_cache(maxsize=64)
def _samples(item: Item) -> np.ndarray:
    return read_item(item, RATE)[0]


Job = tuple[Item, Item, tuple[tuple[int, int], ...]]
"""Two clips, with offset and place in frames of the first."""


def _aligned(job: Job) -> Alignment | None:
    """The best of several offsets at which two clips are the same recording."""
    first, second, places = job
    found = [align(_samples(first), _samples(second), offset * HOP, at * HOP) for offset, at in places]
    return max((one for one in found if one is not None), key=lambda one: one.score, default=None)


def _recordings(items: Sequence[Item], found: Sequence[Candidate], workers: int | None) -> Iterator[Leak]:
    places: dict[tuple[Item, Item], set[tuple[int, int]]] = defaultdict(set)
    for one in found:
        pair = _pair(items, one)
        turned = pair[0] != items[one.first]
        places[pair].add((-one.offset, one.frame - one.offset) if turned else (one.offset, one.frame))
    jobs: list[Job] = [(*pair, tuple(sorted(places[pair]))) for pair in sorted(places)]
    results = in_processes(_aligned, jobs, workers=workers, title="compare")
    leaks = [
        Leak("recording", first, second, one.score, one.offset, one.seconds)
        for (first, second, _), one in zip(jobs, results, strict=True)
        if one is not None
    ]
    yield from sorted(leaks, key=lambda leak: -leak.similarity)
