"""folders: the user's own voices and noises as a prepared corpus, with splits that stay as they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_modules.corpora.recipe import Entry, Recipe, described, short_hash
from data_modules.errors import DataError
from data_modules.pools.collection import Collection
from data_modules.pools.sources import SPLITS, Item, corpus_items

NAME = "folders"


def _entries(items: Sequence[Item]) -> list[Entry]:
    """Items as clips; where files of one group share a name, a hash of their place tells them apart."""
    splits: dict[str, str] = {}
    for item in items:
        if splits.setdefault(os.path.realpath(item.path), item.split) != item.split:
            raise DataError(f"{item.path}: is in two splits; give folders that don't contain one another")
    top = os.path.commonpath([Path(os.path.abspath(item.path)).parent for item in items])
    uses = Counter((item.split, item.kind, item.group, Path(item.path).stem) for item in items)
    entries = []
    for item in items:
        member, stem = Path(os.path.relpath(item.path, top)).as_posix(), Path(item.path).stem
        place = (item.split, item.kind, item.group)
        if uses[(*place, stem)] > 1:
            stem = f"{stem}_{short_hash(member)}"
        entries.append(Entry(Path(item.path), *place, stem, source=NAME, member=member))
    return entries


def _one_folder(folder: Path, variant: str) -> list[Entry]:
    """A folder that has the layout of a corpus, or voices in ``speech`` and noises in ``noise``."""
    speech, noise = folder / "speech", folder / "noise"
    if speech.is_dir() and noise.is_dir():
        return list(of_folders([str(speech)], [str(noise)]).entries(folder, variant))
    if not any((folder / split).is_dir() for split in SPLITS):
        raise DataError(
            f"{folder}: has neither the folders speech and noise nor train, valid and test; give --speech DIR and "
            "--noise DIR instead"
        )
    return _entries(corpus_items(folder))


RECIPE = described(NAME, entries=_one_folder)


def of_folders(speech: Sequence[str], noise: Sequence[str]) -> Recipe:
    """The recipe for these folders of voices and of noises."""
    collection = Collection(speech=speech, noise=noise, valid_fraction=0.1, test_fraction=0.1)
    return replace(RECIPE, entries=lambda folder, variant: _entries(collection.items()), local=False)
