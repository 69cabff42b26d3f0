"""Fingerprints of sounds that hold for any level, format, rate and excerpt.

After Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): a bit says whether the
difference in energy between neighbouring bands rises or falls in time. Shorter frames than theirs, because many
clips of a corpus are words or single events, and a larger step in time between the frames compared, which
makes the bits steadier. Bits near zero are the first to flip, so the weakest of each frame are known as well.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

RATE = 8000  # Hz; what telephone speech and everything above has
HOP = 128  # samples, 16 ms
BITS = 24
WEAKEST = 5  # bits of a frame that may be wrong without its being missed
SILENT = np.uint32(1 << 31)  # in place of the bits of a frame in which nothing is heard

_WINDOW = 1024
_REACH = 8  # frames between those compared: one window
_LOW, _HIGH = 250.0, 3600.0  # Hz
_RANGE = 1e-6  # a frame 60 dB below the loudest is silent
_NOTHING = 1e-10  # so is one below -100 dBFS, where the rounding to 16 bits is
_PIECE = 4096  # frames at a time, for long recordings

_EDGES = np.round(np.geomspace(_LOW, _HIGH, BITS + 2) * _WINDOW / RATE).astype(int)
_HANN = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
_POWERS = (1 << np.arange(BITS)).astype(np.uint32)


def fingerprint(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bits of each frame, and which of them are the weakest.

    Args:
        samples: float32 [samples] at `RATE`.

    Returns:
        uint32 [frames], one frame every `HOP` samples: the bits (`SILENT` where there is nothing); and uint32
        [frames, WEAKEST]: the bits nearest to flipping.
    """
    energy = _energies(samples)
    if len(energy) <= _REACH:
        return np.zeros(0, np.uint32), np.zeros((0, WEAKEST), np.uint32)
    loud = energy.sum(axis=1)
    floor = _RANGE * float(loud.max())
    heard = loud > max(_NOTHING, floor)
    # With the floor, what comes before and after a short event has no shape of its own to make bits of.
    log = np.log(energy + np.float32(floor / energy.shape[1] + 1e-14))
    slope = log[:, :-1] - log[:, 1:]
    change = slope[_REACH:] - slope[:-_REACH]
    bits = np.where(change > 0, _POWERS, 0).sum(axis=1, dtype=np.uint32)
    bits[~(heard[_REACH:] | heard[:-_REACH])] = SILENT
    weakest = np.argpartition(np.abs(change), WEAKEST - 1, axis=1)[:, :WEAKEST]
    return bits, _POWERS[weakest]


def _energies(samples: np.ndarray) -> np.ndarray:
    """Mean square in each band of the centred frames, float32 [frames, bands]."""
    padded = np.pad(np.asarray(samples, np.float32), _WINDOW // 2)
    if len(padded) < _WINDOW:
        return np.zeros((0, BITS + 1), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP]
    scale = np.float32(2.0 / (_WINDOW * np.square(_HANN, dtype=np.float64).sum()))
    pieces = []
    for first in range(0, len(frames), _PIECE):
        spectrum = scipy.fft.rfft(frames[first : first + _PIECE] * _HANN, axis=1)
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) * scale
        pieces.append(np.add.reduceat(power[:, : _EDGES[-1]], _EDGES[:-1], axis=1))
    return np.concatenate(pieces)
