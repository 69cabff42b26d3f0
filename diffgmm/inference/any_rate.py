"""Audio blocks of any rate through a model of one rate: checks, resampling, and a gain for the band above its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any, Protocol

import numpy as np
import soxr

from diffgmm.audio import BLOCK, fit_length
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


def blocks_of(x: np.ndarray) -> Iterator[np.ndarray]:
    """``[channels, samples]`` or ``[samples]`` in blocks ``[channels, n]``."""
    channels = np.atleast_2d(x)
    return (channels[:, i : i + BLOCK] for i in range(0, channels.shape[1], BLOCK))


FRAME_SECONDS = 0.01  # hop of the frames by which the gain of the upper band is measured (twice as long)
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
        self.hop = round(FRAME_SECONDS * sample_rate)
        size = 2 * self.hop
        self._taps = np.hanning(size + 1)[:-1]
        hertz = np.fft.rfftfreq(size, 1 / sample_rate)
        # 5 to 7.5 kHz of a 16 kHz model
        self._band = (hertz >= 0.625 * nyquist) & (hertz <= 0.9375 * nyquist)
        self._channels, self._pairs = channels, Fifo(2 * channels)
        self._energy, self.gain = Fifo(2 * channels, np.float64), Fifo(channels, np.float64)
        self._weights = np.hanning(2 * FRAME_SMOOTHING + 3)[1:-1]
        self._pairs.push(np.zeros((2 * channels, self.hop)))  # frame j is centred on sample j * hop
        self._energy.push(np.zeros((2 * channels, FRAME_SMOOTHING)))

    def push(self, inside: np.ndarray, outside: np.ndarray) -> None:
        """Feed the model's input and output, ``[channels, n]`` each, at the model's rate."""
        self._pairs.push(np.concatenate([inside, outside]))
        count = (self._pairs.end - self._pairs.start) // self.hop - 1
        if count > 0:
            start = self._pairs.start
            x = self._pairs.view(start, start + (count + 1) * self.hop).astype(np.float64)
            frames = np.lib.stride_tricks.sliding_window_view(x, len(self._taps), axis=1)[:, :: self.hop]
            spectrum = np.fft.rfft(frames * self._taps)[..., self._band]
            self._energy.push(np.square(np.abs(spectrum)).sum(axis=-1))
            self._pairs.forget(start + count * self.hop)
        self._smooth()

    def finish(self) -> None:
        """No more input: make the gain reach beyond the end."""
        self.push(*np.zeros((2, self._channels, 2 * self.hop), np.float32))
        self._energy.push(np.zeros((2 * self._channels, FRAME_SMOOTHING)))
        self._smooth()
        self.gain.push(self.gain.view(self.gain.end - 1, self.gain.end))

    def _smooth(self) -> None:
        width = len(self._weights)
        if self._energy.end - self._energy.start < width:
            return
        energy = self._energy.view(self._energy.start, self._energy.end)
        windows = np.lib.stride_tricks.sliding_window_view(energy, width, axis=1)
        inside, outside = np.split(windows @ self._weights, 2)
        tiny = np.finfo(np.float64).tiny  # silence in the band: nothing to follow, leave the band above alone
        self.gain.push(np.sqrt(np.minimum((outside + tiny) / (inside + tiny), 1.0)))
        self._energy.forget(self._energy.end - width + 1)

    def at(self, start: int, end: int, frames_per_sample: float) -> np.ndarray:
        """Gain ``[channels, end - start]`` of these samples, interpolated; earlier ones are forgotten."""
        position = np.arange(start, end) * frames_per_sample
        frame = np.minimum(position.astype(np.int64), self.gain.end - 2)
        return self.gain.between(frame, position - frame).astype(np.float32)


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
        strength: 0 gives the input, 1 the model's output, between them a mixture.
        live: resample with a short delay (:class:`diffgmm.audio.stream_resampler.FirResampler`) rather than with soxr.
    """

    def __init__(
        self, rate: int, model_rate: int, channels: int, grid: Grid, strength: float = 1.0, live: bool = False
    ) -> None:
        self._grid, self._channels, self._strength, self._same = grid, channels, strength, rate == model_rate
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

    def run(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """All blocks ``[channels, n]``, and the rest that comes after the last one."""
        for block in blocks:
            yield from self.push(block)
        yield from self.finish()

    def push(self, block: np.ndarray) -> Iterator[np.ndarray]:
        """Feed ``[channels, n]``; yields pieces of output as they get final.

        Raises:
            ValueError: not float ``[channels, n]``, or NaN or Inf in it.
        """
        x = checked(block, self._channels)
        return self._mixed(self._grid.push(x) if self._same else self._pushed(x))

    def finish(self) -> Iterator[np.ndarray]:
        """The rest, after the last piece was fed."""
        return self._mixed(self._grid.finish() if self._same else self._finished())

    def _mixed(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        for x, y in pairs:
            yield y if self._strength == 1.0 else x + np.float32(self._strength) * (y - x)

    def _pushed(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self._original.push(x)
        if self._noise is not None:
            self._noise.push(x)
        self._pass_on(self._grid.push(self._down.push(x)))
        end = min(self._returned.end, self._gain.gain.reach(self._step), self._original.end)
        if self._noise is not None:
            end = min(end, self._noise.end)
        if end > self._original.start:
            yield self._ready(end)

    def _finished(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
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
