"""What a corpus recipe says: where the files are, what they must hash to, and which split each clip belongs to.

A recipe only describes. :mod:`data_modules.corpora.engine` does the work, the same for all of them: download,
check, unpack, convert, write the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Entry", "Recipe", "Source"]


@dataclass(frozen=True)
class Source:
    """One file to fetch.

    Args:
        name: file name in the folder of downloads; its ending tells how to unpack it.
        url: where it is published; empty where `by` names a package manager.
        size: bytes as the publisher states them, or None.
        checksum: ``"md5:<hex>"`` or ``"sha256:<hex>"`` as the publisher states it, or None: then it is recorded at
            the first download, and marked as recorded rather than published.
        checksum_from: page or file in which the publisher states the checksum.
        by: ``http``, ``apt`` (``name`` is left by ``apt-get download``) or ``pip`` (``pip download``).
        package: ``name=version`` for a package manager.
        optional: the corpus can be built without it; that is then noted in ``corpus.json``.
    """

    name: str
    url: str = ""
    size: int | None = None
    checksum: str | None = None
    checksum_from: str = ""
    by: str = "http"
    package: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Entry:
    """One clip of a corpus, before it is converted.

    Args:
        file: the unpacked audio file.
        path: where it goes, relative to the corpus, with "/" and the ending ``.flac``.
        split: ``train``, ``valid`` or ``test``.
        kind: ``speech`` or ``noise``; in a paired corpus ``clean`` or ``noisy`` (same file name in both).
        group: the speaker, or the category of noise.
        language: ISO 639-1 code of speech, else empty.
        licence: of this clip, if it differs from the recipe's.
        source: the archive or package it came from.
        member: its name inside the archive.
    """

    file: Path
    path: str
    split: str
    kind: str
    group: str
    language: str = ""
    licence: str = ""
    source: str = ""
    member: str = ""


@dataclass(frozen=True)
class Recipe:
    """Everything that is known about a corpus before it is fetched.

    Args:
        name: what ``diffgmm prepare`` and ``corpus:`` in YAML call it.
        title: one line for ``diffgmm prepare --list``.
        homepage: where people read about it.
        licence: as its publisher states it.
        citation: author, title, venue, year.
        hours: hours of audio, as published or measured; per variant.
        download_bytes: size of all downloads per variant (0 for folders of the user's own).
        sources: variant -> the files to fetch.
        entries: folder of unpacked sources (one folder per source, named after it), variant -> clips. It must
            yield the same clips in the same order at each call.
        variants: names of variants, the default first; a single empty name where there are none.
        sample_rate: of the converted clips, in Hz; None keeps each clip's own.
        paired: clips are pairs of the same name in ``clean`` and ``noisy`` instead of speech and noise.
        notes: what a user should know (how the split was made, quirks), one sentence each.
    """

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    hours: dict[str, float]
    download_bytes: dict[str, int]
    sources: Callable[[str], Sequence[Source]]
    entries: Callable[[Path, str], Iterable[Entry]]
    variants: tuple[str, ...] = ("",)
    sample_rate: int | None = 16000
    paired: bool = False
    notes: tuple[str, ...] = field(default=())
