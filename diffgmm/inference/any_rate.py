"""Audio blocks of any rate through a model of one rate: checks, resampling, and a gain for the band above its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any, Protocol

import numpy as np
import soxr

from diffgmm.audio import fit_length
from diffgmm.audio.buffer import Fifo
from diffgmm.audio.stream_resampler import FirResampler
from diffgmm.diffusion.sampler_options import whole_number
from diffgmm.inference.upper_noise import UpperNoise

MOST_CHANNELS = 8  # above it, an array with more rows than columns is taken for a transposed one


def recording(x: Any) -> np.ndarray:
    """``x`` as an array.

    Raises:
        ValueError: not float ``[channels, samples]`` or ``[samples]``, or transposed.
    """
    x = np.asarray(x)
    if x.ndim not in (1, 2) or not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"expected float [channels, samples] or [samples], got {x.dtype} {list(x.shape)}")
    if x.ndim == 2 and x.shape[0] > max(x.shape[1], MOST_CHANNELS) and x.shape[1]:
        raise ValueError(
            f"expected [channels, samples], got {list(x.shape)}, probably [samples, channels]: transpose it (x.T)"
        )
    return x


def check_settings(sample_rate: int, channels: int, strength: float) -> None:
    """Raise ``ValueError`` for a rate, a number of channels or a strength that can't be."""
    if isinstance(strength, bool) or not (isinstance(strength, Real) and 0.0 <= strength <= 1.0):
        raise ValueError(f"strength must be in 0..1, got {strength!r}")
    whole_number("channels", channels, 1)
    whole_number("sample_rate", sample_rate, 1)


def checked(block: np.ndarray, channels: int) -> np.ndarray:
    """``block`` as float32.

    Raises:
        ValueError: not float ``[channels, n]``, or NaN or Inf in it.
    """
    if not np.issubdtype(block.dtype, np.floating):
        raise ValueError(
            f"expected float samples in -1..1, got {block.dtype}; divide integers by their full scale"
        )
    if block.ndim != 2 or block.shape[0] != channels:
        raise ValueError(f"expected blocks of [{channels}, samples], got {list(block.shape)}")
    if not np.isfinite(block).all():
        raise ValueError("audio holds NaN or Inf")
    return block.astype(np.float32, copy=False)


def mixed_back(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Between the input ``x`` (strength 0) and the output ``y`` (strength 1)."""
    return y if strength == 1.0 else x + np.float32(strength) * (y - x)


FRAME_SECONDS = (
    0.01  # hop of the frames on which the gain of the upper band is measured (they are twice as long)
)

FRAME_SMOOTHING = 2  # frames on either side that a gain is averaged over


class Grid(Protocol):
    """What runs the model over windows: :class:`diffgmm.inference.window_grid.WindowGrid` or the grid for streams."""

    def push(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Feed ``[channels, n]``; yields (input, output) pieces of equal length as they get final."""

    def finish(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rest, after the last piece was fed."""


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
        self._channels, self._pairs, self._frame = channels, Fifo(2 * channels), 0
        self._energy, self._gain = Fifo(2 * channels, np.float64), Fifo(channels, np.float64)
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


class ThroughRate:
    """Feeds a grid that works at ``model_rate`` with audio at ``rate``; in and out come pieces at ``rate``.

    With d = down(x) and the model's y: output = up(y) + g (x - up(d) - n). What the model cannot see, x - up(d),
    is neither dropped nor left noisy: it loses its steady part n
    (:class:`diffgmm.inference.upper_noise.UpperNoise`; exactly zero where there is none), and the rest gets the gain g
    that the model gives its own topmost band (:class:`BandGain`).

    Args:
        rate: of the audio, Hz.
        model_rate: of the grid, Hz.
        channels: of every piece.
        grid: runs the model.
        live: resample with a short delay (:class:`diffgmm.audio.stream_resampler.FirResampler`) rather than with soxr.
    """

    def __init__(self, rate: int, model_rate: int, channels: int, grid: Grid, live: bool = False) -> None:
        self._grid, self._same = grid, rate == model_rate
        if self._same:
            return
        self._silence = np.zeros((channels, 0), np.float32)
        resampler = FirResampler if live else _Soxr
        self._down = resampler(rate, model_rate, channels)
        self._up = resampler(model_rate, rate, 2 * channels)
        self._gain = BandGain(channels, model_rate, min(rate, model_rate) / 2)
        self._step = model_rate / (rate * self._gain.hop)  # gain frames per sample at `rate`
        self._original, self._returned = Fifo(channels), Fifo(2 * channels)
        self._noise = UpperNoise(channels, rate, model_rate / 2, not live) if rate > model_rate else None

    def push(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Feed ``[channels, n]``; yields (input, output) pieces of equal length as they get final."""
        if self._same:
            yield from self._grid.push(x)
            return
        self._original.push(x)
        if self._noise is not None:
            self._noise.push(x)
        self._pass_on(self._grid.push(self._down.push(x)))
        end = min(self._returned.end, self._gain.reach(self._step), self._original.end)
        if self._noise is not None:
            end = min(end, self._noise.end)
        if end > self._original.start:
            yield self._ready(end)

    def finish(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rest, after the last piece was fed."""
        if self._same:
            yield from self._grid.finish()
            return
        self._pass_on(self._grid.push(self._down.push(self._silence, last=True)))
        self._pass_on(self._grid.finish())
        both = np.concatenate([self._silence, self._silence])
        self._returned.push(self._up.push(both, last=True))
        self._gain.finish()
        if self._noise is not None:
            self._noise.finish()
        self._returned.push(fit_length(both, max(0, self._original.end - self._returned.end)))
        if self._original.end > self._original.start:
            yield self._ready(self._original.end)

    def _pass_on(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        for d, y in pairs:
            self._gain.push(d, y)
            self._returned.push(self._up.push(np.concatenate([d, y])))

    def _ready(self, end: int) -> tuple[np.ndarray, np.ndarray]:
        start = self._original.start
        x, (d, y) = self._original.view(start, end), np.split(self._returned.view(start, end), 2)
        above = x - d if self._noise is None else x - d - self._noise.take(start, end)
        out = y + self._gain.at(start, end, self._step) * above
        self._original.forget(end)
        self._returned.forget(end)
        return x, out


class _Soxr:
    """soxr's stream with channels first."""

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        self._stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality="HQ")

    def push(self, x: np.ndarray, last: bool = False) -> np.ndarray:
        y: np.ndarray = self._stream.resample_chunk(np.ascontiguousarray(x.T), last=last)
        return y.reshape(-1, x.shape[0]).T
