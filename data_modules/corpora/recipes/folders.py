"""folders: the user's own voices and noises as a prepared corpus, with splits that stay as they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_modules.corpora.layout import clip_path, short_hash, sorted_entries
from data_modules.corpora.recipe import Entry, Recipe
from data_modules.errors import DataError
from data_modules.pools.collection import Collection
from data_modules.pools.sources import SPLITS, Item, corpus_items

NAME = "folders"
Folders = str | Sequence[str] | None


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
        if uses[item.split, item.kind, item.group, stem] > 1:
            stem = f"{stem}_{short_hash(member)}"
        path = clip_path(item.split, item.kind, item.group, stem)
        entries.append(
            Entry(Path(item.path), path, item.split, item.kind, item.group, source=NAME, member=member)
        )
    return sorted_entries(entries, NAME)


def _one_folder(folder: Path, variant: str) -> list[Entry]:
    """A folder that has the layout of a corpus, or voices in ``speech`` and noises in ``noise``."""
    speech, noise = folder / "speech", folder / "noise"
    if speech.is_dir() and noise.is_dir():
        recipe = with_options(speech=str(speech), noise=str(noise))
        return list(recipe.entries(folder, variant))
    if not any((folder / split).is_dir() for split in SPLITS):
        raise DataError(
            f"{folder}: has neither the folders speech and noise nor train, valid and test; give --speech DIR and "
            "--noise DIR instead"
        )
    return _entries(corpus_items(folder))


RECIPE = Recipe(
    name=NAME,
    title="your own folders of voices and noises, any layout, rate and format",
    homepage="",
    licence="your own",
    citation="",
    hours={},
    download_bytes={"": 0},
    sources=lambda variant: [],
    entries=_one_folder,
    sample_rate=16000,
    local=True,
    notes=(
        "Name them with --speech DIR and --noise DIR, or name with --downloads one folder that has speech and noise in "
        "it, or train, valid and test with speech and noise in each.",
        "The first folder below the one you name is the speaker, or the category of noise.",
        "Whole speakers and categories validate (10 %) and test (10 %), chosen by a hash of their names, unless you "
        "give folders for these splits; files are split instead where there is one speaker or category only.",
    ),
)


def with_options(
    *,
    speech: Folders = None,
    noise: Folders = None,
    valid_speech: Folders = None,
    valid_noise: Folders = None,
    test_speech: Folders = None,
    test_noise: Folders = None,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_by: str = "group",
    sample_rate: int | None = 16000,
    name: str = NAME,
) -> Recipe:
    """The recipe for these folders.

    Args:
        speech, noise: folders of voices and of noises; what is not set aside trains.
        valid_speech, valid_noise, test_speech, test_noise: folders for the other splits.
        valid_fraction, test_fraction: share set aside where there is no such folder.
        split_by: ``group`` (whole speakers or categories) or ``file``.
        sample_rate: of the corpus in Hz; None keeps each file's own.
        name: of the corpus.

    Raises:
        DataError: no folders of speech or of noise, or settings out of range.
    """
    if not speech or not noise:
        missing = "--speech DIR" if not speech else "--noise DIR"
        raise DataError(f"{NAME}: give {missing}; a corpus needs folders of both speech and noise")
    collection = Collection(
        speech=speech,
        noise=noise,
        valid_speech=valid_speech,
        valid_noise=valid_noise,
        test_speech=test_speech,
        test_noise=test_noise,
        valid_fraction=valid_fraction,
        test_fraction=test_fraction,
        split_by=split_by,
    )

    def entries(folder: Path, variant: str) -> list[Entry]:
        return _entries(collection.items())

    return replace(RECIPE, name=name, entries=entries, sample_rate=sample_rate, local=False)
