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

    def between(self, position: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Columns between two neighbours, by whole numbers and the weight of the second; the last goes on for ever.

        Columns before the first position are forgotten.
        """
        if not len(position) or self.end == 0:
            return np.zeros((len(self._data), len(position)))
        last = self.end - 1
        self.forget(min(int(position[0]), last))
        low, high = (self._data[:, np.minimum(at, last) - self.start] for at in (position, position + 1))
        result: np.ndarray = low + weight * (high - low)
        return result

    def reach(self, columns_per_sample: float) -> int:
        """How many samples, from the very first, have a column on both sides."""
        return max(0, int((self.end - 1) / columns_per_sample))

    def forget(self, before: int) -> None:
        if before > self.start:
            self._data, self.start = self._data[:, before - self.start :].copy(), before
