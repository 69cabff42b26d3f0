"""From frames of windows to tracks along the sound: uncertainty of a recording of any length in constant memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from diffgmm.audio.signal import Fifo
from diffgmm.utils.files import replacing

_LEAST = 1e-4  # weight of a frame at a window's edge, where nothing else has it


class Tracks(NamedTuple):
    """A piece of output with how sure it is; all float32 ``[channels, n]``, sample by sample."""

    waveform: np.ndarray
    std: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class BinMap:
    """Uncertainty per time-frequency bin, at the model's rate.

    Attributes:
        std: expected root-mean-square error of the bin in full-scale amplitude, ``[channels, F, N]``: squared and
            summed over frequencies it is the square of the waveform's.
        responsibilities: probability that a component of the mixture made the bin's noise, ``[channels, K, F, N]``.
        frequencies: centres of the bins in Hz, ``[F]`` (0 alone in the waveform domain).
        times: centres of the frames in seconds, ``[N]``.
    """

    std: np.ndarray
    responsibilities: np.ndarray
    frequencies: np.ndarray
    times: np.ndarray


@dataclass(frozen=True)
class Uncertain:
    """A denoised recording and how sure the model is of it.

    Attributes:
        waveform: float32 of the input's shape, as :meth:`diffgmm.inference.Denoiser.denoise` gives it.
        std: expected root-mean-square error around each sample, in full-scale amplitude (1.0 is full scale), same
            shape; 0 in digital silence.
        confidence: share of the expected speech energy around each sample that the output has got,
            output / (output + expected error), in [0, 1], same shape. 0.5 stands for a signal-to-error ratio of
            0 dB, 0.9 for 9.5 dB; low where there is little speech; 1 in digital silence.
        sample_rate: Hz.
        bins: map of time and frequency, if asked for.
    """

    waveform: np.ndarray
    std: np.ndarray
    confidence: np.ndarray
    sample_rate: int
    bins: BinMap | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a NumPy archive (``.npz``), atomically; an existing file is replaced."""
        arrays = {name: getattr(self, name) for name in ("waveform", "std", "confidence", "sample_rate")}
        if self.bins is not None:
            arrays |= {f"bins_{name}": getattr(self.bins, name) for name in BinMap.__dataclass_fields__}
        with replacing(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)


class FrameMerger:
    """Puts the frames of overlapping windows together, as they come; windows are faded into one another.

    Args:
        channels: of the recording.
        hop: samples from one frame to the next; windows start on multiples of it.
        fade: samples over which a window's frames gain weight from its start, and lose it to its end.
        keep: how many frames of the bins' map are kept; 0 for none.
    """

    def __init__(self, channels: int, hop: int, fade: int, keep: int = 0) -> None:
        self._channels, self._hop, self._fade, self._keep = channels, hop, fade, keep
        self._first = self._newest = 0  # frames before the first are settled; start of the newest window
        # Of each frame since: weight, error and power, and for the map error and responsibilities of all bins.
        self._sums = np.zeros((channels, 3, 0), np.float32)
        self._error, self._power = Fifo(channels, np.float64), Fifo(channels, np.float64)
        self._kept: list[np.ndarray] = []

    def add(
        self, channel: int, start: int, samples: int, error: np.ndarray, power: np.ndarray, shares: np.ndarray
    ) -> None:
        """Take a window of ``samples`` from ``start`` on: ``[F, N]``, ``[F, N]`` and ``[K, F, N]``."""
        place = np.arange(error.shape[1]) * self._hop
        inside = np.clip(np.minimum(place, samples - place) / self._fade, 0.0, 1.0)
        weights = np.maximum(np.sin(0.5 * np.pi * inside) ** 2, _LEAST).astype(np.float32)
        values = np.stack([np.ones_like(weights), error.sum(0), power.sum(0)])
        if self._first < self._keep:
            values = np.concatenate([values, error, *shares])
        begin = start // self._hop - self._first
        skip, end = max(0, -begin), begin + len(weights)
        width, length = self._sums.shape[1:]
        if len(values) > width:  # the first window
            self._sums = np.zeros((self._channels, len(values), 0), np.float32)
        longer = [(0, 0), (0, 0), (0, max(0, end - length))]
        self._sums = np.pad(self._sums[:, : len(values)], longer)
        self._sums[channel, :, begin + skip : end] += (weights * values)[:, skip:]
        self._newest = max(self._newest, start)

    def settle(self, everything: bool = False) -> None:
        """Close the frames that later windows, which start after the newest one, leave alone; or all."""
        ready = self._sums.shape[2] if everything else self._newest // self._hop - self._first
        if ready <= 0:
            return
        means = self._sums[:, 1:, :ready] / self._sums[:, :1, :ready]
        self._error.push(means[:, 0])
        self._power.push(means[:, 1])
        if means.shape[1] > 2 and self._first < self._keep:
            self._kept.append(means[:, 2:, : self._keep - self._first])
        self._sums = self._sums[:, :, ready:].copy()
        self._first += ready

    def reach(self, frames_per_sample: float) -> int:
        """How many samples, from the very first, have settled frames on both sides."""
        return self._error.reach(frames_per_sample)

    def at(self, start: int, end: int, frames_per_sample: float) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviation and confidence ``[channels, end - start]`` of these samples; earlier ones are forgotten.

        Between frames by sin^2, which for a square-root Hann window with half overlap is how the inverse
        transform's squared synthesis window shares the frames out.
        """
        position = np.arange(start, end) * frames_per_sample
        frame = position.astype(np.int64)
        weight = np.sin(0.5 * np.pi * (position - frame)) ** 2
        error, power = (track.between(frame, weight) for track in (self._error, self._power))
        total = error + power
        sure = np.divide(power, total, out=np.ones_like(total), where=total > 0)
        return np.sqrt(error).astype(np.float32), sure.astype(np.float32)

    def bins(self, frequencies: np.ndarray, sample_rate: int, frames: int) -> BinMap | None:
        """The map of the first ``frames`` frames, if they were kept; ``sample_rate`` is the model's."""
        if not self._kept:
            return None
        bins = len(frequencies)
        means = np.concatenate(self._kept, axis=2)[..., :frames]
        shares = means[:, bins:].reshape(self._channels, -1, bins, means.shape[2])
        times = np.arange(means.shape[2]) * self._hop / sample_rate
        return BinMap(np.sqrt(means[:, :bins]), shares, frequencies, times)
