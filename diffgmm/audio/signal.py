"""Rates and lengths of arrays, and of streams with a known short delay: everything about audio that needs no file."""

from __future__ import annotations

import math

import numpy as np
import soxr

ZERO_CROSSINGS = 32  # on either side of the filter's centre, at the lower of the two rates
BETA = 8.0  # of the Kaiser window: about 80 dB of attenuation


def resampled_length(samples: int, from_rate: int, to_rate: int) -> int:
    """Samples after resampling: the smallest count that covers the input's duration."""
    return math.ceil(samples * to_rate / from_rate) if from_rate != to_rate else samples


def resample(x: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample along the last axis (soxr HQ, linear phase, no shift); equal rates return ``x`` itself.

    >>> resample(np.zeros((2, 44100), np.float32), 44100, 16000).shape
    (2, 16000)
    """
    if from_rate <= 0 or to_rate <= 0:
        raise ValueError(f"rates must be positive, got {from_rate} and {to_rate} Hz")
    if from_rate == to_rate:
        return x
    length = resampled_length(x.shape[-1], from_rate, to_rate)
    if x.size == 0:
        return np.zeros((*x.shape[:-1], length), np.float32)
    flat = np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T, dtype=np.float32)
    y = soxr.resample(flat, from_rate, to_rate, quality="HQ").reshape(-1, flat.shape[1])
    return np.ascontiguousarray(fit_length(y.T, length)).reshape(*x.shape[:-1], length)


def fit_length(x: np.ndarray, samples: int) -> np.ndarray:
    """Trim or zero-pad the end of the last axis to exactly ``samples``."""
    if x.shape[-1] >= samples:
        return x[..., :samples]
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, samples - x.shape[-1])])


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


class FirResampler:
    """Polyphase resampling by a linear-phase filter; for live sound, where soxr's blocks of up to 0.1 s are late.

    Works like ``soxr.ResampleStream``: pieces of any size go in, what is ready comes out, and the output is as
    long as the input in seconds. Output sample m is centred on input time ``m / to_rate``, and it is there as
    soon as :attr:`delay` seconds more have arrived.

    Args:
        from_rate, to_rate: Hz.
        channels: of every piece.

    Example:
        >>> round(FirResampler(48000, 16000, 1).delay, 4)  # seconds
        0.002
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        from scipy.signal import firwin  # takes a second to load, and only streams need it

        divisor = math.gcd(from_rate, to_rate)
        self._up, self._down = to_rate // divisor, from_rate // divisor
        widest = max(self._up, self._down)
        # A multiple of `down`, so that the filter's delay is a whole number of output samples.
        self._half = math.ceil(ZERO_CROSSINGS * widest / self._down) * self._down
        # The cut-off leaves the transition band below the lower Nyquist frequency.
        cutoff = (1.0 - 0.5 * BETA / (math.pi * ZERO_CROSSINGS) * 1.3) / widest
        taps = firwin(2 * self._half + 1, cutoff, window=("kaiser", BETA))
        self._taps = (self._up * taps).astype(np.float32)
        self._input, self._done = Fifo(channels), 0
        self.delay = self._half / (self._up * from_rate) + 1.0 / from_rate

    def push(self, x: np.ndarray, last: bool = False) -> np.ndarray:
        """Feed ``[channels, n]``; returns ``[channels, m]``. ``last``: no more comes, return everything."""
        from scipy.signal import upfirdn

        self._input.push(x)
        total = self._input.end
        if last:
            end = math.ceil(total * self._up / self._down)
            self._input.push(np.zeros((x.shape[0], self._half // self._up + self._down + 1), np.float32))
        else:
            end = ((total - 1) * self._up - self._half) // self._down + 1
        if end <= self._done:
            return np.zeros((x.shape[0], 0), np.float32)
        # Only at multiples of `down` do an input and an output sample coincide.
        periods = max(0, self._done * self._down - self._half) // (self._up * self._down)
        first = periods * self._down
        # Samples beyond this one reach no output of this piece.
        beyond = ((end - 1) * self._down + self._half) // self._up + 1
        y = upfirdn(self._taps, self._input.view(first, min(beyond, self._input.end)), self._up, self._down)
        skip = periods * self._up - self._half // self._down
        out = y[:, self._done - skip : end - skip]
        self._done = end
        self._input.forget(min(first, total))
        return np.ascontiguousarray(out, dtype=np.float32)
