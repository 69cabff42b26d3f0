"""Corpus recipes: locations and checksums of the files, and the split of each clip.

A recipe only describes. :mod:`data_modules.corpora.build.engine` does the work, the same for all of them: download,
check, unpack, convert, write the manifest. Its facts stand in ``recipes/NAME.yaml``; functions are for what rules can't
say.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from data_modules.errors import DataError
from diffgmm.audio import is_audio
from diffgmm.utils.files import walk

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
        split: ``train``, ``valid`` or ``test``.
        kind: ``speech`` or ``noise``; in a paired corpus ``clean`` or ``noisy`` (same `stem` in both).
        group: the speaker, or the category of noise.
        stem: its file name in the corpus, without an ending.
        language: ISO 639-1 code of speech, else empty.
        licence: of this clip, if it differs from the recipe's.
        source: the archive or package it came from.
        member: its name inside the archive.
        folder: where it goes below split and kind, if not into that of its group.
    """

    file: Path
    split: str
    kind: str
    group: str
    stem: str
    language: str = ""
    licence: str = ""
    source: str = ""
    member: str = ""
    folder: str = ""

    @property
    def path(self) -> str:
        """Place in the corpus, ``split/kind/group/stem.flac``; no name inside an archive reaches outside it."""
        folder, stem = (safe_name(name) for name in (self.folder or self.group, self.stem))
        return f"{self.split}/{self.kind}/{folder}/{stem}.flac"


@dataclass(frozen=True)
class Rule:
    """Clips of an archive by their names.

    Args:
        pattern: of the whole path inside the archive; what it names ``group`` is the speaker or category.
        kind: see `Entry`.
        source: the archive; empty: all.
        variants: that take these clips; empty: all.
        split: of all of them, but for the groups that `splits` names.
        splits: split -> groups.
        language: of speech.
        folder: see `Entry`.
    """

    pattern: str
    kind: str
    source: str = ""
    variants: Sequence[str] = ()
    split: str = "train"
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    language: str = ""
    folder: str = ""

    def match(self, source: str, member: str) -> re.Match[str] | None:
        """Whether a file of an archive is one of these clips."""
        return re.fullmatch(self.pattern, member) if self.source in ("", source) else None

    def entry(self, file: Path, source: str, member: PurePosixPath) -> Entry | None:
        """The clip, if it is one."""
        if (match := self.match(source, str(member))) is None:
            return None
        group = match["group"]
        split = next((split for split, groups in self.splits.items() if group in groups), self.split)
        about = {"source": source, "member": str(member), "folder": self.folder}
        return Entry(file, split, self.kind, group, member.stem, self.language, **about)


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
            clips in the same order at each call, since of equal ones the first is kept. An optional source may be
            missing.
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
        tables: what the recipe's functions look up.
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
    variants: Sequence[str] = ("",)
    sample_rate: int | None = 16000
    paired: bool = False
    notes: Sequence[str] = ()
    local: bool = False
    wanted: Callable[[str, str], bool] | None = None
    unpack: Unpack | None = None
    unpacked_bytes: dict[str, int] = field(default_factory=dict)
    condition: Condition | None = None
    rejects: Sequence[str] = ()
    unique: bool = False
    ready: Callable[[str], None] | None = None
    packs: Sequence[str] = ()
    make: Callable[[Path, str], None] | None = None
    tables: dict[str, Any] = field(default_factory=dict)
    revision: int = 1


def described(name: str, **functions: Any) -> Recipe:
    """The recipe whose facts stand in ``recipes/NAME.yaml``.

    Its ``sources`` are those of `Source`, with ``variants`` if not all take them, and its ``clips`` those of `Rule`.
    ``unpacks`` is a pattern of the members to unpack, if they are more or less than the clips.

    Args:
        name: of the recipe.
        functions: fields of `Recipe` in the place of what follows from sources and rules.
    """
    file = Path(__file__).with_name("recipes") / f"{name.replace('-', '_')}.yaml"
    facts = yaml.safe_load(file.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = facts.pop("sources", [])
    only = [row.pop("variants", None) for row in rows]
    sources = [Source(**row) for row in rows]
    rules = [Rule(**row) for row in facts.pop("clips", ())]
    unpacks = facts.pop("unpacks", "")

    def of_variant(variant: str) -> list[Source]:
        return [source for source, some in zip(sources, only, strict=True) if some is None or variant in some]

    def wanted(source: str, member: str) -> bool:
        if unpacks:
            return re.search(unpacks, member) is not None
        return any(rule.match(source, member) for rule in rules)

    def entries(folder: Path, variant: str) -> Iterator[Entry]:
        chosen = [rule for rule in rules if not rule.variants or variant in rule.variants]
        for source in of_variant(variant):
            for file, member in audio_below(folder / source.name):
                yield from filter(None, (rule.entry(file, source.name, member) for rule in chosen))

    by_rule: dict[str, Any] = {"sources": of_variant, "entries": entries}
    if rules or unpacks:
        by_rule["wanted"] = wanted
    return Recipe(name=name, **facts, **(by_rule | functions))


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table that lies beside a recipe."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def audio_below(folder: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """Audio files below a folder and their relative paths; hidden files and archivers' leftovers are skipped.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the sources of this corpus are not there")
    for path in walk(folder):
        member = PurePosixPath(path.relative_to(folder).as_posix())
        if is_audio(path) and "__MACOSX" not in member.parts:
            yield path, member


def safe_name(text: str) -> str:
    """The text as a file name: odd characters replaced, with a hash of the text if anything was."""
    clean = re.sub(r"[^\w.+-]+|^\.+", "_", text)
    return text if clean == text and text else f"{clean or '_'}_{short_hash(text)}"


def short_hash(text: str) -> str:
    """Eight hexadecimal digits that tell texts apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def share(key: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but the key and the salt (the corpus's name)."""
    digest = hashlib.sha256(f"{salt}:{key}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64
