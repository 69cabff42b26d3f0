"""Zip and tar files that strangers made, unpacked: nothing outside the folder, nothing but files, no bombs."""

from __future__ import annotations

import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from data_modules.errors import DataError

Wanted = Callable[[str], bool]
_ZIPS = (".zip", ".whl")
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
RATIO = 100
"""What unpacks to more than so many times its size is a bomb; audio packs to a half, silence aside."""
SMALL = 64 << 20
"""Up to so many bytes nothing is called a bomb: a short clip of digital silence packs 500-fold."""
MOST_FILES = 2_000_000
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    RuntimeError,  # encrypted
)  # fmt: skip


def is_archive(name: str) -> bool:
    """Whether :func:`unpack` knows this ending."""
    return name.lower().endswith((*_ZIPS, *_TARS))


def _taken(archive: Path, sizes: Iterator[int], most_bytes: float, tick: Callable[[], None]) -> None:
    """Draw members one by one, each of which was extracted when the next is drawn, within the limits.

    Raises:
        DataError: more files or bytes than an archive of audio has.
    """
    total = 0
    for number, size in enumerate(sizes, 1):
        tick()
        total += size
        if number > MOST_FILES:
            raise DataError(f"{archive}: refused, it holds more than {MOST_FILES} files")
        if total > most_bytes:
            raise DataError(
                f"{archive}: refused, it unpacks to more than {most_bytes / 1e6:.0f} MB, as no audio does"
            )


def _from_zip(archive: Path, folder: Path, wanted: Wanted) -> Iterator[int]:
    """Extract members; each one's size comes first. ``zipfile`` keeps them inside the folder and to that size."""
    with zipfile.ZipFile(archive) as bundle:
        for entry in bundle.infolist():
            if not entry.is_dir() and wanted(entry.filename):
                yield entry.file_size
                bundle.extract(entry, folder)


def _from_tar(archive: Path, folder: Path, wanted: Wanted) -> Iterator[int]:
    """Extract members; each one's size comes first. Nothing but files is taken, and nothing outside the folder."""
    with tarfile.open(archive, mode="r|*") as bundle:
        for entry in bundle:
            name = entry.name.removeprefix("./")
            if entry.isdir() or not wanted(name):
                continue
            if not entry.isreg() or entry.issparse():
                raise DataError(f"{archive}: refused, {name!r} is a link, a device or a sparse file")
            yield entry.size
            bundle.extract(entry, folder, set_attrs=False, filter="data")


def _take_as_it_is(file: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(file, target)


def _extract(
    archive: Path, folder: Path, wanted: Wanted, most_bytes: float | None, tick: Callable[[], None]
) -> None:
    limit = max(SMALL, RATIO * archive.stat().st_size) if most_bytes is None else most_bytes
    members = _from_zip if archive.name.lower().endswith(_ZIPS) else _from_tar
    _taken(archive, members(archive, folder, wanted), limit, tick)


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
        _take_as_it_is(archive, target)
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
                below = partial(_wanted_below, wanted, name)
                _extract(inner, folder, below, most_bytes, tick)
                inner.unlink()
                folder.replace(inner)
    except _BROKEN as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{archive}: cannot be unpacked ({text}); delete it and get it again") from error
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    return target


def _wanted_below(wanted: Wanted, folder: str, member: str) -> bool:
    return wanted(f"{folder}/{member}")
