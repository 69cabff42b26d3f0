"""Generated noises without pitch or with a steady one: white to brown, random spectral shapes, bands, motors.

Recorded noise is scarce; a denoiser also meets noises that no corpus holds. These cover the stationary ones: every
draw has another spectrum. All functions draw from the generator they are given and return float32 [samples] at a
mean square of one, unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy import fft

from data_modules.augment.filters import octaves

_TABLE = 1 << 14  # points of a wave table: steps of nearest points stay 40 dB below a 60th harmonic


def unit_power(samples: np.ndarray) -> np.ndarray:
    """Scaled to a mean square of one; silence stays silence."""
    power = float(np.dot(samples, samples)) / max(1, len(samples))
    return samples * np.float32(1.0 / np.sqrt(power)) if power > 1e-30 else np.zeros_like(samples)


def _from_spectrum(samples: int, log_gain: np.ndarray, rng: Generator) -> np.ndarray:
    """Gaussian noise with a magnitude of 2 to the power `log_gain` in each bin of the next quick FFT size."""
    parts = rng.standard_normal((2, len(log_gain)), dtype=np.float32)
    spectrum = (parts[0] + 1j * parts[1]) * np.exp2(log_gain)
    spectrum[0] = 0.0
    size = fft.next_fast_len(samples, real=True)
    return unit_power(fft.irfft(spectrum, size)[:samples])


def _bins(samples: int, sample_rate: int) -> np.ndarray:
    return octaves(fft.next_fast_len(samples, real=True), sample_rate)


def coloured_noise(samples: int, sample_rate: int, exponent: float, rng: Generator) -> np.ndarray:
    """Gaussian noise whose power density follows frequency to some exponent (above 20 Hz).

    Args:
        samples: how long.
        sample_rate: in Hz.
        exponent: 0 white, -1 pink, -2 brown, positive: blue.
        rng: where randomness comes from.
    """
    log_gain = np.float32(exponent / 2.0) * (_bins(samples, sample_rate) - 10.0)
    return _from_spectrum(samples, log_gain, rng)


def shaped_noise(samples: int, sample_rate: int, rng: Generator, depth: float = 14.0) -> np.ndarray:
    """Noise under a random smooth curve: up to `depth` dB up and down at each octave, and a random slope."""
    position = _bins(samples, sample_rate)
    points = np.arange(4.0, 15.0)  # octaves from 16 Hz to 16 kHz
    heights = rng.uniform(-depth, depth, len(points)) + rng.uniform(-6.0, 2.0) * (points - 10.0)
    curve = np.interp(position, points, heights) * (np.log2(10.0) / 20.0)
    return _from_spectrum(samples, curve.astype(np.float32), rng)


def band_noise(samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """A band of noise, a fifth of an octave to four octaves wide, with slopes of 12 to 60 dB per octave."""
    position = _bins(samples, sample_rate)
    centre = rng.uniform(np.log2(100.0), np.log2(0.45 * sample_rate))
    half, slope = np.exp(rng.uniform(np.log(0.1), np.log(2.0))), rng.uniform(2.0, 10.0)
    outside = np.maximum(np.abs(position - np.float32(centre)) - np.float32(half), 0.0)
    return _from_spectrum(samples, np.maximum(np.float32(-slope) * outside, -16.0), rng)


def wave_table(harmonics: int, fall: float, rng: Generator) -> np.ndarray:
    """One period of a tone with random harmonics that fall by `fall` dB per octave, float32 [16384]."""
    numbers = np.arange(1, max(1, harmonics) + 1)
    level = rng.uniform(-12.0, 0.0, len(numbers)) - fall * np.log2(numbers)
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=np.complex64)
    spectrum[1 : len(numbers) + 1] = 10.0 ** (level / 20.0) * np.exp(2j * np.pi * rng.random(len(numbers)))
    return unit_power(fft.irfft(spectrum, _TABLE).astype(np.float32))


def play(table: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """A wave table read at some phase, in cycles, float32 [samples]."""
    return table[(cycles * len(table)).astype(np.int64) & (len(table) - 1)]


def motor(samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """A machine: harmonics of a steady, slightly wandering pitch above a noise of random spectrum.

    From mains hum (50 or 60 Hz) to the whine of a fan or vacuum cleaner.
    """
    mains = rng.random() < 0.25
    base = rng.choice((50.0, 60.0)) if mains else np.exp(rng.uniform(np.log(30.0), np.log(500.0)))
    wander = 0.0 if base in (50.0, 60.0) else rng.uniform(0.0, 0.03)
    points = np.interp(np.linspace(0.0, 4.0, samples), np.arange(5), rng.uniform(-1.0, 1.0, 5))
    cycles = np.cumsum(base * (1.0 + wander * points)) / sample_rate
    harmonics = min(60, int(0.47 * sample_rate / (base * (1.0 + wander))))
    tone = play(wave_table(harmonics, rng.uniform(0.0, 9.0), rng), cycles)
    noise = shaped_noise(samples, sample_rate, rng, depth=8.0)
    share = 10.0 ** (rng.uniform(-15.0, 12.0) / 20.0)
    return unit_power(tone + np.float32(share) * noise)


def pulsing(noise: np.ndarray, sample_rate: int, rng: Generator) -> np.ndarray:
    """A noise whose level rises and falls 0.5 to 30 times a second: engines, wipers, sawing, lapping water."""
    rate = np.exp(rng.uniform(np.log(0.5), np.log(30.0)))
    wave = wave_table(int(rng.integers(1, 5)), 6.0, rng)
    gain = play(wave, np.arange(len(noise)) * (rate / sample_rate) + rng.random())
    return unit_power(noise * np.exp2(np.float32(rng.uniform(0.3, 2.0)) * gain))


def draw_coloured(samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """One of the kinds above at random; a fifth of them pulsing."""
    choice = int(rng.integers(8))
    if choice < 4:  # white, pink, brown, or something between
        exponent = (0.0, -1.0, -2.0)[choice] if choice < 3 else rng.uniform(-2.5, 1.0)
        out = coloured_noise(samples, sample_rate, exponent, rng)
    else:
        kind: Callable[[int, int, Generator], np.ndarray] = {4: band_noise, 5: motor}.get(
            choice, shaped_noise
        )
        out = kind(samples, sample_rate, rng)
    return pulsing(out, sample_rate, rng) if rng.random() < 0.2 else out
