"""Audio of any length and rate through a model of one rate: window grid, cross-fade, resampling, upper band.

Everything here is fed piece by piece and needs constant memory. What comes out does not depend on how the
audio was cut into pieces: windows sit at fixed absolute positions and reach the model in fixed groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soxr

from diffgmm.audio import fit_length

Enhance = Callable[[np.ndarray, "list[tuple[int, int]]"], np.ndarray]
"""``enhance(rows [B, T], keys)`` gives ``[B, T]``; a key is (channel, window index) of a row."""

FRAME_SECONDS = (
    0.01  # hop of the frames on which the gain of the upper band is measured (they are twice as long)
)
FRAME_SMOOTHING = 2  # frames on either side that a gain is averaged over


class _Fifo:
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


class WindowGrid:
    """Runs a model over overlapping windows at fixed positions and cross-fades them.

    Window k starts at ``k * (window - overlap)``, the overlap being widened until that is a multiple of
    ``align``; the last one is moved back so that it ends with the audio and sees nothing but audio. Audio
    shorter than one window is one window of its own length, mirrored up to ``shortest``.

    Args:
        enhance: the model, see :data:`Enhance`.
        channels: processed independently of each other.
        window, overlap: samples; ``2 * overlap <= window``.
        shortest: samples below which a window is mirrored before the model sees it.
        batch: rows (channels x windows) given to the model at once.
        align: hop of the model's frames in samples. Windows that start on it have their frames where a single
            pass over everything has them, so windows that overlap see the same frames.
    """

    def __init__(
        self,
        enhance: Enhance,
        channels: int,
        window: int,
        overlap: int,
        shortest: int,
        batch: int = 4,
        align: int = 1,
    ) -> None:
        overlap += (window - overlap) % align
        if not 0 < 2 * overlap <= window:
            raise ValueError(f"overlap must be in 1..{window // 2} for a window of {window}, got {overlap}")
        self._enhance, self._channels, self._batch = enhance, channels, batch
        self._window, self._overlap, self._hop = window, overlap, window - overlap
        self._shortest, self._group, self._align = shortest, max(1, batch // channels), align
        # sin^2 and its complement: the two windows agree on the speech, so amplitudes have to add up to one
        self._rise = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap).astype(np.float32) ** 2
        self._input, self._next = _Fifo(channels), 0
        self._tail: np.ndarray | None = None  # end of the last window, to be faded into the next

    def push(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Feed ``[channels, n]``; yields (input, output) pieces of equal length as they get final."""
        self._input.push(x)
        while self._input.end >= (self._next + self._group - 1) * self._hop + self._window:
            first, self._next = self._next, self._next + self._group
            for k, y in zip(range(first, self._next), self._run(range(first, self._next)), strict=True):
                yield self._settled(k, y, (k + 1) * self._hop)
            self._input.forget((self._next - 1) * self._hop)

    def finish(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rest, after the last piece was fed."""
        total = self._input.end
        if total == 0:
            return
        if total <= self._window and self._next == 0:
            x = self._input.view(0, total)
            y = self._rows(np.pad(x, [(0, 0), (0, max(0, self._shortest - total))], mode="reflect"), range(1))
            yield x, y[:, :total]
            return
        for k in range(self._next, (total - self._window) // self._hop + 1):
            yield self._settled(k, self._run(range(k, k + 1))[0], (k + 1) * self._hop)
            self._next = k + 1
        done = self._next * self._hop  # settled so far; the last window's tail reaches one overlap further
        if total > done + self._overlap:
            start = (total - self._window) // self._align * self._align
            y = self._rows(self._input.view(start, total), range(self._next, self._next + 1))
            yield self._settled(self._next, y[:, done - total :], total)
        elif self._tail is not None:
            yield self._input.view(done, total), self._tail

    def _settled(self, k: int, y: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Fade window k, given from its grid position on, into its predecessor; final until ``end``."""
        start, y = k * self._hop, y.copy()
        if self._tail is not None:
            y[:, : self._overlap] = self._tail + self._rise * (y[:, : self._overlap] - self._tail)
        self._tail = y[:, end - start :]
        return self._input.view(start, end), y[:, : end - start]

    def _run(self, indices: range) -> np.ndarray:
        """Model output ``[windows, channels, window]`` of these windows."""
        views = [self._input.view(k * self._hop, k * self._hop + self._window) for k in indices]
        return self._rows(np.concatenate(views), indices).reshape(len(indices), self._channels, -1)

    def _rows(self, rows: np.ndarray, indices: range) -> np.ndarray:
        """Model output of rows ``[windows * channels, n]``, at most ``batch`` of them at once."""
        keys = [(channel, k) for k in indices for channel in range(self._channels)]
        starts = range(0, len(keys), self._batch)
        return np.concatenate(
            [self._enhance(rows[i : i + self._batch], keys[i : i + self._batch]) for i in starts]
        )


class BandGain:
    """Gain over time that the model gives its own topmost band.

    It is sqrt(output energy / input energy) on frames of 20 ms, energies smoothed over five, at most 1.
    """

    def __init__(self, channels: int, sample_rate: int, nyquist: float) -> None:
        self._hop = round(FRAME_SECONDS * sample_rate)
        size = 2 * self._hop
        self._taps = np.hanning(size + 1)[:-1]
        hertz = np.fft.rfftfreq(size, 1 / sample_rate)
        self._band = (hertz >= 0.625 * nyquist) & (
            hertz <= 0.9375 * nyquist
        )  # 5 to 7.5 kHz of a 16 kHz model
        self._channels, self._pairs, self._frame = channels, _Fifo(2 * channels), 0
        self._energy, self._gain = _Fifo(2 * channels, np.float64), _Fifo(channels, np.float64)
        self._weights = np.hanning(2 * FRAME_SMOOTHING + 3)[1:-1]
        self._pairs.push(np.zeros((2 * channels, self._hop)))  # frame j is centred on sample j * hop
        self._energy.push(np.zeros((2 * channels, FRAME_SMOOTHING)))

    def push(self, inside: np.ndarray, outside: np.ndarray) -> None:
        """Feed the model's input and output, ``[channels, n]`` each, at the model's rate."""
        self._pairs.push(np.concatenate([inside, outside]))
        count = (self._pairs.end - self._pairs.start) // self._hop - 1
        if count > 0:
            start = self._pairs.start
            x = self._pairs.view(start, start + (count + 1) * self._hop).astype(np.float64)
            frames = np.lib.stride_tricks.sliding_window_view(x, len(self._taps), axis=1)[:, :: self._hop]
            spectrum = np.fft.rfft(frames * self._taps)[..., self._band]
            self._energy.push(np.square(np.abs(spectrum)).sum(axis=-1))
            self._pairs.forget(start + count * self._hop)
        self._smooth()

    def finish(self) -> None:
        """No more input: make the gain reach beyond the end."""
        self.push(*np.zeros((2, self._channels, 2 * self._hop), np.float32))
        self._energy.push(np.zeros((2 * self._channels, FRAME_SMOOTHING)))
        self._smooth()
        self._gain.push(self._gain.view(self._gain.end - 1, self._gain.end))

    def _smooth(self) -> None:
        width = len(self._weights)
        if self._energy.end - self._energy.start < width:
            return
        energy = self._energy.view(self._energy.start, self._energy.end)
        windows = np.lib.stride_tricks.sliding_window_view(energy, width, axis=1)
        inside, outside = np.split(windows @ self._weights, 2)
        tiny = np.finfo(np.float64).tiny  # silence in the band: nothing to follow, leave the band above alone
        self._gain.push(np.sqrt(np.minimum((outside + tiny) / (inside + tiny), 1.0)))
        self._energy.forget(self._energy.end - width + 1)

    def reach(self, frames_per_sample: float) -> int:
        """How many samples, from the very first, have a known gain; ``frames_per_sample`` sets their rate."""
        return max(0, int((self._gain.end - 1) / frames_per_sample))

    def at(self, start: int, end: int, frames_per_sample: float) -> np.ndarray:
        """Gain ``[channels, end - start]`` of these samples, interpolated; earlier ones are forgotten."""
        position = np.arange(start, end) * frames_per_sample
        whole = np.minimum(position.astype(np.int64), self._gain.end - 2)
        part = position - whole
        self._gain.forget(int(whole[0]) if len(whole) else self._gain.start)
        gains = self._gain.view(self._gain.start, self._gain.end)
        low, high = gains[:, whole - self._gain.start], gains[:, whole - self._gain.start + 1]
        return (low + part * (high - low)).astype(np.float32)

    @property
    def hop(self) -> int:
        return self._hop


def through_rate(
    blocks: Iterable[np.ndarray], rate: int, model_rate: int, channels: int, grid: WindowGrid
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (input, output) pieces ``[channels, n]`` at ``rate`` from a model that works at ``model_rate``.

    With d = down(x) and the model's y: output = up(y) + g (x - up(d)). What the model cannot see, x - up(d),
    is neither dropped nor left noisy: it gets the gain g that the model gives its own topmost band
    (:class:`BandGain`).
    """
    if rate == model_rate:
        for x in blocks:
            yield from grid.push(x)
        yield from grid.finish()
        return
    down = soxr.ResampleStream(rate, model_rate, channels, dtype="float32", quality="HQ")
    up = soxr.ResampleStream(model_rate, rate, 2 * channels, dtype="float32", quality="HQ")
    gain = BandGain(channels, model_rate, min(rate, model_rate) / 2)
    step = model_rate / (rate * gain.hop)  # gain frames per sample at `rate`
    original, returned = _Fifo(channels), _Fifo(2 * channels)

    def pass_on(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        for d, y in pairs:
            gain.push(d, y)
            returned.push(_resampled(up, np.concatenate([d, y])))

    def ready(end: int) -> tuple[np.ndarray, np.ndarray]:
        start = original.start
        x, (d, y) = original.view(start, end), np.split(returned.view(start, end), 2)
        out = y + gain.at(start, end, step) * (x - d)
        original.forget(end)
        returned.forget(end)
        return x, out

    for x in blocks:
        original.push(x)
        pass_on(grid.push(_resampled(down, x)))
        end = min(returned.end, gain.reach(step), original.end)
        if end > original.start:
            yield ready(end)
    pass_on(grid.push(_resampled(down, np.zeros((channels, 0), np.float32), last=True)))
    pass_on(grid.finish())
    returned.push(_resampled(up, np.zeros((2 * channels, 0), np.float32), last=True))
    gain.finish()
    missing = original.end - returned.end
    returned.push(fit_length(np.zeros((2 * channels, 0), np.float32), max(0, missing)))
    if original.end > original.start:
        yield ready(original.end)


def _resampled(stream: soxr.ResampleStream, x: np.ndarray, last: bool = False) -> np.ndarray:
    y = stream.resample_chunk(np.ascontiguousarray(x.T), last=last)
    return y.reshape(-1, x.shape[0]).T
