"""Sound in whole numbers: the same samples on every machine, whatever its floating-point units.

Signals are int64 in the scale of 16-bit samples, coefficients and gains are fixed-point. Every division rounds
half up, so that the order of operations is all there is to agree on.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FADE = 160
"""Samples over which a part of a recording is faded in and out, linearly."""
GAIN_BITS, FILTER_BITS = 16, 15

# Symmetric filters, of which the file has the first half and the middle, times 2^15, made by scipy.signal.firwin:
# halve, 16 kHz: firwin(63, 3700, fs=16000, window=("kaiser", 7)), down to 8 kHz
# triple, 48 kHz: 3 firwin(95, 7750, fs=48000, window=("kaiser", 6.5)), up from 16 kHz
# telephone, 8 kHz: firwin(127, [250, 3450], fs=8000, pass_zero=False), what a telephone lets through
_FILE = Path(__file__).with_name("filters.json")
_HALVES: dict[str, list[int]] = json.loads(_FILE.read_text(encoding="utf-8"))


def divided(x: np.ndarray, bits: int) -> np.ndarray:
    """``x / 2^bits``, rounded half up.

    >>> divided(np.array([-3, -2, -1, 1, 2, 3]), 1).tolist()
    [-1, -1, 0, 1, 1, 2]
    """
    return (x + (1 << (bits - 1))) >> bits


def _filtered(x: np.ndarray, name: str) -> np.ndarray:
    half = _HALVES[name]
    taps = np.array(half + half[-2::-1], dtype=np.int64)
    return divided(np.convolve(np.pad(x, len(taps) // 2), taps, mode="valid"), FILTER_BITS)


def to_8k(x: np.ndarray) -> np.ndarray:
    """From 16 to 8 kHz."""
    return _filtered(x, "halve")[::2]


def to_48k(x: np.ndarray) -> np.ndarray:
    """From 16 to 48 kHz; nothing appears above 8 kHz."""
    upsampled = np.zeros(3 * len(x), dtype=np.int64)
    upsampled[::3] = x
    return _filtered(upsampled, "triple")


def telephone(x: np.ndarray) -> np.ndarray:
    """The band of a telephone, 300 to 3400 Hz, at 8 kHz."""
    return _filtered(x, "telephone")


def scaled(x: np.ndarray, gain: int) -> np.ndarray:
    """``x`` times ``gain`` / 65536."""
    return divided(x * np.int64(gain), GAIN_BITS)


def faded(x: np.ndarray) -> np.ndarray:
    """Faded in at the start and out at the end; two parts that overlap by :data:`FADE` add up evenly."""
    out = x.astype(np.int64)
    size = min(FADE, len(out) // 2)
    if size:
        weights = 2 * np.arange(size, dtype=np.int64) + 1  # of 2 size: 1, 3, 5 ...
        out[:size] = (out[:size] * weights + size) // (2 * size)
        out[-size:] = (out[-size:] * weights[::-1] + size) // (2 * size)
    return out


def alarm_clock(samples: int) -> np.ndarray:
    """A clock's buzzer at 16 kHz: four beeps of a 2 kHz square wave, then a pause, once a second; ``[samples]``."""
    n = np.arange(samples, dtype=np.int64)
    wave = np.where(n * 2000 % 16000 < 8000, 6000, -6000)
    beep = (n % 2000 < 1000) & (n % 16000 < 8000)
    return np.where(beep, wave, 0)
