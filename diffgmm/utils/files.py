"""Atomic writes and checksums of files."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def walk(
    folder: Path, recursive: bool = True, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[Path]:
    """All files of a folder in a fixed order, following links; hidden ones are left out.

    Hidden files (``._x.wav``, ``.x.part``) are no recordings. A link back to a folder that contains it, one of those
    ``above``, is not followed, or a file would be met again and again.

    Raises:
        OSError: a folder can't be listed.
    """
    status = folder.stat()
    here = above | {(status.st_dev, status.st_ino)}
    for path in sorted(folder.iterdir()) if here != above else ():
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            yield path
        elif recursive:
            yield from walk(path, recursive, here)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file, which is read in pieces.

    Raises:
        OSError: the file can't be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def part_beside(path: Path) -> Path:
    """A temporary name in the folder of ``path``, so that the final rename stays within one file system."""
    begin = os.fsencode(path.name)[:100].decode("utf-8", "ignore")  # systems count bytes, 255 of them
    return path.with_name(f".{begin}.{secrets.token_hex(4)}.part")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends, and is removed if it fails.

    Example:
        >>> with replacing("scores.txt") as part:  # doctest: +SKIP
        ...     part.write_text("1.0")
    """
    path = Path(path)
    part = part_beside(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file as a whole or not at all; an existing one is replaced."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder beside ``path`` that takes its place when the block ends, and is removed if it fails."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_beside(path)
    part.mkdir()
    try:
        yield part
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
