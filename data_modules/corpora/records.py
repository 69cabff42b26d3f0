"""The clips of a corpus with what its manifest says about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_modules.errors import DataError
from data_modules.pools.collection import resolve_corpus
from data_modules.pools.sources import KINDS, PAIR_KINDS, SPLITS, Item, corpus_items, read_manifest
from diffgmm.audio import AudioError, probe


@dataclass(frozen=True, order=True)
class Record(Item):
    """A clip.

    Args:
        seconds: how long it is.
        language, licence, source: as the manifest says, "" where it doesn't.
    """

    seconds: float = 0.0
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
    records = Records([], [])
    order = {name: number for number, name in enumerate((*SPLITS, *KINDS, *PAIR_KINDS))}
    for item in sorted(set(items), key=lambda item: (order[item.split], order[item.kind], item)):
        row = (rows or {}).get(item, {})
        about: dict[str, Any] = {name: row.get(name) or "" for name in ("language", "licence", "source")}
        try:
            records.clips.append(Record(**asdict(item), seconds=_seconds(item, row), **about))
        except AudioError as error:
            records.unreadable.append((item.path, str(error).removeprefix(f"{item.path}: ")))
    if not records.clips:
        name, reason = records.unreadable[0] if records.unreadable else ("the corpus", "no files")
        count = len(records.unreadable)
        raise DataError(f"none of the {count} files can be read; the first is {name} ({reason})")
    return records


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

    def key(record: Record) -> bytes:  # the same wherever the corpus lies
        name = f"{record.group}/{Path(record.path).name}"
        return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()

    order = sorted(clips, key=key)
    first = {record.group: record for record in reversed(order)}
    return sorted(order, key=lambda record: record is not first[record.group])[:most]
