"""Denoising with uncertainty: the window grid of :mod:`diffgmm.inference`, whose frames carry their expected error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from diffgmm.audio import BLOCK
from diffgmm.audio.signal import Fifo
from diffgmm.diffusion.expected_error import bin_errors, frame_count, frame_hop
from diffgmm.diffusion.model import Enhanced
from diffgmm.diffusion.pretrained import check_likelihood
from diffgmm.diffusion.sampler_options import SamplerConfig, whole_number
from diffgmm.inference.any_rate import ThroughRate
from diffgmm.inference.uncertainty_tracks import FrameMerger, Tracks
from diffgmm.inference.window_grid import Enhance


class UncertainStream:
    """Blocks of any sizes in, output with its tracks out, in constant memory.

    Args:
        denoiser: a :class:`diffgmm.inference.Denoiser` whose model gives a mixture.
        sample_rate: of the blocks, Hz.
        channels: of every block.
        options: of the sampler, resolved.
        seed: of the sampling noise.
        bins_seconds: how much of the bins' map is kept, from the beginning.
        strength: 0 gives the input, 1 the model's output; the tracks describe the latter.

    Raises:
        ValueError: the model gives no mixture, or one that was trained by no likelihood.
    """

    def __init__(
        self,
        denoiser: Any,
        sample_rate: int,
        channels: int,
        options: SamplerConfig,
        seed: int = 0,
        bins_seconds: float = 0.0,
        strength: float = 1.0,
    ) -> None:
        self._denoiser, self._options = denoiser, options
        self._seed = whole_number("seed", seed, 0)
        model: Any = denoiser.model
        if not hasattr(model, "representation") or not hasattr(model, "head"):
            raise ValueError(f"{type(model).__name__} gives no mixture, so nothing tells how sure it is")
        check_likelihood(denoiser.description)
        self._representation, self._components = model.representation, model.head.components
        self._hop = frame_hop(self._representation)
        self._rate, self._model_rate = sample_rate, denoiser.sample_rate
        keep = min(bins_seconds * self._model_rate / self._hop, 2**40)
        grid = denoiser.grid(self._windows(), channels)
        self._merger = FrameMerger(channels, self._hop, grid.overlap, int(np.ceil(keep)))
        self._path = ThroughRate(sample_rate, self._model_rate, channels, grid, strength)
        self._step = self._model_rate / (sample_rate * self._hop)  # frames per sample of the output
        self._waiting = Fifo(channels)

    def run(self, blocks: Iterable[np.ndarray]) -> Iterator[Tracks]:
        """All blocks ``[channels, n]``; yields pieces of output with their tracks as they get final."""
        for block in blocks:
            yield from self._ready(self._path.push(block), last=False)
        yield from self._ready(self._path.finish(), last=True)

    def bins(self) -> Any:
        """The :class:`~diffgmm.inference.uncertainty_tracks.BinMap` of the time asked for, after :meth:`finish`."""
        model_samples = int(np.ceil(self._waiting.end * self._model_rate / self._rate))
        representation = self._representation
        hertz = np.zeros(1)
        if representation.dims == 2:
            hertz = np.arange(representation.bins) * self._model_rate / representation.n_fft
        return self._merger.bins(hertz, self._model_rate, frame_count(representation, model_samples))

    def _ready(self, pieces: Iterable[np.ndarray], last: bool) -> Iterator[Tracks]:
        for piece in pieces:
            self._waiting.push(piece)
        self._merger.settle(last)
        start, end = self._waiting.start, self._waiting.end
        if not last:
            end = min(end, self._merger.reach(self._step))
        for begin in range(start, end, BLOCK):
            stop = min(begin + BLOCK, end)
            std, confidence = self._merger.at(begin, stop, self._step)
            yield Tracks(self._waiting.view(begin, stop).copy(), std, confidence)
        self._waiting.forget(end)

    def _windows(self) -> Enhance:
        """The model as a function of windows that hands their errors to the merger on the way."""

        def noted(windows: np.ndarray, keys: list[tuple[int, int]]) -> np.ndarray:
            samples = windows.shape[1]
            frames = frame_count(self._representation, samples)
            bins = self._representation.bins if self._representation.dims == 2 else 1
            silent = np.zeros((bins, frames), np.float32)
            even = np.full((self._components, bins, frames), 1.0 / self._components, np.float32)
            errors = dict.fromkeys(range(len(windows)), (silent, silent, even))

            def note(batch: np.ndarray, noisy: Tensor, enhanced: Enhanced, exponents: np.ndarray) -> None:
                assert enhanced.posterior is not None
                per_bin = bin_errors(self._representation, noisy, enhanced.waveform, enhanced.posterior)
                error, power, shares = (values.float().cpu().numpy() for values in per_bin)
                for i, window in enumerate(batch):
                    twice = 2 * int(exponents[i, 0])  # mean squares
                    errors[int(window)] = (np.ldexp(error[i], twice), np.ldexp(power[i], twice), shares[i])

            clean = self._denoiser.run(windows, keys, self._options, self._seed, note)
            for i, (channel, start) in enumerate(keys):
                self._merger.add(channel, start, samples, *errors[i])
            return clean

        return noted
