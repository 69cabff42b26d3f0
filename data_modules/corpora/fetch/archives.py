"""Zip and tar files that strangers made, unpacked: nothing outside the folder, nothing but files, no bombs.

Packs are collections of finished clips with a manifest, given as a folder or a tar file instead of the sources.
"""

from __future__ import annotations

import csv
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_modules.corpora.fetch.checksums import checksum_of
from data_modules.errors import DataError

Wanted = Callable[[str], bool]
Packs = dict[str, Path]
"""Packs by name, each a folder or a tar file."""
_ZIPS = (".zip", ".whl")
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
RATIO = 100
"""What unpacks to more than so many times its size is a bomb; audio packs to a half, silence aside."""
SMALL = 64 << 20
"""Up to so many bytes nothing is called a bomb: a short clip of digital silence packs 500-fold."""
MOST_FILES = 2_000_000
MANIFEST = "manifest.csv"
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Python before 3.10.12 and 3.11.4 has none; all that it would refuse of files is refused without it as well."""
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    RuntimeError,  # encrypted
)  # fmt: skip


def is_archive(name: str) -> bool:
    """Whether :func:`unpack` knows this ending."""
    return name.lower().endswith((*_ZIPS, *_TARS))


def _from_zip(archive: Path, folder: Path, wanted: Wanted) -> Iterator[int]:
    """Extract members; each one's size comes first. ``zipfile`` keeps them inside the folder and to that size."""
    with zipfile.ZipFile(archive) as bundle:
        for entry in bundle.infolist():
            if not entry.is_dir() and wanted(entry.filename):
                yield entry.file_size
                bundle.extract(entry, folder)


def _from_tar(archive: Path, folder: Path, wanted: Wanted) -> Iterator[int]:
    """Extract members; each one's size comes first. Nothing but files is taken, and nothing outside the folder."""
    root = folder.resolve()
    with tarfile.open(archive, mode="r|*") as bundle:
        for entry in bundle:
            name = entry.name.removeprefix("./")
            if entry.isdir() or not wanted(name):
                continue
            if not entry.isreg() or entry.issparse():
                raise DataError(f"{archive}: refused, {name!r} is a link, a device or a sparse file")
            yield entry.size
            entry.name = entry.name.lstrip("/")
            if not (root / entry.name).resolve().is_relative_to(root):
                raise DataError(f"{archive}: refused, {name!r} leads out of its folder")
            bundle.extract(entry, folder, set_attrs=False, **_FILTER)


def _extract(
    archive: Path, folder: Path, wanted: Wanted, most: float | None, tick: Callable[[], None], below: str = ""
) -> None:
    """Extract an archive, member by member, within the limits.

    Raises:
        DataError: more files or bytes than an archive of audio has.
    """
    limit = max(SMALL, RATIO * archive.stat().st_size) if most is None else most
    members = _from_zip if archive.name.lower().endswith(_ZIPS) else _from_tar
    total = 0
    for number, size in enumerate(members(archive, folder, lambda member: wanted(below + member)), 1):
        tick()
        total += size
        if number > MOST_FILES:
            raise DataError(f"{archive}: refused, it holds more than {MOST_FILES} files")
        if total > limit:
            size_text = f"{limit / 1e6:.0f} MB, as no audio does"
            raise DataError(f"{archive}: refused, it unpacks to more than {size_text}")


def unpack(
    archive: Path,
    target: Path,
    *,
    wanted: Wanted = lambda _: True,
    most_bytes: float | None = None,
    tick: Callable[[], None] = lambda: None,
    by: Callable[[Path, Path], None] | None = None,
) -> Path:
    """Unpack into the new folder `target`, which appears whole or not at all; other files are taken as they are.

    Archives inside become folders of their names; what archives those hold stays packed.

    Args:
        archive: a zip or tar (gz, bz2, xz) by its ending, or any other file.
        target: folder to make (for a file that is no archive: the file).
        wanted: which members to take, by their path inside. Nothing of these gets outside the folder; links and
            devices in a tar are refused.
        most_bytes: limit of the unpacked size; by default :data:`RATIO` times the size of the archive.
        tick: called often; may raise to end the work.
        by: ``(archive, new folder)``: unpacks in the place of the code here.

    Raises:
        DataError: the archive is damaged, or not one to unpack.
    """
    if by is None and not is_archive(archive.name):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(archive, target)
        except OSError:  # another disk, or one without hard links
            shutil.copyfile(archive, target)
        return target
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        if by is not None:
            by(archive, part)
        else:
            _extract(archive, part, wanted, most_bytes, tick)
            for inner in sorted(path for path in part.rglob("*") if path.is_file() and is_archive(path.name)):
                name, folder = inner.relative_to(part).as_posix(), inner.with_name(f".{inner.name}.part")
                folder.mkdir()
                _extract(inner, folder, wanted, most_bytes, tick, f"{name}/")
                inner.unlink()
                folder.replace(inner)
    except _BROKEN as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{archive}: cannot be unpacked ({text}); delete it and get it again") from error
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    return target


def find_packs(names: Sequence[str], downloads: Path | None) -> Packs:
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
    places = (folder / MANIFEST, folder / folder.name / MANIFEST)
    if (manifest := next((path for path in places if path.is_file()), None)) is None:
        raise DataError(f"{folder}: holds no {MANIFEST}; this is not the pack {folder.name}")
    with manifest.open(encoding="utf-8", newline="") as handle:
        table = csv.DictReader(handle)
        if missing := [name for name in ("path", *columns) if name not in (table.fieldnames or ())]:
            raise DataError(f"{manifest}: lacks the column {missing[0]}; this is not the pack {folder.name}")
        for row in table:
            if not (file := manifest.parent / row["path"]).is_file():
                raise DataError(f"{manifest}: names {row['path']}, which is not there; get the pack again")
            yield file, row
