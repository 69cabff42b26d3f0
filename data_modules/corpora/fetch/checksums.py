"""Checksums: of a file, and the ledger of those that no publisher states and were recorded here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from data_modules.corpora.recipe import Source
from data_modules.errors import DataError
from diffgmm.utils.files import write_text

PIECE = 1 << 20


class WrongChecksum(DataError):
    """A file is not what its publisher states, or not what it was at the first download."""


def checksum_of(path: Path, algorithm: str, tick: Callable[[], None] | None = None) -> str:
    """Checksum as ``"<algorithm>:<hex>"``, the file read in pieces; `tick` is called for each of them.

    Raises:
        DataError: Python's hashlib does not know the algorithm.
    """
    if algorithm not in hashlib.algorithms_available:
        raise DataError(f"{path}: no such checksum as {algorithm!r}; use md5, sha1, sha256 or sha512")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as handle:
        while piece := handle.read(PIECE):
            digest.update(piece)
            if tick is not None:
                tick()
    return f"{algorithm}:{digest.hexdigest()}"


class Ledger:
    """What each file of a folder of downloads must hash to: as published, else as recorded at first sight.

    Args:
        folder: the downloads; records are kept in its ``checksums.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checksums.json"

    def _read(self) -> dict[str, dict[str, str]]:
        if not self.path.exists():
            return {}
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
            return {name: dict(entry) for name, entry in entries.items()}
        except (ValueError, TypeError, AttributeError) as error:
            again = "delete it, and the files are recorded anew at the next run"
            raise DataError(f"{self.path}: damaged; {again}") from error

    def expected(self, source: Source) -> tuple[str, str] | None:
        """``(checksum, "published" or "recorded")``, or None for a file that nobody has seen yet."""
        if source.checksum is not None:
            return source.checksum.lower(), "published"
        entry = self._read().get(source.name)
        return None if entry is None else (entry["checksum"], "recorded")

    def check(self, source: Source, path: Path, tick: Callable[[], None] | None = None) -> tuple[str, str]:
        """Hold a file to its checksum, or record it; returns ``(checksum, "published" or "recorded")``.

        Raises:
            WrongChecksum: size or checksum differ from what is known.
        """
        size = path.stat().st_size
        if source.size is not None and size != source.size:
            raise WrongChecksum(f"{path}: has {size} bytes, but {source.name} has {source.size}")
        if (known := self.expected(source)) is None:
            checksum = checksum_of(path, "sha256", tick)
            with FileLock(self.path.with_name(".checksums.lock")):
                origin = {"checksum": checksum, "origin": "recorded", "url": source.url or source.package}
                entries = self._read() | {source.name: origin}
                write_text(self.path, json.dumps(entries, indent=1, sort_keys=True) + "\n")
            return checksum, "recorded"
        algorithm = known[0].partition(":")[0]
        if (actual := checksum_of(path, algorithm, tick)) != known[0]:
            stated = "its publisher states" if known[1] == "published" else f"{self.path} recorded"
            raise WrongChecksum(f"{path}: has the checksum {actual}, but {stated} {known[0]}")
        return known
