"""bird-sounds-denoising: pairs of noisy and denoised bird recordings (the second corpus of the DiffGMM paper)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from data_modules.corpora.fetch.archives import is_archive, unpack
from data_modules.corpora.recipe import Entry, Source, audio_below, described

NAME = "bird-sounds-denoising"
_KINDS = {"raw_audios": "noisy", "denoised_audios": "clean"}
_SPLITS = {"training": "train", "train": "train", "valid": "valid", "validation": "valid", "test": "test"}
_NOT_SOUND = frozenset({"Images", "Masks"})


def _wanted(member: str) -> bool:
    return is_archive(member) or _NOT_SOUND.isdisjoint(PurePosixPath(member).parts)


def _unpack(archive: Path, source: Source, folder: Path, tick: Callable[[], None]) -> None:
    """Unpack what Zenodo packed, and the archives in it, each into a folder of its own name.

    The folders are those of the authors' README, which doesn't say how the record packs them.
    """
    record = unpack(archive, folder / "record", wanted=_wanted, tick=tick)
    for inner in sorted(path for path in record.rglob("*") if path.is_file() and is_archive(path.name)):
        unpack(inner, inner.with_name(f"{inner.name}.unpacked"), wanted=_wanted, tick=tick)
        inner.unlink()


def _entries(folder: Path, variant: str) -> Iterator[Entry]:
    for source in RECIPE.sources(variant):
        for file, inside in audio_below(folder / source.name):
            folders = [part.lower().split(".")[0] for part in inside.parts[:-1]]
            kind = next((_KINDS[part] for part in folders if part in _KINDS), None)
            split = next((_SPLITS[part] for part in folders if part in _SPLITS), None)
            if kind and split:
                # Whose voice it is, is not told: each recording counts as a singer of its own.
                yield Entry(
                    file, split, kind, inside.stem, inside.stem, source=source.name, member=str(inside),
                    folder="birds",
                )  # fmt: skip


RECIPE = described(NAME, entries=_entries, unpack=_unpack)
