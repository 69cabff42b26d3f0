"""A buffer of samples that are pushed at one end, read anywhere and forgotten at the other."""

from __future__ import annotations

import numpy as np


class Fifo:
    """Columns ``[C, n]`` addressed by absolute position; old ones can be forgotten."""

    def __init__(self, channels: int, dtype: type = np.float32) -> None:
        self._data: np.ndarray = np.zeros((channels, 0), dtype)
        self.start = 0

    @property
    def end(self) -> int:
        return self.start + self._data.shape[1]

    def push(self, x: np.ndarray) -> None:
        self._data = np.concatenate([self._data, x.astype(self._data.dtype, copy=False)], axis=1)

    def view(self, start: int, end: int) -> np.ndarray:
        return self._data[:, start - self.start : end - self.start]

    def forget(self, before: int) -> None:
        if before > self.start:
            self._data, self.start = self._data[:, before - self.start :].copy(), before
