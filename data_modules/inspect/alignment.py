"""Test of whether two sounds are the same recording: their whitened waveforms agree at one lag.

The cross-correlation by phase alone (Knapp and Carter, "The generalized correlation method for estimation of time
delay", 1976) asks whether every frequency agrees, the weak ones as well as the strong. So two hums, sirens or
fans of one pitch don't count as the same recording, while a copy that went through a codec, a filter or a
fader does, and so does an event that occurs in two recordings. A copy played faster or slower is not found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

from data_modules.inspect.fingerprint import HOP, RATE

_BLOCKS = (32768, 8192, 4096)  # samples compared at once: for hums, for most, and for single events
_SHORT = 2048  # samples; blocks that tell how far the agreement reaches
_LEAST = 800  # samples; a tenth of a second is too little to tell
_LAGS = 2 * HOP  # either way
_FINER = 4  # steps per sample: half a sample beside the peak a third of it is lost
_LOW, _HIGH = 150.0, 3800.0  # Hz
_WEAK = 1e-3  # of the strongest frequency's magnitude: 60 dB below it there may be nothing but rounding
_LOUDER = 0.25  # how much a frequency's strength counts: the product of the magnitudes to this power
# Score that two sounds need. The mean of n random phases is about 1 / sqrt(n), the largest of all lags three times
# that; of 1,300 pairs of clips with like fingerprints unrelated voices of one pitch came nearest, with 14 times that
# and 0.44. Copies through the poorest Vorbis and MP3 there are have 15 times and 0.6 at least.
_SIGMA = 14.5
_LEAST_SCORE = 0.5
_SHORT_SCORE = 0.3  # once the lag is known
_SILENT = 1e-4  # peak


@dataclass(frozen=True)
class Alignment:
    """How two sounds lie to each other.

    Args:
        offset: seconds by which the sound lies later in the first than in the second.
        seconds: for how long they agree.
        score: agreement of the phases where it was found, 0 to 1.
    """

    offset: float
    seconds: float
    score: float


def align(first: np.ndarray, second: np.ndarray, offset: int, at: int) -> Alignment | None:
    """Compares two sounds where a candidate says they agree.

    Args:
        first, second: float32 [samples] at `data_modules.inspect.fingerprint.RATE`.
        offset: by how many samples the sound is supposed to lie later in `first`; searched 32 ms either way.
        at: the sample of `first` around which they are supposed to agree.

    Returns:
        None if they are not the same recording there, or there is too little to tell.
    """
    overlap = min(len(first), len(second) + offset) - max(0, offset)
    best: tuple[float, float] | None = None
    for size in sorted({min(size, overlap) for size in _BLOCKS}):
        fit = _around(first, second, offset, at, size)
        if fit is not None and (best is None or fit[1] > best[1]):
            best = fit
    if best is None:
        return None
    exact, score = best
    return Alignment(exact / RATE, _extent(first, second, round(exact)) / RATE, score)


def _around(
    first: np.ndarray, second: np.ndarray, offset: int, at: int, size: int
) -> tuple[float, float] | None:
    """Exact offset in samples and score of the blocks around a place, if they agree well enough."""
    score, needed, lag = 0.0, 1.0, 0.0
    for _ in range(2):  # blocks that lie on each other agree better
        offset += round(lag)
        start, stop = max(0, offset), min(len(first), len(second) + offset)
        length = min(size, stop - start)
        if length < _LEAST:
            return None
        begin = min(max(at - length // 2, start), stop - length)
        fit = _compare(first[begin : begin + length], second[begin - offset : begin - offset + length])
        if fit is None or fit[1] < fit[2]:
            return None
        lag, score, needed = fit
    return (offset + lag, score) if score >= needed else None


def _extent(first: np.ndarray, second: np.ndarray, offset: int) -> int:
    """In how many samples, all in all, the two agree at this offset."""
    start, stop = max(0, offset), min(len(first), len(second) + offset)
    size = min(_SHORT, stop - start)
    agreeing = np.zeros(stop - start, bool)
    for begin in [*range(start, stop - size, size // 2), stop - size]:
        a, b = first[begin : begin + size], second[begin - offset : begin - offset + size]
        fit = _compare(a, b)
        if fit is not None and abs(fit[0]) <= HOP // 4 and fit[1] >= _SHORT_SCORE:
            agreeing[begin - start : begin - start + size] = True
    return int(np.count_nonzero(agreeing))


def _compare(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float] | None:
    """Lag of the best agreement in samples, its score, and the score needed; None where nothing is heard."""
    if min(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)) < _SILENT:
        return None
    size = scipy.fft.next_fast_len(len(a) + _LAGS, real=True)
    window = np.hanning(len(a) + 2)[1:-1].astype(np.float32)
    spectra = [scipy.fft.rfft(part * window, size) for part in (a, b)]
    low, high = round(_LOW * size / RATE), round(_HIGH * size / RATE)
    use = np.zeros(len(spectra[0]), bool)
    use[low:high] = True
    for spectrum in spectra:
        magnitude = np.abs(spectrum)
        use &= magnitude > _WEAK * magnitude[low:high].max()
    cross = np.where(use, spectra[0] * np.conj(spectra[1]), 0)
    magnitude = np.abs(cross)
    weight = magnitude**_LOUDER
    total = float(weight.sum())
    if not total > 0.0:
        return None
    cross *= np.divide(weight, magnitude, out=np.zeros_like(weight), where=magnitude > 0)
    curve = np.abs(scipy.fft.irfft(cross, _FINER * size)) * (_FINER * size / (2.0 * total))
    around = np.concatenate([curve[-_FINER * _LAGS :], curve[: _FINER * _LAGS + 1]])
    best = int(np.argmax(around))
    bins = total**2 / float(np.square(weight, dtype=np.float64).sum())  # as many of equal weight
    independent = bins * len(a) / size  # zeros added to the block make no news
    needed = max(_LEAST_SCORE, _SIGMA / math.sqrt(independent))
    return best / _FINER - _LAGS, float(around[best]), needed
