"""Level, grade and checksums of clips, and those that two splits share: speakers, files and recordings.

A copy is found in any format and at any level. One that was cut, filtered, or played faster or slower is not.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from data_modules.pools.build import read_item
from data_modules.pools.grade import Grade, grade
from data_modules.pools.sources import Item, shared_speakers
from diffgmm.audio import AudioError, resample
from diffgmm.audio.levels import active_level
from diffgmm.utils.files import sha256_of

RATE = 8000  # Hz, at which clips of any rate are compared
_ALIKE = 8  # clips per split and checksum that are named
_CORRELATION = 0.9  # of two sounds that are one recording, each coded at a low rate


@dataclass(frozen=True)
class Measured:
    """Properties of a clip.

    Args:
        level: active level in dBFS, -inf for silence.
        peak: largest sample.
        grade: how clean it is inside its phrases; None for noise.
        file: SHA-256 of the file.
        samples: SHA-256 of the samples in 16 bits at the file's rate, whatever the format.
        shape: number of samples at 8 kHz and place of the loudest, which a change of level leaves alone.
    """

    level: float
    peak: float
    grade: Grade | None
    file: str
    samples: str
    shape: tuple[int, int]


def measure(item: Item) -> Measured | str:
    """One clip, or the reason why it can't be read."""
    try:
        samples, rate = read_item(item)
    except AudioError as error:
        return str(error).removeprefix(f"{item.path}: ")
    digest = hashlib.sha256(f"{rate}\n".encode() + np.rint(samples * 32768.0).astype("<i4").tobytes())
    slow = np.abs(resample(samples, rate, RATE))
    peak = float(np.abs(samples).max(initial=0.0))
    graded = grade(samples, rate) if item.kind in ("speech", "clean") else None
    checksums = (sha256_of(item.path), digest.hexdigest())
    shape = (len(slow), int(np.argmax(slow)) if len(slow) else 0)
    return Measured(active_level(samples, rate), peak, graded, *checksums, shape)


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


def find_leaks(measured: Iterable[tuple[Item, Measured]]) -> list[Leak]:
    """Clips that are in two splits, the plainest first; silence is never the same."""
    clips = list(measured)
    leaks = {(leak.first, leak.second): leak for leak in _speakers([item for item, _ in clips])}
    for what in ("file", "samples", "shape"):
        alike: dict[object, list[Item]] = defaultdict(list)
        for item, facts in clips:
            if facts.peak > 0.0 and getattr(facts, what):
                alike[getattr(facts, what)].append(item)
        for pair in _across(alike.values()):
            if pair not in leaks and (what != "shape" or _correlated(*pair)):
                leaks[pair] = Leak("recording" if what == "shape" else what, *pair)
    return list(leaks.values())


def _speakers(items: Sequence[Item]) -> Iterator[Leak]:
    spoken = sorted(item for item in items if item.kind != "noise")
    for name, splits in shared_speakers(items).items():
        clips = [next(item for item in spoken if (item.group, item.split) == (name, s)) for s in splits]
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
