"""The clips of a corpus with what its manifest says about them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_modules.errors import DataError
from data_modules.pools.collection import resolve_corpus
from data_modules.pools.sources import KINDS, PAIR_KINDS, SPLITS, Item, corpus_items, read_manifest
from diffgmm.audio import AudioError, probe

_ORDER = (*KINDS, *PAIR_KINDS)


@dataclass(frozen=True)
class Record:
    """A clip.

    Args:
        item: where it is, its split, kind and group.
        seconds: how long it is.
        language, licence, source: as the manifest says, "" where it doesn't.
    """

    item: Item
    seconds: float
    language: str = ""
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class Records:
    """The clips of a corpus, in order of split, kind, group and path.

    Args:
        clips: those whose length is known.
        unreadable: name and reason of the files that can't be opened.
    """

    clips: list[Record]
    unreadable: list[tuple[str, str]]

    def by_part(self) -> dict[tuple[str, str], list[Record]]:
        """The clips of each split and kind, in the order training, validation, test."""
        parts: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in self.clips:
            parts[record.item.split, record.item.kind].append(record)
        return dict(parts)


def of_corpus(name: str, strict: bool = False) -> Records:
    """A corpus by its name, folder or manifest, of voices and noises or of pairs.

    Raises:
        DataError: there is none, it holds no files, or with `strict` a speaker is in two splits.
    """
    place = resolve_corpus(name)
    manifest = place if place.is_file() else place / "manifest.csv"
    rows = read_manifest(manifest) if manifest.is_file() else {}
    return of_items(corpus_items(place, KINDS + PAIR_KINDS, strict), rows)


def of_items(items: Iterable[Item], rows: Mapping[Item, dict[str, str]] | None = None) -> Records:
    """Files with their rows of a manifest, as far as they have one."""
    clips: list[Record] = []
    unreadable: list[tuple[str, str]] = []
    for item in sorted(set(items), key=_order):
        row = (rows or {}).get(item, {})
        about = {name: row.get(name) or "" for name in ("language", "licence", "source")}
        try:
            clips.append(Record(item, _seconds(item, row), **about))
        except AudioError as error:
            unreadable.append((item.path, str(error).removeprefix(f"{item.path}: ")))
    if not clips:
        name, reason = unreadable[0] if unreadable else ("the corpus", "no files")
        raise DataError(f"none of the {len(unreadable)} files can be read; the first is {name} ({reason})")
    return Records(clips, unreadable)


def _order(item: Item) -> tuple[int, int, Item]:
    return SPLITS.index(item.split), _ORDER.index(item.kind), item


def _seconds(item: Item, row: dict[str, str]) -> float:
    """What the manifest says if it does, else what the file's header says."""
    try:
        stated = float(row.get("seconds") or 0.0)
    except ValueError:
        stated = 0.0
    if not stated > 0.0:
        return probe(item.path).seconds
    if not Path(item.path).is_file():
        raise AudioError(f"{item.path}: no such file")
    return stated


def sample(clips: Sequence[Record], most: int) -> list[Record]:
    """At most so many clips, always the same: first one of each group, then whatever the hash of the names says."""
    if len(clips) <= most:
        return list(clips)
    order = sorted(
        clips, key=lambda record: hashlib.sha256(_key(record).encode("utf-8", "surrogateescape")).digest()
    )
    seen: set[str] = set()
    first: list[Record] = []
    rest: list[Record] = []
    for record in order:
        (rest if record.item.group in seen else first).append(record)
        seen.add(record.item.group)
    return [*first, *rest][:most]


def _key(record: Record) -> str:
    """The same wherever the corpus lies."""
    item = record.item
    return f"{item.group}/{Path(item.path).name}"
