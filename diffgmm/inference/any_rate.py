"""Audio blocks of any rate through a model of one rate: checks, resampling, and a gain for the band above its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any, Protocol

import numpy as np
import soxr

from diffgmm.audio import BLOCK
from diffgmm.audio.signal import Fifo, FirResampler, fit_length
from diffgmm.diffusion.sampler_options import whole_number

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
        probably = "probably [samples, channels]: transpose it (x.T)"
        raise ValueError(f"expected [channels, samples], got {list(x.shape)}, {probably}")
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
        remedy = "divide integers by their full scale"
        raise ValueError(f"expected float samples in -1..1, got {block.dtype}; {remedy}")
    if block.ndim != 2 or block.shape[0] != channels:
        raise ValueError(f"expected blocks of [{channels}, samples], got {list(block.shape)}")
    if not np.isfinite(block).all():
        raise ValueError("audio holds NaN or Inf")
    return block.astype(np.float32, copy=False)


def blocks_of(x: np.ndarray) -> Iterator[np.ndarray]:
    """``[channels, samples]`` or ``[samples]`` in blocks ``[channels, n]``."""
    channels = np.atleast_2d(x)
    return (channels[:, i : i + BLOCK] for i in range(0, channels.shape[1], BLOCK))


FRAME_SECONDS = (
    0.01  # hop of the frames by which gain and noise of the upper band are measured (twice as long)
)
FRAME_SMOOTHING = 2  # frames on either side that a gain or a power is averaged over
# What is steady above the model's band, a whine or hiss that goes on while somebody speaks, is no speech.
NOISE_BLOCK = 10  # frames whose mean power is one piece of evidence
EVIDENCE = 20  # blocks before or after that are looked at: 2 s of speech hold some without a sibilant
QUIETER = 1  # of these blocks may be quieter than the noise
# Times the low power that was measured: lowest blocks of a hiss hold about half its mean, and single frames vary.
EXCESS = 4.0
FLOOR = 0.1  # least gain


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


class UpperNoise:
    """Estimates the steady part of a sound above a frequency, from the sound alone.

    The noise in a bin of 50 Hz is as strong as the quiet blocks of 0.1 s within the 2 s before or, where the sound may
    be heard in advance, after. Speech above 8 kHz comes and goes, so its quietest blocks are much weaker.
    A frame's bin of power P, the noise's being N, has the steady part (1 - G) times the bin with
    G^2 = max(1 - 4 N / P, 0.1^2): spectral subtraction with an excess (Berouti et al., ICASSP 1979) over a noise power
    from minimum statistics (Martin, IEEE Trans. Speech Audio Process. 2001).

    Args:
        channels: treated independently of each other.
        sample_rate: of the sound, Hz.
        above: lowest frequency that is looked at, Hz.
        ahead: also judge by the 2 s after; what comes out is that much later.
    """

    def __init__(self, channels: int, sample_rate: int, above: float, ahead: bool) -> None:
        self._channels, self._hop = channels, round(FRAME_SECONDS * sample_rate)
        size = 2 * self._hop
        self._window = np.sin(np.pi * np.arange(size) / size)  # its square adds up to one
        self._upper = np.fft.rfftfreq(size, 1 / sample_rate) >= above
        self._bins, self._ahead = int(self._upper.sum()), EVIDENCE if ahead else 0
        self._input, self._output = Fifo(channels), Fifo(channels)
        self._input.push(np.zeros((channels, self._hop)))  # frame j is centred on sample j * hop
        self._powers = Fifo(channels * self._bins, np.float64)  # of whole blocks
        self._next, self._tail = 0, np.zeros((channels, self._hop))

    @property
    def end(self) -> int:
        """Samples, from the very first, whose noise is known."""
        return self._output.end

    def push(self, x: np.ndarray) -> None:
        """Feed ``[channels, n]``."""
        self._input.push(x)
        while (self._powers.end + 1) * NOISE_BLOCK <= self._frames:
            spectrum = self._spectrum(self._powers.end * NOISE_BLOCK, (self._powers.end + 1) * NOISE_BLOCK)
            self._powers.push(np.square(np.abs(spectrum)).mean(axis=1).reshape(-1, 1))
        while (
            self._powers.end > self._next + self._ahead
            and self._frames >= (self._next + 1) * NOISE_BLOCK + FRAME_SMOOTHING
        ):
            self._settle()

    def finish(self) -> None:
        """No more input: make the noise known to the end."""
        missing = -(-self._input.end // self._hop) + 1 - self._next * NOISE_BLOCK
        blocks = -(-missing // NOISE_BLOCK)
        self._input.push(np.zeros((self._channels, (blocks * NOISE_BLOCK + FRAME_SMOOTHING + 2) * self._hop)))
        for _ in range(blocks):
            self._settle()

    def take(self, start: int, end: int) -> np.ndarray:
        """Noise ``[channels, end - start]`` of these samples; earlier ones are forgotten."""
        self._output.forget(start)
        return self._output.view(start, end)

    @property
    def _frames(self) -> int:
        return self._input.end // self._hop - 1

    def _spectrum(self, first: int, last: int) -> np.ndarray:
        """Upper bins ``[channels, frames, bins]`` of frames from ``first`` up to ``last``."""
        x = self._input.view(first * self._hop, (last + 1) * self._hop).astype(np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(x, len(self._window), axis=1)[:, :: self._hop]
        spectrum: np.ndarray = np.fft.rfft(frames * self._window)[..., self._upper]
        return spectrum

    def _settle(self) -> None:
        """Make the noise known up to the middle of the last frame of the next block."""
        block, self._next = self._next, self._next + 1
        noise = np.zeros((self._channels, (NOISE_BLOCK + 1) * self._hop))
        noise[:, : self._hop] = self._tail
        steady = np.maximum(self._low(block - EVIDENCE, block), self._low(block, block + self._ahead))
        if steady.any():
            before = min(FRAME_SMOOTHING, block * NOISE_BLOCK)
            spectrum = self._spectrum(
                block * NOISE_BLOCK - before, (block + 1) * NOISE_BLOCK + FRAME_SMOOTHING
            )
            powers = np.square(np.abs(spectrum))
            powers = np.pad(powers, [(0, 0), (FRAME_SMOOTHING - before, 0), (0, 0)])
            around = np.lib.stride_tricks.sliding_window_view(powers, 2 * FRAME_SMOOTHING + 1, axis=1).mean(
                axis=-1
            )
            excess = np.maximum(EXCESS * steady[:, None], np.finfo(np.float64).tiny)
            gain = np.sqrt(np.maximum(1 - excess / np.maximum(around, excess), FLOOR**2))
            spectra = np.zeros((self._channels, NOISE_BLOCK, len(self._upper)), complex)
            spectra[..., self._upper] = (1 - gain) * spectrum[:, before : before + NOISE_BLOCK]
            frames = np.fft.irfft(spectra, len(self._window)) * self._window
            for i in range(NOISE_BLOCK):
                noise[:, i * self._hop : (i + 2) * self._hop] += frames[:, i]
        first = self._hop if block == 0 else 0  # the first half of the first frame lies before the sound
        self._output.push(noise[:, first : NOISE_BLOCK * self._hop])
        self._tail = noise[:, NOISE_BLOCK * self._hop :]
        self._input.forget((self._next * NOISE_BLOCK - FRAME_SMOOTHING) * self._hop)
        self._powers.forget(self._next - EVIDENCE)

    def _low(self, first: int, last: int) -> np.ndarray:
        """Power ``[channels, bins]`` of the quiet ones among these blocks; zero if they are too few."""
        first, last = max(first, 0), min(last, self._powers.end)
        if last - first < EVIDENCE:
            return np.zeros((self._channels, self._bins))
        low = np.partition(self._powers.view(first, last), QUIETER, axis=1)[:, QUIETER]
        return low.reshape(self._channels, self._bins)


class ThroughRate:
    """Feeds a grid that works at ``model_rate`` with audio at ``rate``; in and out come pieces at ``rate``.

    With d = down(x) and the model's y: output = up(y) + g (x - up(d) - n). What the model cannot see, x - up(d),
    is neither dropped nor left noisy: it loses its steady part n
    (:class:`UpperNoise`; exactly zero where there is none), and the rest gets the gain g
    that the model gives its own topmost band (:class:`BandGain`).

    Args:
        rate: of the audio, Hz.
        model_rate: of the grid, Hz.
        channels: of every piece.
        grid: runs the model.
        strength: 0 gives the input, 1 the model's output, between them a mixture.
        live: resample with a short delay (:class:`diffgmm.audio.signal.FirResampler`) rather than with soxr.
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
