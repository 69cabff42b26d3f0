"""bird-sounds-denoising: pairs of noisy and denoised bird recordings (the second corpus of the DiffGMM paper)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_modules.corpora.recipe import Entry, audio_below, described

NAME = "bird-sounds-denoising"


def _wanted(source: str, member: str) -> bool:
    return {"Images", "Masks"}.isdisjoint(PurePosixPath(member).parts)


def _entries(folder: Path, variant: str) -> Iterator[Entry]:
    """By the folders of the authors' README, which doesn't say how the record packs them."""
    (source,) = RECIPE.sources(variant)
    for file, inside in audio_below(folder / source.name):
        folders = [part.lower().split(".")[0] for part in inside.parts[:-1]]
        kind, split = (
            next((names[part] for part in folders if part in names), "")
            for names in (RECIPE.tables["kinds"], RECIPE.tables["splits"])
        )
        if kind and split:  # whose voice it is, is not told: each recording counts as a singer of its own
            name = inside.stem
            yield Entry(file, split, kind, name, name, source=source.name, member=str(inside), folder="birds")


RECIPE = described(NAME, entries=_entries, wanted=_wanted)
