"""debian-speech-noise: real speech and noise from pinned Debian packages, without an account.

Speakers and languages are disjoint between train, valid and test; noise is disjoint by package. The variant
"light" takes the small packages (about 870 MB), "full" all of them (about 5 GB).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from data_modules.corpora.recipe import Entry, Source, described
from data_modules.corpora.recipes.debian.clips import condition, file_stem
from data_modules.corpora.recipes.debian.packages import PINS, Pin, label_of, packages_of
from data_modules.corpora.recipes.debian.unpack import unpack, unpacked
from data_modules.errors import DataError
from data_modules.pools.sources import SPLITS

NAME = "debian-speech-noise"
_BY_FILE = {pin.file_name: pin for pin in PINS}
_STATED = {"apt": "Debian bookworm's Packages file", "pip": "the Python package index"}


def source_of(pin: Pin) -> Source:
    """A package as a file to fetch."""
    digest, optional = f"sha256:{pin.sha256}", pin.by == "pip"
    return Source(pin.file_name, "", pin.size, digest, _STATED[pin.by], pin.by, pin.request, optional)


def _unpack(archive: Path, source: Source, folder: Path, tick: Callable[[], None]) -> None:
    pin = _BY_FILE[source.name]
    unpack(archive, pin, lambda member: label_of(pin, member) is not None, folder, tick)


def _entries(folder: Path, variant: str) -> list[Entry]:
    """By split, package and name: of equal clips the engine keeps the first."""
    entries = []
    for pin in (pin for pin in PINS if (folder / pin.file_name).is_dir()):
        clips = []
        for member, path in unpacked(folder / pin.file_name):
            label = label_of(pin, member)
            assert label is not None  # only wanted files were unpacked
            stem = file_stem(pin.name, member)
            split, kind, group, language = label
            about = (language, pin.licence, pin.source, member)
            clips.append(Entry(path, split, kind, group, stem, *about))
        entries += sorted(clips, key=lambda clip: clip.path)
    return sorted(entries, key=lambda entry: SPLITS.index(entry.split))


def _ready(variant: str) -> None:
    if shutil.which("dpkg-deb") is None:
        raise DataError(f"{NAME}: unpacking needs the program dpkg-deb; install the package dpkg")
    if find_spec("av") is None:
        raise DataError(f"{NAME}: G.722 speech needs PyAV; run `pip install 'diffgmm[corpora]'`")


def _sources(variant: str) -> list[Source]:
    return [source_of(pin) for pin in packages_of(variant)]


RECIPE = described(
    NAME, sources=_sources, entries=_entries, unpack=_unpack, condition=condition, ready=_ready
)
