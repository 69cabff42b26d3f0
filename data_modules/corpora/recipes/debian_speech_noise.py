"""debian-speech-noise: real speech and noise from pinned Debian packages, without an account.

Speakers and languages are disjoint between train, valid and test; noise is disjoint by package. The variant
"light" takes the small packages (about 870 MB), "full" all of them (about 5 GB).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from data_modules.corpora.recipe import Entry, Recipe, Source
from data_modules.corpora.recipes.debian.clips import REJECTS, SAMPLE_RATE, condition, file_stem
from data_modules.corpora.recipes.debian.labels import label_of
from data_modules.corpora.recipes.debian.pins import PINS, VARIANTS, Pin, packages_of
from data_modules.corpora.recipes.debian.unpack import unpack, unpacked
from data_modules.errors import DataError
from data_modules.pools.sources import SPLITS

NAME = "debian-speech-noise"
_BY_FILE = {pin.file_name: pin for pin in PINS}
_STATED = {
    "apt": "Debian bookworm's Packages file",
    "pip": "the Python package index",
}


def _source(pin: Pin) -> Source:
    return Source(
        pin.file_name,
        size=pin.size,
        checksum=f"sha256:{pin.sha256}",
        checksum_from=_STATED[pin.manager],
        by=pin.manager,
        package=pin.request,
        optional=pin.manager == "pip",
    )


def _unpack(archive: Path, source: Source, folder: Path, tick: Callable[[], None]) -> None:
    pin = _BY_FILE[source.name]
    unpack(archive, pin, lambda member: label_of(pin, member) is not None, folder, tick)


def _entries(folder: Path, variant: str) -> Iterator[Entry]:
    """By split, package and name: of equal clips the engine keeps the first."""
    rows = []
    for number, pin in enumerate(PINS):
        if not (folder / pin.file_name).is_dir():
            continue
        for item in unpacked(folder / pin.file_name):
            label = label_of(pin, item.member)
            assert label is not None  # only wanted files were unpacked
            path = f"{label.split}/{label.kind}/{label.group}/{file_stem(pin.name, item.member)}.flac"
            where = (path, label.split, label.kind, label.group, label.language)
            rows.append((number, Entry(item.path, *where, pin.licence, pin.source, item.member)))
    rows.sort(key=lambda row: (SPLITS.index(row[1].split), row[0], row[1].path))
    for _, entry in rows:
        yield entry


def _ready(variant: str) -> None:
    if shutil.which("dpkg-deb") is None:
        raise DataError(f"{NAME}: unpacking needs the program dpkg-deb; install the package dpkg")
    if find_spec("av") is None:
        raise DataError(f"{NAME}: G.722 speech needs PyAV; run `pip install 'diffgmm[corpora]'`")


def recipe_of(pins: Callable[[str], tuple[Pin, ...]]) -> Recipe:
    """The recipe for these packages, variant -> pins."""
    return Recipe(
        name=NAME,
        title="speech (light: 12 languages) and noise (58 kinds) out of Debian packages, without an account",
        homepage="https://packages.debian.org/bookworm/",
        licence="free, named for each clip: BSD-like, CC-BY(-SA), GPL",
        citation="Debian 12 (bookworm), the packages named in corpus.json",
        hours={"light": 8.8, "full": 10.6},
        download_bytes={variant: sum(pin.size for pin in pins(variant)) for variant in VARIANTS},
        sources=lambda variant: [_source(pin) for pin in pins(variant)],
        entries=_entries,
        variants=VARIANTS,
        sample_rate=SAMPLE_RATE,
        notes=(
            "Speakers and languages are disjoint between the splits, noise is disjoint by package.",
            "Left out by rule: clips that are short, clipped, silent or (speech) noisy, and doubles.",
        ),
        unpack=_unpack,
        unpacked_bytes={  # with the archive inside 0ad-data
            "light": 510_000_000,
            "full": 2_300_000_000,
        },
        condition=condition,
        rejects=REJECTS,
        unique=True,
        ready=_ready,
    )


RECIPE = recipe_of(packages_of)
