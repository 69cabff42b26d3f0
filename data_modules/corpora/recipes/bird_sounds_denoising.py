"""bird-sounds-denoising: pairs of noisy and denoised bird recordings (the second corpus of the DiffGMM paper)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from data_modules.corpora.fetch.archives import is_archive, unpack
from data_modules.corpora.layout import audio_below, clip_path, sorted_entries
from data_modules.corpora.recipe import Entry, Recipe, Source

NAME = "bird-sounds-denoising"
_KINDS = {"raw_audios": "noisy", "denoised_audios": "clean"}
_SPLITS = {"training": "train", "train": "train", "valid": "valid", "validation": "valid", "test": "test"}
_NOT_SOUND = frozenset({"Images", "Masks"})
# The folders are those of the authors' README; how the record packs them is not told there, so archives inside are
# opened too, and only the names of the folders count.
_SOURCE = Source("BirdSoundsDenoising.zip", "https://zenodo.org/api/records/7191406/files-archive")


def _wanted(member: str) -> bool:
    return is_archive(member) or _NOT_SOUND.isdisjoint(PurePosixPath(member).parts)


def _unpack(archive: Path, source: Source, folder: Path, tick: Callable[[], None]) -> None:
    """Unpack what Zenodo packed, and the archives in it, each into a folder of its own name."""
    record = unpack(archive, folder / "record", wanted=_wanted, tick=tick)
    for inner in sorted(path for path in record.rglob("*") if path.is_file() and is_archive(path.name)):
        unpack(inner, inner.with_name(f"{inner.name}.unpacked"), wanted=_wanted, tick=tick)
        inner.unlink()


def _clips(folder: Path) -> Iterator[Entry]:
    for file, inside in audio_below(folder / _SOURCE.name):
        folders = [part.lower().split(".")[0] for part in inside.parts[:-1]]
        kind = next((_KINDS[part] for part in folders if part in _KINDS), None)
        split = next((_SPLITS[part] for part in folders if part in _SPLITS), None)
        if kind and split:
            path = clip_path(split, kind, "birds", inside.stem)
            # Whose voice it is, is not told: each recording counts as a singer of its own.
            yield Entry(file, path, split, kind, inside.stem, source=_SOURCE.name, member=str(inside))


RECIPE = Recipe(
    name=NAME,
    title="BirdSoundsDenoising: 14,120 bird recordings of 1 to 15 s with their denoised versions",
    homepage="https://doi.org/10.5281/zenodo.7191406",
    licence="see the record (recordings from xeno-canto, Creative Commons)",
    citation="Y. Zhang and J. Li, BirdSoundsDenoising: deep visual audio denoising for bird sounds, WACV 2023, "
    "arXiv:2210.10196",
    hours={},
    download_bytes={},
    sources=lambda variant: [_SOURCE],
    entries=lambda folder, variant: sorted_entries(list(_clips(folder)), NAME),
    sample_rate=32000,
    paired=True,
    unpack=_unpack,
    notes=(
        "The publisher's split: 10,000 recordings train, 1,400 validate, 2,720 test.",
        "It publishes Raw_audios (noisy), Denoised_audios (clean), and spectrogram Images with Masks of the bird's "
        "areas; the images and masks are not needed here and are left out.",
        "The clean side was made from the noisy one by masking: it holds what the annotators marked, not a recording "
        "without noise.",
        "Rates differ between recordings; all are brought to 32 kHz, because birds sing above 8 kHz.",
        "Its files are fetched together, as one archive that Zenodo makes on request: there is no published checksum "
        "of it, and the first download records one.",
    ),
)
