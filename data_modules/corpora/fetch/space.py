"""Disk space: enough of it before the work starts, and one clear line when it ends all the same."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from data_modules.errors import DataError

_FULL = {errno.ENOSPC, errno.EDQUOT}


def human(size: float) -> str:
    """Bytes for people, in decimal units.

    >>> human(870_400_000)
    '870MB'
    """
    return str(tqdm.format_sizeof(size, "B"))


def used(place: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in (place, *place.rglob("*")) if path.is_file())


def require_space(folder: Path, needs: dict[str, float]) -> None:
    """Check that the disk of `folder` (or of the nearest parent that exists) has room.

    Args:
        folder: where it will be written.
        needs: bytes by what they are for.

    Raises:
        DataError: it has not; the message names the need and what is free.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    need = sum(needs.values())
    if free < need:
        parts = ", ".join(f"{what} {human(size)}" for what, size in needs.items() if size)
        raise DataError(
            f"{folder}: needs about {human(need)} ({parts}), but {human(free)} is free there; "
            "make room, or choose another disk with --root"
        )


@contextmanager
def telling_full_disk(folder: Path) -> Iterator[None]:
    """Turn "no space left on device" inside the block into one line that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        free = human(shutil.disk_usage(folder).free)
        raise DataError(
            f"{folder}: the disk is full ({free} free); make room and run the same command again, it goes on "
            "where it stopped"
        ) from error
