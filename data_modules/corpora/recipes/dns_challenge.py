"""dns-challenge: the folders that the DNS Challenge's download scripts leave, split by reader and recording.

The data are hundreds of gigabytes and come by Microsoft's own scripts; this recipe takes what of it is there:
``diffgmm prepare dns-challenge --downloads DIR``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_modules.corpora.recipe import Entry, audio_below, described, share, short_hash

NAME = "dns-challenge"


def _split(key: str) -> str:
    """A twenty-fifth each validates and tests."""
    chance = share(key, NAME)
    return "valid" if chance < 0.04 else "test" if chance < 0.08 else "train"


def _entries(folder: Path, variant: str) -> Iterator[Entry]:
    tables = RECIPE.tables
    languages = tables["languages"]
    for file, inside in audio_below(folder):
        folders = [part.lower() for part in inside.parts[:-1]]
        if any(word in name for name in folders for word in tables["left_out"]):
            continue
        if not set(tables["noise"]).isdisjoint(folders):
            named = re.match(tables["freesound"], inside.stem)
            category, recording = named.groups() if named else ("audioset", inside.stem)
            split = _split(recording)
            yield Entry(file, split, "noise", category, inside.stem, source=NAME, member=str(inside))
        elif not {*languages, *tables["speech"]}.isdisjoint(folders):
            language = next((languages[part] for part in inside.parts if part in languages), "")
            found = [re.search(pattern, inside.stem) for pattern in tables["speakers"]]
            names = [match[1] for match in found if match]
            speaker = names[0] if names else f"unknown_{inside.parent.name}"
            stem = inside.stem if names else f"{inside.stem}_{short_hash(str(inside))}"
            split = _split(speaker) if names else "train"
            yield Entry(file, split, "speech", speaker, stem, language, source=NAME, member=str(inside))


RECIPE = described(NAME, entries=_entries)
