"""open-voices: read, spoken and children's speech of several hundred voices, and noise, out of public repositories.

Made from repositories at pinned commits, or from the packs ``open-voices`` and ``open-voices-more``: selections of the
same recordings, 16 kHz, levelled. ``open_voices_sources.csv`` keeps whole sources and kinds of noise out of training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from data_modules.corpora.fetch.archives import pack_rows
from data_modules.corpora.recipe import Entry, Refused, Source, csv_rows, described
from data_modules.corpora.recipes.debian.clips import clean, speech_to_floor_db
from data_modules.pools.sources import SPLITS
from diffgmm.audio.levels import active_level, frame_powers

NAME = "open-voices"
PACKS = ("open-voices", "open-voices-more")


@dataclass(frozen=True)
class _Part:
    """What is taken from a repository: files whose path fits, the group being what the pattern names so.

    Speakers or kinds of noise that `valid` and `test` name (``*``: all of them) are kept out of training.
    """

    source: str
    kind: str
    repository: str
    commit: str
    pattern: str
    licence: str
    language: str
    valid: str
    test: str

    @property
    def origin(self) -> str:
        """How manifests name the repository."""
        return f"{self.repository}@{self.commit}"

    @property
    def archive(self) -> str:
        """File name of the download."""
        return f"{self.repository.replace('/', '_')}-{self.commit[:12]}.tar.gz"


_PARTS = tuple(_Part(**row) for row in csv_rows(Path(__file__).with_name("open_voices_sources.csv")))
_BY_SOURCE = {part.source: part for part in _PARTS}


def split_of(source: str, group: str) -> str:
    """Where a speaker or a kind of noise goes.

    >>> split_of("esc10", "chainsaw"), split_of("esc10", "rain"), split_of("vctk_autovc", "p225")
    ('test', 'train', 'valid')
    """
    for split in ("test", "valid"):
        names = getattr(_BY_SOURCE[source], split).split() if source in _BY_SOURCE else []
        if names == ["*"] or group in names:
            return split
    return "train"


@cache
def _credits() -> dict[str, str]:
    """Licence and author of the noises that have their own, by their path in the repository."""
    rows = csv_rows(Path(__file__).with_name("open_voices.csv"))
    return {row["path"]: f"{row['licence']} ({row['author']})" for row in rows}


def _licence(source: str, member: str) -> str:
    stated = _BY_SOURCE[source].licence if source in _BY_SOURCE else ""
    if source == "gcompris_voices":
        language, topic = member.split("/")[:2]
        others = {("en", "words"): "CC-BY-SA-3.0", ("es", "alphabet"): "CC-BY-SA-3.0"}
        return "public domain" if language == "gd" else others.get((language, topic), stated)
    return stated or _credits().get(member, "GPL-2+" if source == "bucklespring_keyboard" else "")


def _language(source: str, group: str) -> str:
    """ISO 639 code of a voice: what its source says, else how its group begins."""
    if source in ("gcompris_voices", "watson_stt_demo"):
        match = re.match(r"([a-z]{2,3})_" if source == "gcompris_voices" else r"([a-z]{2})-[A-Z]{2}", group)
        return match.group(1) if match else ""
    return _BY_SOURCE[source].language if source in _BY_SOURCE else ""


def _entry(
    file: Path, kind: str, source: str, group: str, stem: str, origin: str, member: str, digest: str = ""
) -> Entry:
    language = _language(source, group) if kind == "speech" else ""
    about = f"{member} sha256:{digest}" if digest else member
    split, licence = split_of(source, group), _licence(source, member)
    return Entry(file, split, kind, f"{source}_{group}", stem, language, licence, origin, about)


def _from_packs(folder: Path) -> Iterator[Entry]:
    for pack in (pack for pack in PACKS if (folder / pack).is_dir()):
        for file, row in pack_rows(folder / pack, ("kind", "source", "group", "origin", "sha256_source")):
            origin, _, rest = row["origin"].partition(":")
            member = rest.split(" | ")[0].strip()
            kind, source, group, digest = (row[name] for name in ("kind", "source", "group", "sha256_source"))
            yield _entry(file, kind, source, group, file.stem, origin, member, digest)


def _group(part: _Part, match: re.Match[str]) -> str:
    """Name of a speaker or a kind of noise; GCompris has one voice for all but three of a language's folders."""
    group = match.groupdict().get("group")
    if part.source == "gcompris_voices":
        language, topic = str(group).split("/")
        topic = {"geo_country": "geography", "misc": "main", "alphabet": "main"}.get(topic, topic)
        return f"{language}_{topic}"
    if part.source == "precise_room_noise":
        return "room_tone"
    if group is None:
        return "unlabelled"
    return group.replace("/", "_").replace(" ", "_").lower() if part.kind == "noise" else group


def _stem(source: str, member: str) -> str:
    """Name of a clip: that of its file, with its folders where these make it unique."""
    first = {"gcompris_voices": 0, "cdda_cc_sounds": 2, "precise_room_noise": 3}.get(source, -1)
    return "_".join(Path(member).with_suffix("").parts[first:])


def _from_repositories(folder: Path) -> Iterator[Entry]:
    for part in _PARTS:
        root = folder / part.archive
        for file in sorted(path for path in root.rglob("*") if path.is_file()):
            member = "/".join(file.relative_to(root).parts[1:])  # below the folder that the archive has
            match = re.fullmatch(part.pattern, member)
            if match is not None and (part.licence or member in _credits()):
                stem = _stem(part.source, member)
                yield _entry(file, part.kind, part.source, _group(part, match), stem, part.origin, member)


def _entries(folder: Path, variant: str) -> list[Entry]:
    packs = (folder / PACKS[0]).is_dir()
    entries = _from_packs(folder) if packs else _from_repositories(folder)
    return sorted(entries, key=lambda entry: (SPLITS.index(entry.split), entry.path))


def _wanted(source: str, member: str) -> bool:
    inside = member.partition("/")[2]
    return any(re.fullmatch(part.pattern, inside) for part in _PARTS if part.archive == source)


def _sources(variant: str) -> list[Source]:
    places = {part.archive: f"{part.repository}/archive/{part.commit}" for part in _PARTS}
    return [Source(name, f"https://github.com/{place}.tar.gz") for name, place in places.items()]


LEVEL = -20.0
"""Active level of every clip in dBFS; levels of recordings say nothing, mixing sets them."""
SPEECH_FLOOR_DB = 30.0
MOST_SECONDS = {"speech": 45.0, "noise": 30.0}


def condition(x: np.ndarray, rate: int, kind: str, to_rate: int) -> np.ndarray | Refused:
    """A recording as a clip at one level; what is short, clipped, silent or (speech) noisy is refused.

    Args:
        x: samples [channels, samples].
        rate: their rate in Hz.
        kind: ``speech`` or ``noise``.
        to_rate: 16,000 Hz.
    """
    most = int(MOST_SECONDS[kind] * rate)
    start = max(0, (x.shape[-1] - most) // 2) if kind == "noise" else 0
    if isinstance(mono := clean(x[:, start : start + most], rate, kind), Refused):
        return mono
    levels = 10.0 * np.log10(frame_powers(mono, to_rate) + 1e-12)
    if kind == "speech" and speech_to_floor_db(levels) < SPEECH_FLOOR_DB:
        return Refused("noisy")
    gain = min(10.0 ** ((LEVEL - active_level(mono, to_rate)) / 20.0), 0.99 / float(np.abs(mono).max()))
    return mono * np.float32(gain)


RECIPE = described(NAME, sources=_sources, entries=_entries, wanted=_wanted, condition=condition)
