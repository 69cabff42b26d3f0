"""Generated sounds with pitch: beeping alarms, sirens, bells and insects.

Tonal noises are rare in corpora and common in rooms, and a denoiser that has never heard one takes it for a voice.
All functions draw from the generator they are given and return float32 [samples] at a mean square of one.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy import fft

from data_modules.mixing.coloured_noise import play, unit_power, wave_table

_SINE = np.sin(2.0 * np.pi * np.arange(1 << 14) / (1 << 14)).astype(np.float32)
_TOP = 0.47  # no partial above this share of the sample rate
# Ratios of partials to the strike note: a church bell's (hum, prime, tierce, quint, nominal ...), those of a bar.
_BELL = (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.61, 3.0, 4.0, 5.3)
_BAR = (1.0, 2.756, 5.404, 8.933, 13.34)


def _between(rng: Generator, low: float, high: float) -> float:
    """Between two numbers above zero, uniform on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def beeps(samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """A rhythm of beeps of one to three pitches that repeats: alarm clocks, appliances, reversing lorries."""
    step = _between(rng, 0.04, 0.5)  # seconds
    rhythm = rng.random(int(rng.integers(2, 9))) < rng.uniform(0.4, 0.9)
    rhythm[0] = True
    pitches = np.array([_between(rng, 350.0, 0.4 * sample_rate) for _ in range(int(rng.integers(1, 4)))])
    slots = pitches[rng.integers(len(pitches), size=len(rhythm))]
    place = np.arange(samples) / (step * sample_rate) + rng.uniform(0.0, len(rhythm))
    slot = place.astype(np.int64) % len(rhythm)
    inside = (place % 1.0) * step
    length, ramp = step * rng.uniform(0.4, 1.0), rng.uniform(0.002, 0.01)
    gate = np.clip(np.minimum(inside, length - inside) / ramp, 0.0, 1.0) * rhythm[slot]
    table = wave_table(min(12, int(_TOP * sample_rate / pitches.max())), rng.uniform(0.0, 18.0), rng)
    return unit_power(play(table, np.cumsum(slots[slot]) / sample_rate) * gate.astype(np.float32))


def siren(samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """A tone that glides up and down (or up and again), 0.2 to 12 times a second."""
    low = _between(rng, 300.0, 0.2 * sample_rate)
    high = min(low * _between(rng, 1.15, 4.0), 0.42 * sample_rate)
    turn = (np.arange(samples) * (_between(rng, 0.2, 12.0) / sample_rate) + rng.random()) % 1.0
    if rng.random() < 0.6:
        turn = 1.0 - np.abs(2.0 * turn - 1.0)
    frequency = low * (high / low) ** turn
    table = wave_table(min(16, int(_TOP * sample_rate / high)), rng.uniform(3.0, 18.0), rng)
    return unit_power(play(table, np.cumsum(frequency) / sample_rate))


def bell(samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """Partials that ring out, struck now and then, or by the hammer of an alarm clock 8 to 25 times a second."""
    note = _between(rng, 180.0, 2500.0)
    kind = rng.random()
    ratios = np.array(_BELL if kind < 0.5 else _BAR if kind < 0.75 else 1.0 + 8.0 * rng.random(7) ** 1.5)
    ratios = ratios * rng.uniform(0.99, 1.01, len(ratios))
    ratios = ratios[ratios * note < _TOP * sample_rate]
    longest = _between(rng, 0.1, 4.0)  # seconds to 60 dB down
    decays = longest / np.maximum(ratios, 0.5) ** rng.uniform(0.3, 1.0)
    heights = 10.0 ** (rng.uniform(-18.0, 0.0, len(ratios)) / 20.0)
    time = np.arange(samples, dtype=np.float32) / np.float32(sample_rate)
    ring = np.zeros(samples, dtype=np.float32)
    for ratio, decay, height in zip(ratios, decays, heights, strict=True):
        stop = min(samples, int(1.2 * decay * sample_rate) + 1)
        swing = play(_SINE, time[:stop] * (ratio * note))
        ring[:stop] += np.exp(np.float32(-6.91 / decay) * time[:stop] + np.float32(np.log(height))) * swing
    interval = _between(rng, 0.04, 0.12) if rng.random() < 0.35 else _between(rng, 0.3, 2.0)
    before = int(min(1.0, interval) * sample_rate)  # the first strike may lie before the window
    strikes = np.zeros(samples + before, dtype=np.float32)
    count = int(np.ceil((samples + before) / (interval * sample_rate))) + 1
    times = (np.arange(count) + rng.random() + 0.08 * rng.standard_normal(count)) * (interval * sample_rate)
    times = times[(times >= 0.0) & (times < samples + before)].astype(np.int64)
    strikes[times] = rng.uniform(0.5, 1.0, len(times))
    if not len(times):
        strikes[0] = 1.0
    size = fft.next_fast_len(len(strikes) + samples, real=True)
    rung = fft.irfft(fft.rfft(strikes, size) * fft.rfft(ring, size), size)
    return unit_power(rung[before : before + samples])


def insects(samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """One to four crickets or cicadas: a high narrow tone in quick pulses, steady or in chirps."""
    out = np.zeros(samples, dtype=np.float32)
    time = np.arange(samples) / sample_rate
    top = 0.45 * sample_rate
    for _ in range(int(rng.integers(1, 5))):
        carrier = _between(rng, min(1800.0, 0.5 * top), min(7500.0, top))
        pulses = rng.uniform(15.0, 120.0)
        # A wandering phase widens the line to a narrow band.
        steps = np.cumsum(rng.standard_normal(samples, dtype=np.float32))
        jitter = steps * np.float32(rng.uniform(0.0, 0.005))
        swing = play(_SINE, pulses * time + rng.random())
        pulse = np.maximum(swing + np.float32(rng.uniform(-0.3, 0.8)), 0.0)
        if rng.random() < 0.6:
            chirps, share = rng.uniform(0.8, 6.0), rng.uniform(0.3, 0.8)
            place = (chirps * time + rng.random()) % 1.0
            pulse = pulse * np.clip(np.minimum(place, share - place) * (40.0 / chirps), 0.0, 1.0)
        level = np.float32(rng.uniform(0.2, 1.0))
        out += level * play(_SINE, carrier * time + jitter) * pulse.astype(np.float32)
    return unit_power(out)


def draw_tones(samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """One of the kinds above at random."""
    kinds = (beeps, siren, bell, insects)
    return kinds[int(rng.integers(len(kinds)))](samples, sample_rate, rng)
