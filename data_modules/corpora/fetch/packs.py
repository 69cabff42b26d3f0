"""Packs: collections of finished clips with a manifest, given as a folder or a tar file instead of the sources."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_modules.corpora.fetch.archives import unpack
from data_modules.corpora.fetch.checksums import checksum_of
from data_modules.errors import DataError

MANIFEST = "manifest.csv"


def find_packs(names: Sequence[str], downloads: Path | None) -> dict[str, Path]:
    """Which of these packs a folder holds, name -> folder or tar; none if the first is missing."""
    if downloads is None:
        return {}
    packs = {}
    for name in names:
        tar = downloads / f"{name}.tar"
        if (downloads / name / MANIFEST).is_file():
            packs[name] = downloads / name
        elif tar.is_file():
            packs[name] = tar
    return packs if names and names[0] in packs else {}


def pack_checksum(path: Path) -> str:
    """SHA-256 of the tar file, or of the manifest in a folder."""
    return checksum_of(path / MANIFEST if path.is_dir() else path, "sha256")


def open_pack(path: Path, target: Path) -> None:
    """Unpack a tar file, or link to a folder, as `target`; what is there already stays."""
    if target.exists():
        return
    if path.is_dir():
        target.symlink_to(path.resolve(), target_is_directory=True)
    else:
        unpack(path, target)


def pack_rows(folder: Path, columns: Sequence[str]) -> Iterator[tuple[Path, dict[str, str]]]:
    """Clips of an opened pack, each with its row of the manifest.

    Raises:
        DataError: the manifest is missing or lacks a column, or names a file that isn't there.
    """
    manifest = next(
        (path for path in (folder / MANIFEST, folder / folder.name / MANIFEST) if path.is_file()), None
    )
    if manifest is None:
        raise DataError(f"{folder}: holds no {MANIFEST}; this is not the pack {folder.name}")
    with manifest.open(encoding="utf-8", newline="") as handle:
        table = csv.DictReader(handle)
        missing = [name for name in ("path", *columns) if name not in (table.fieldnames or ())]
        if missing:
            raise DataError(f"{manifest}: lacks the column {missing[0]}; this is not the pack {folder.name}")
        for row in table:
            file = manifest.parent / row["path"]
            if not file.is_file():
                raise DataError(f"{manifest}: names {row['path']}, which is not there; get the pack again")
            yield file, row
