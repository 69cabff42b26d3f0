"""Noise that runs on: recorded clips made into textures that never repeat, or into loops without a seam.

A texture has its clip's long-term spectrum and the way its level wanders in each octave, and nothing else of it: all
phases are drawn anew, those of the noise and those of the modulation (the same for all octaves, which keeps what rises
together rising together; Prichard and Theiler, "Generating surrogate data for time series with several
simultaneously measured variables", 1994). Two seconds of rain become as many minutes as are wanted.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from scipy import fft

from data_modules.mixing import sounds
from data_modules.mixing.coloured_noise import unit_power
from data_modules.pools.pool import Pool

_FRAME_SECONDS = 0.128  # resolves the harmonics of a motor, and modulation up to 4 Hz
_MODEL_SECONDS = 8.0  # of a clip that are looked at
_LOOP_FADE = 0.5  # seconds, at most a quarter of the clip
_LOWEST = 62.5  # Hz, the centre of the first octave
_DEEPEST = 5.0  # a band's level falls by no more than so many powers of 2 (15 dB) in amplitude squared


@lru_cache(maxsize=16)
def _octaves(bins: int, sample_rate: int) -> np.ndarray:
    """Weight of each bin in each octave, triangular and adding up to one, float32 [octaves, bins]."""
    top = 0.5 * sample_rate
    position = np.log2(np.maximum(np.linspace(0.0, top, bins), 1e-3) / _LOWEST)
    count = max(1, round(np.log2(top / _LOWEST)) + 1)
    points = np.arange(count)
    return np.stack([np.interp(position, points, row) for row in np.eye(count)]).astype(np.float32)


def _frames(clip: np.ndarray, size: int) -> np.ndarray:
    """Power spectra of overlapping frames, float32 [frames, size // 2 + 1]."""
    clip = np.pad(clip, (0, max(0, size - len(clip))))
    frames = np.lib.stride_tricks.sliding_window_view(clip, size)[:: size // 4]
    spectrum = fft.rfft(frames * np.hanning(size).astype(np.float32), axis=-1)
    return spectrum.real**2 + spectrum.imag**2


def _modulation(powers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Base-2 logarithm of each octave's power over time, mean 0, float32 [octaves, frames].

    Steady noise seems to waver too when few bins are looked at; so much is taken off.
    """
    bands = weights @ powers.T
    mean = bands.mean(axis=1, keepdims=True)
    level = np.log2(np.maximum(bands / np.maximum(mean, 1e-30), 2.0**-_DEEPEST))
    level -= level.mean(axis=1, keepdims=True)
    independent = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1) / 1.5  # a Hann window's bins overlap
    by_chance = (np.log2(np.e) ** 2 / np.maximum(independent, 1.0)).astype(np.float32)
    variance = level.var(axis=1)
    share = np.sqrt(np.maximum(variance - by_chance, 0.0) / np.maximum(variance, 1e-12))
    return level * share[:, None]


def _redrawn(level: np.ndarray, frames: int, rng: Generator) -> np.ndarray:
    """Modulation with the same spectra and other phases, in as many pieces as it takes, [octaves, frames]."""
    spectrum = fft.rfft(level, axis=1)
    pieces = []
    for _ in range(-(-frames // level.shape[1])):
        turn = np.exp(2j * np.pi * rng.random(spectrum.shape[1]))
        turn[0] = 1.0
        pieces.append(fft.irfft(spectrum * turn, level.shape[1], axis=1))
    return np.concatenate(pieces, axis=1)[:, :frames].astype(np.float32)


def texture(clip: np.ndarray, samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """Noise in the likeness of a clip, of any length, never the same twice.

    Args:
        clip: float32 [length]; the spectrum of silence is silence.
        samples: how long the result is.
        sample_rate: in Hz.
        rng: where randomness comes from.

    Returns:
        float32 [samples] at a mean square of one.
    """
    frame = 1 << round(np.log2(_FRAME_SECONDS * sample_rate))
    hop = frame // 4
    powers = _frames(clip, frame)
    level = _modulation(powers, _octaves(powers.shape[1], sample_rate))
    size = int(fft.next_fast_len(samples, real=True))
    bins = size // 2 + 1
    magnitude = np.sqrt(powers.mean(axis=0))
    magnitude[0] = 0.0
    at = np.linspace(0.0, len(magnitude) - 1.0, bins)
    parts = rng.standard_normal((2, bins), dtype=np.float32)
    height = np.interp(at, np.arange(len(magnitude)), magnitude).astype(np.float32)
    spectrum = (parts[0] + 1j * parts[1]) * height
    if level.shape[1] < 2 or not level.any():
        return unit_power(fft.irfft(spectrum, size)[:samples])
    bands = fft.irfft(spectrum * _octaves(bins, sample_rate), size, axis=1)[:, :samples]
    gain = np.exp2(0.5 * _redrawn(level, -(-samples // hop) + 1, rng))
    slope = np.arange(hop, dtype=np.float32) / np.float32(hop)
    gain = (gain[:, :-1, None] + np.diff(gain, axis=1)[:, :, None] * slope).reshape(len(gain), -1)
    return unit_power(np.einsum("bt,bt->t", bands, gain[:, :samples]))


def steady_stretch(pool: Pool, clip: int, samples: int, rng: Generator) -> np.ndarray:
    """A recorded noise that fills its stretch: a texture, or the recording itself, looped where it is short.

    Events below 0.4 s always become a texture; of the others every second one.

    Args:
        pool: of noise.
        clip: which.
        samples: how long.
        rng: where randomness comes from.

    Returns:
        float32 [samples], at its recorded level.
    """
    length, rate = int(pool.length[clip]), pool.sample_rate
    if length < sounds.EVENT_SECONDS * rate or rng.random() < 0.5:
        most = min(length, int(_MODEL_SECONDS * rate))
        stretch = sounds.noise_stretch(pool, clip, most, rng)
        return sounds.to_level(texture(stretch, samples, rate, rng), rate, float(pool.level[clip]))
    if length >= samples:
        return sounds.noise_stretch(pool, clip, samples, rng)
    fade = min(int(_LOOP_FADE * rate), length // 4)
    return sounds.loop(pool.read(clip), samples, int(rng.integers(length)), fade)
