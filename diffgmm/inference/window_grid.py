"""Audio of any length through a model that works on windows: fixed grid, cross-fade.

Everything here is fed piece by piece and needs constant memory. What comes out does not depend on how the
audio was cut into pieces: windows sit at fixed absolute positions and reach the model in fixed groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from diffgmm.audio.signal import Fifo

Enhance = Callable[[np.ndarray, "list[tuple[int, int]]"], np.ndarray]
"""``enhance(rows [B, T], keys)`` gives ``[B, T]``; a key is (channel, first sample) of a row."""

Prepare = Callable[[np.ndarray], np.ndarray]
"""``prepare(rows [B, T])`` gives ``[B, T]``: windows as recorded, made fit for the model before they are mirrored."""


def as_recorded(rows: np.ndarray) -> np.ndarray:
    """The :data:`Prepare` that changes nothing."""
    return rows


class WindowGrid:
    """Runs a model over overlapping windows at fixed positions and cross-fades them.

    Window k starts at ``k * (window - overlap)``, the overlap being widened until that is a multiple of
    ``align``. The last one ends with the audio and sees nothing but audio: with ``stretch`` it takes what is left from
    its place on, ``overlap + stretch`` to ``window + stretch``, so that nothing but overlaps is computed twice;
    without, it is moved back and as long as all others. Audio shorter than one window is one window of its own
    length, mirrored up to ``shortest``.

    Args:
        enhance: the model, see :data:`Enhance`.
        channels: processed independently of each other.
        window, overlap: samples; ``2 * overlap <= window``.
        shortest: samples below which a window is mirrored before the model sees it.
        stretch: samples by which the last window may be longer than the others; 0 keeps all of one length.
        batch: rows (channels x windows) given to the model at once.
        align: hop of the model's frames in samples. Windows that start on it have their frames where a single
            pass over everything has them, so windows that overlap see the same frames.
        prepare: applied to every window, each row by itself.
    """

    def __init__(
        self,
        enhance: Enhance,
        channels: int,
        window: int,
        overlap: int,
        shortest: int,
        stretch: int = 0,
        batch: int = 4,
        align: int = 1,
        prepare: Prepare = as_recorded,
    ) -> None:
        overlap += (window - overlap) % align
        if not 0 < 2 * overlap <= window:
            raise ValueError(f"overlap must be in 1..{window // 2} for a window of {window}, got {overlap}")
        self._enhance, self._channels, self._batch = enhance, channels, batch
        self._prepare = prepare
        self._window, self.overlap, self._hop = window, overlap, window - overlap
        self._shortest, self._group, self._align = shortest, max(1, batch // channels), align
        self._stretch, self._longest = stretch, window + stretch
        # sin^2 and its complement: the two windows agree on the speech, so amplitudes have to add up to one
        self._rise = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap).astype(np.float32) ** 2
        self._input, self._next = Fifo(channels), 0
        self._tail: np.ndarray | None = None  # end of the last window, to be faded into the next

    def push(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Feed ``[channels, n]``; yields (input, output) pieces of equal length as they get final."""
        self._input.push(x)
        while self._input.end > (self._next + self._group - 1) * self._hop + self._longest:
            first, self._next = self._next, self._next + self._group
            for k, y in zip(range(first, self._next), self._run(range(first, self._next)), strict=True):
                yield self._settled(k, y, (k + 1) * self._hop)
            self._input.forget((self._next - 1) * self._hop)

    def finish(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rest, after the last piece was fed."""
        total = self._input.end
        if total == 0:
            return
        while total > self._next * self._hop + self._longest:
            k, self._next = self._next, self._next + 1
            yield self._settled(k, self._run(range(k, k + 1))[0], self._next * self._hop)
        done = self._next * self._hop
        start = (
            done if self._stretch else max(0, min(done, (total - self._window) // self._align * self._align))
        )
        x = self._input.view(start, total)
        missing = max(0, self._shortest - total) if self._next == 0 else 0
        y = self._rows(np.pad(self._prepare(x), [(0, 0), (0, missing)], mode="reflect"), [start])
        yield self._settled(self._next, y[:, done - start : total - start], total)

    def _settled(self, k: int, y: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Fade window k, given from its grid position on, into its predecessor; final until ``end``."""
        start, y = k * self._hop, y.copy()
        if self._tail is not None:
            y[:, : self.overlap] = self._tail + self._rise * (y[:, : self.overlap] - self._tail)
        self._tail = y[:, end - start :]
        return self._input.view(start, end), y[:, : end - start]

    def _run(self, indices: range) -> np.ndarray:
        """Model output ``[windows, channels, window]`` of these windows."""
        views = [self._input.view(k * self._hop, k * self._hop + self._window) for k in indices]
        starts = [k * self._hop for k in indices]
        rows = self._rows(self._prepare(np.concatenate(views)), starts)
        return rows.reshape(len(indices), self._channels, -1)

    def _rows(self, rows: np.ndarray, starts: list[int]) -> np.ndarray:
        """Model output of rows ``[windows * channels, n]``, at most ``batch`` of them at once."""
        keys = [(channel, start) for start in starts for channel in range(self._channels)]
        batches = [slice(i, i + self._batch) for i in range(0, len(keys), self._batch)]
        return np.concatenate([self._enhance(rows[batch], keys[batch]) for batch in batches])
