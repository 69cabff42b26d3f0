"""Progress bars on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Bars:
    """One progress bar at a time, on stderr, where that is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def begin(self, step: str, system: str, total: int) -> Callable[[], object]:
        """The bar of a step."""
        from tqdm import tqdm

        self._close()
        self._bar = bar = tqdm(total=total, desc=f"{step} {system}", unit="file", disable=None, leave=False)
        return bar.update

    def above(self, say: Callable[[], object]) -> None:
        """Say something without breaking the bar."""
        if self._bar is not None:
            self._bar.clear()
        say()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
