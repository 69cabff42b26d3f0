"""Denoising of sound as it arrives, with a fixed delay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from diffgmm.audio.signal import Fifo, FirResampler
from diffgmm.inference.any_rate import FRAME_SECONDS, FRAME_SMOOTHING, ThroughRate, check_settings
from diffgmm.inference.denoiser import Denoiser
from diffgmm.inference.window_grid import Enhance, Prepare, as_recorded

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffgmm.diffusion.sampler_options import Sampling

CONTEXT_SECONDS = 1.5  # what a window has heard before the part that is kept
STEP_SECONDS = 0.1
AHEAD_SECONDS = 0.14  # what it hears after that part: the U-Net sees about as far in time
FADE_SECONDS = 0.01


def window_sizes(sample_rate: int, hop: int) -> dict[str, int]:
    """``context``, ``step``, ``ahead`` and ``fade`` of :class:`TrailingGrid` in samples, for a model's rate and hop.

    A window is context + step + ahead samples long; context and step are whole frames.
    """
    context, step, ahead, fade = (
        round(seconds * sample_rate)
        for seconds in (CONTEXT_SECONDS, STEP_SECONDS, AHEAD_SECONDS, FADE_SECONDS)
    )
    return {"context": context + -context % hop, "step": step + -step % hop, "ahead": ahead, "fade": fade}


class TrailingGrid:
    """Windows that end a little after the part which is kept of them: short delay, for more network calls.

    Step k settles ``[k step, (k + 1) step)`` with a window that reaches ``ahead`` samples further and begins
    ``context`` samples earlier (or with the audio). Neighbours are cross-faded over the first ``fade`` samples of
    a step, which the earlier window has heard with less future. Positions are absolute, so the result does not
    depend on the pieces the audio comes in.

    Args:
        enhance: the model, see :data:`diffgmm.inference.window_grid.Enhance`.
        channels: processed independently of each other.
        rate: of the model, Hz; windows shorter than a second are mirrored before the model sees them.
        align: hop of the model's frames in samples.
        prepare: applied to every window, each row by itself.
    """

    def __init__(
        self, enhance: Enhance, channels: int, rate: int, align: int = 1, prepare: Prepare = as_recorded
    ) -> None:
        self._enhance, self._channels, self._shortest, self._prepare = enhance, channels, rate, prepare
        self._context, self.step, self._ahead, self._fade = window_sizes(rate, align).values()
        self._rise = (np.sin(np.pi / 2 * (np.arange(self._fade) + 0.5) / self._fade) ** 2).astype(np.float32)
        self._input, self._next = Fifo(channels), 0
        self._tail: np.ndarray | None = None

    @property
    def delay(self) -> int:
        """Samples between a sample's arrival and the moment from which its output is surely there."""
        return self.step + self._ahead

    def push(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Feed ``[channels, n]``; yields (input, output) pieces of equal length as they get final."""
        self._input.push(x)
        while self._input.end >= (self._next + 1) * self.step + self._ahead:
            yield self._settle((self._next + 1) * self.step, (self._next + 1) * self.step + self._ahead)

    def finish(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rest, after the last piece was fed."""
        while (start := self._next * self.step) < self._input.end:
            yield self._settle(min(start + self.step, self._input.end), self._input.end)

    def _settle(self, end: int, heard: int) -> tuple[np.ndarray, np.ndarray]:
        start = self._next * self.step
        first = max(0, start - self._context)
        x = self._input.view(first, heard)
        missing = [(0, 0), (0, max(0, self._shortest - x.shape[1]))]
        padded = np.pad(self._prepare(x), missing, mode="reflect" if x.shape[1] > 1 else "edge")
        keys = [(channel, first) for channel in range(self._channels)]
        y = self._enhance(padded, keys)[:, start - first : x.shape[1]].copy()
        if self._tail is not None:
            n = min(self._fade, self._tail.shape[1], y.shape[1])
            y[:, :n] = self._tail[:, :n] + self._rise[:n] * (y[:, :n] - self._tail[:, :n])
        self._tail, self._next = y[:, end - start :], self._next + 1
        self._input.forget(max(0, self._next * self.step - self._context))
        return x[:, start - first : end - first].copy(), y[:, : end - start]


class StreamingDenoiser:
    """A :class:`diffgmm.inference.Denoiser` for sound that has not ended yet.

    Blocks of any size go in, blocks of the same size come out, late by a constant :attr:`latency`. What comes out
    does not depend on the sizes of the blocks.

    Args:
        denoiser: the model.
        sample_rate: of the blocks, Hz, any.
        channels: of the blocks.
        seed, strength, sampling: as in :meth:`diffgmm.inference.Denoiser.denoise`.

    Example:
        >>> stream = StreamingDenoiser(Denoiser.from_pretrained("base"), 16000)  # doctest: +SKIP
        >>> for block in microphone:                                             # doctest: +SKIP
        ...     loudspeaker.write(stream.process(block))
        >>> loudspeaker.write(stream.flush())                                    # doctest: +SKIP
    """

    def __init__(
        self,
        denoiser: Denoiser,
        sample_rate: int,
        channels: int = 1,
        *,
        seed: int = 0,
        strength: float = 1.0,
        **sampling: Unpack[Sampling],
    ) -> None:
        check_settings(sample_rate, channels, strength)
        rate = denoiser.sample_rate
        enhance = denoiser.enhancer(seed=seed, **sampling)
        grid = TrailingGrid(enhance, channels, rate, denoiser.align, denoiser.prepare)
        seconds = grid.delay / rate
        if sample_rate != rate:
            delays = FirResampler(sample_rate, rate, 1).delay + FirResampler(rate, sample_rate, 1).delay
            seconds += delays + (FRAME_SMOOTHING + 2) * FRAME_SECONDS
        self.latency = int(np.ceil(seconds * sample_rate))
        self._path = ThroughRate(sample_rate, rate, channels, grid, strength, live=True)
        self._ready = Fifo(channels)
        self._ready.push(np.zeros((channels, self.latency), np.float32))
        self._given, self._flat, self._ended = 0, False, False

    def process(self, block: np.ndarray) -> np.ndarray:
        """Feed ``[channels, n]`` (or ``[n]``) in [-1, 1]; returns as much, :attr:`latency` samples late.

        The first :attr:`latency` samples that come out are zeros.

        Raises:
            ValueError: another shape, or NaN or Inf in it; the stream has ended.
        """
        x = np.atleast_2d(np.asarray(block))
        y = self._take(self._path.push(x), x.shape[1])
        self._flat = np.ndim(block) == 1
        return y.reshape(np.shape(block))

    def flush(self) -> np.ndarray:
        """The last :attr:`latency` samples, ``[channels, latency]``, after the last block. Ends the stream.

        They have the number of dimensions of the last block: ``[latency]`` if that was ``[n]``.

        Raises:
            ValueError: the stream has ended already.
        """
        rest = self._take(self._path.finish(), self.latency)
        self._ended = True
        return rest[0] if self._flat else rest

    def _take(self, pieces: Iterator[np.ndarray], samples: int) -> np.ndarray:
        if self._ended:
            remedy = "make a new StreamingDenoiser for the next one"
            raise ValueError(f"the stream has ended with flush(); {remedy}")
        for clean in pieces:
            self._ready.push(clean)
        if self._ready.end < self._given + samples:
            raise RuntimeError(f"output is {self._given + samples - self._ready.end} samples late")
        out = self._ready.view(self._given, self._given + samples).copy()
        self._given += samples
        self._ready.forget(self._given)
        return out
