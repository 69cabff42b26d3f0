"""Resampling of a stream with a known short delay."""

from __future__ import annotations

import math

import numpy as np

from diffgmm.audio.buffer import Fifo

ZERO_CROSSINGS = 32  # on either side of the filter's centre, at the lower of the two rates
BETA = 8.0  # of the Kaiser window: about 80 dB of attenuation


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
        self._taps = (self._up * firwin(2 * self._half + 1, cutoff, window=("kaiser", BETA))).astype(
            np.float32
        )
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
