"""Atomic writes and checksums of files."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file, which is read in pieces.

    Raises:
        OSError: the file can't be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def part_beside(path: Path) -> Path:
    """A temporary name in the folder of ``path``, so that the final rename stays within one file system."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")


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
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
