"""musan: MUSAN's speech and noise (and, if wanted, its music as noise)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_modules.corpora.recipe import Entry, audio_below, described, share

NAME = "musan"
_ARCHIVE = "musan.tar.gz"


def _languages(folder: Path) -> dict[str, str]:
    """Clip -> language, from the lines ``speech-librivox-0000 f english`` of the annotations."""
    texts = (table.read_text("utf-8", "replace") for table in sorted(folder.glob("**/speech/*/ANNOTATIONS")))
    lines = [line.split() for text in texts for line in text.splitlines()]
    return {words[0]: words[2].lower() for words in lines if len(words) >= 3}


def _entries(folder: Path, variant: str) -> Iterator[Entry]:
    languages = _languages(folder / _ARCHIVE)
    splits = {language: split for split in ("valid", "test") for language in RECIPE.tables[split]}
    for file, inside in audio_below(folder / _ARCHIVE):
        sort = next((part for part in inside.parts if part in ("speech", "noise", "music")), "")
        chance = share(inside.stem, NAME)
        split, group, code = "train" if chance < 0.8 else "valid" if chance < 0.9 else "test", sort, ""
        if sort == "speech":
            language = languages.get(inside.stem, "")
            split, group = splits.get(language, "train"), inside.stem
            code = RECIPE.tables["codes"].get(language, "")
        elif sort == "noise":
            group = inside.parent.name
        elif sort != "music" or variant != "with-music":
            continue
        kind = "speech" if sort == "speech" else "noise"
        yield Entry(file, split, kind, group, inside.stem, code, source=_ARCHIVE, member=str(inside))


RECIPE = described(NAME, entries=_entries)
