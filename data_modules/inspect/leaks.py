"""Check that the splits of a corpus share no speaker, no file and no recording.

A copy is found in any format and at any level. One that was cut, filtered, or played faster or slower is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from data_modules.inspect.measure import RATE, Measured
from data_modules.pools.build import read_item
from data_modules.pools.sources import Item, shared_speakers

_ALIKE = 8  # clips per split and checksum that are named
_CORRELATION = 0.9  # of two sounds that are one recording, each coded at a low rate


@dataclass(frozen=True)
class Leak:
    """Two clips of different splits that belong together.

    Args:
        what: ``speaker`` (the same group), ``file`` (the same bytes), ``samples`` (the same sound in another
            format) or ``recording`` (the same sound at another level or rate).
        first, second: the clips; of a speaker the first of each split.
    """

    what: str
    first: Item
    second: Item


def find_leaks(measured: Mapping[Item, Measured]) -> list[Leak]:
    """Clips that are in two splits, the plainest first; silence is never the same."""
    leaks = {(leak.first, leak.second): leak for leak in _speakers(list(measured))}
    for what in ("file", "samples", "shape"):
        alike: dict[object, list[Item]] = defaultdict(list)
        for item, facts in measured.items():
            if facts.peak > 0.0 and getattr(facts, what):
                alike[getattr(facts, what)].append(item)
        for pair in _across(alike.values()):
            if pair not in leaks and (what != "shape" or _correlated(*pair)):
                leaks[pair] = Leak("recording" if what == "shape" else what, *pair)
    return list(leaks.values())


def _speakers(items: Sequence[Item]) -> Iterator[Leak]:
    for name, splits in shared_speakers(items).items():
        clips = [
            min(item for item in items if (item.group, item.split) == (name, split) and item.kind != "noise")
            for split in splits
        ]
        yield from (Leak("speaker", *pair) for pair in combinations(clips, 2))


def _across(groups: Iterable[Sequence[Item]]) -> Iterator[tuple[Item, Item]]:
    """Pairs of clips of a group in two splits, of a split's many only a few."""
    for group in groups:
        splits: dict[str, list[Item]] = defaultdict(list)
        for item in group:
            splits[item.split].append(item)
        for left, right in combinations(splits.values(), 2):
            yield from ((a, b) for a in left[:_ALIKE] for b in right[:_ALIKE])


def _correlated(first: Item, second: Item) -> bool:
    """Whether two clips of one length are the same but for their level, sign and rounding."""
    a, b = (read_item(item, RATE)[0] for item in (first, second))
    return bool(abs(np.dot(a, b)) > _CORRELATION * np.linalg.norm(a) * np.linalg.norm(b))
