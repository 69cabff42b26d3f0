"""Unpack zip and tar files that strangers made: nothing outside the folder, nothing but files, no bombs."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from data_modules.errors import DataError

__all__ = ["RATIO", "Shelf", "is_archive", "reading", "unpack"]

_ZIPS = (".zip", ".whl")
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
RATIO = 100
"""What unpacks to more than so many times its size is a bomb; audio packs to a half, silence aside."""
SMALL = 64 << 20
"""Up to so many bytes nothing is called a bomb: a short clip of digital silence packs 500-fold."""
MOST_FILES = 2_000_000
_PIECE = 1 << 20
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


def is_archive(name: str) -> bool:
    """Whether :func:`unpack` knows this ending."""
    return name.lower().endswith((*_ZIPS, *_TARS))


@contextmanager
def reading(archive: Path) -> Iterator[None]:
    """Turn what the libraries raise about a damaged archive into one line."""
    try:
        yield
    except _BROKEN as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{archive}: cannot be unpacked ({text}); delete it and get it again") from error


class Shelf:
    """Puts members of an archive into a folder, one by one, within limits.

    Args:
        archive: for messages.
        folder: must exist; members keep their paths below it.
        most_bytes: for all of them together.
        tick: called with each piece; may raise to end the work.
    """

    def __init__(self, archive: Path, folder: Path, most_bytes: float, tick: Callable[[], None]) -> None:
        self.archive, self.folder, self.most_bytes, self.tick = archive, folder, most_bytes, tick
        self.bytes = 0
        self.files = 0

    def place(self, member: str) -> Path:
        """Where a member goes.

        Raises:
            DataError: its name leads out of the folder, or it is there already.
        """
        parts = member.split("/")
        bad = (
            not member or member.startswith(("/", "\\")) or ".." in parts or "\\" in member or "\0" in member
        )
        if bad or (len(member) > 1 and member[1] == ":"):
            raise DataError(f"{self.archive}: refused, the path {member!r} leads out of its folder")
        path = self.folder.joinpath(*(part for part in parts if part not in ("", ".")))
        if path == self.folder or path.exists():
            raise DataError(f"{self.archive}: refused, it holds {member!r} twice")
        self.files += 1
        if self.files > MOST_FILES:
            raise DataError(f"{self.archive}: refused, it holds more than {MOST_FILES} files")
        return path

    def put(self, member: str, content: IO[bytes], path: Path | None = None) -> Path:
        """Write one member; the bytes that really come are counted, whatever the archive says."""
        path = path or self.place(member)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise DataError(f"{self.archive}: refused, {member!r} lies inside a file") from error
        with path.open("xb") as handle:
            while piece := content.read(_PIECE):
                self.bytes += len(piece)
                if self.bytes > self.most_bytes:
                    raise DataError(
                        f"{self.archive}: refused, it unpacks to more than {self.most_bytes / 1e6:.0f} MB, "
                        "which is no audio archive's way"
                    )
                handle.write(piece)
                self.tick()
        return path


def _from_zip(archive: Path, shelf: Shelf, wanted: Callable[[str], bool]) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for entry in bundle.infolist():
            if entry.is_dir() or not wanted(entry.filename):
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise DataError(f"{archive}: refused, {entry.filename!r} is a link or a device")
            if entry.flag_bits & 1:
                raise DataError(
                    f"{archive}: {entry.filename!r} is encrypted; get an archive without a password"
                )
            with bundle.open(entry) as content:
                shelf.put(entry.filename, content)


def _from_tar(archive: Path, shelf: Shelf, wanted: Callable[[str], bool]) -> None:
    with tarfile.open(archive, mode="r|*") as bundle:
        for entry in bundle:
            shelf.tick()
            name = entry.name.removeprefix("./")
            if entry.isdir() or not wanted(name):
                continue
            content = bundle.extractfile(entry) if entry.isreg() and not entry.issparse() else None
            if content is None:
                raise DataError(f"{archive}: refused, {name!r} is a link, a device or a sparse file")
            shelf.put(name, content)


def _take_as_it_is(file: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(file, target)


def unpack(
    archive: Path,
    target: Path,
    *,
    wanted: Callable[[str], bool] | None = None,
    most_bytes: float | None = None,
    tick: Callable[[], None] = lambda: None,
    by: Callable[[Path, Path], None] | None = None,
) -> Path:
    """Unpack into the new folder `target`, which appears whole or not at all; other files are taken as they are.

    Args:
        archive: a zip or tar (gz, bz2, xz) by its ending, or any other file.
        target: folder to make (for a file that is no archive: the file).
        wanted: which members to take, by their path inside; all if None. Links and paths that lead out of the
            folder are refused among these, and passed over among the others.
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
    with reading(archive):
        if by is not None:
            by(archive, part)
        else:
            limit = max(SMALL, RATIO * archive.stat().st_size) if most_bytes is None else most_bytes
            shelf = Shelf(archive, part, limit, tick)
            take = _from_zip if archive.name.lower().endswith(_ZIPS) else _from_tar
            take(archive, shelf, wanted or (lambda _: True))
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    return target
