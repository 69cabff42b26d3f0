"""Progress of downloads and checks: bars that several threads move."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from tqdm import tqdm

from data_modules.corpora.fetch.checksums import PIECE
from data_modules.corpora.recipe import Source


def part_path(folder: Path, source: Source) -> Path:
    """Where a file grows until it is whole and checked."""
    return folder / f".{source.name}.part"


class CheckBar:
    """Progress of reading the files that are there already; large ones take minutes."""

    def __init__(self, paths: Sequence[Path]) -> None:
        total = sum(path.stat().st_size for path in paths)
        self._lock = Lock()
        self.bar = tqdm(
            total=total, unit="B", unit_scale=True, desc="check", disable=None if paths else True, leave=False
        )

    def move(self) -> None:
        """One more piece was read."""
        with self._lock:
            self.bar.update(min(PIECE, max(0, (self.bar.total or 0) - self.bar.n)))

    def __enter__(self) -> CheckBar:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()


class Bar:
    """One progress bar (bytes, speed, time left) that several threads move."""

    def __init__(self, sources: Sequence[Source], folder: Path) -> None:
        there = [part_path(folder, source) for source in sources]
        self._lock = Lock()
        self._told = {source.name: source.size or 0 for source in sources}
        self.bar = tqdm(
            total=sum(self._told.values()) or None,
            initial=sum(path.stat().st_size for path in there if path.exists()),
            unit="B",
            unit_scale=True,
            desc="download",
            disable=None if sources else True,
        )

    def move(self, count: int) -> None:
        with self._lock:
            self.bar.update(count)

    def total(self, source: Source, size: int) -> None:
        with self._lock:
            self._told[source.name] = size
            self.bar.total = sum(self._told.values())
            self.bar.refresh()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
