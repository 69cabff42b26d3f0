"""Reverberation by simulated room responses.

A simulated response is a direct sound, sparse early reflections and exponentially decaying noise. After the stochastic
room model of Moorer, "About This Reverberation Business" (1979): the late response of a room is Gaussian noise under an
exponential decay, and high frequencies decay faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from scipy import fft

from data_modules.augment.base import Augmentation, Range, Scene
from data_modules.errors import DataError

_FADE_SECONDS = 0.005
_LONGEST_SECONDS = 1.2
_MOST_SECONDS = 10_000  # of all simulated responses: 1.2 GiB at 16 kHz


@dataclass(frozen=True)
class Reverb(Augmentation):
    """Puts the voice into a room. The target keeps the direct sound and early reflections.

    Late reverberation becomes part of the noise. Rooms come from a bank made once per process.

    Args:
        probability: how often.
        rt60: shortest and longest reverberation time in seconds.
        direct_to_reverberant: lowest and highest energy ratio of direct sound to everything after it, in dB.
        early: what arrives within this time after the direct sound belongs to the target, in seconds.
        rooms: how many simulated rooms the bank holds.
        seed: another seed, other rooms.
        noise: how often the noise stands in the room too, at another place (all of it stays noise).
    """

    stage: ClassVar[str] = "scene"
    probability: float = 0.15
    rt60: tuple[float, float] = (0.15, 0.8)
    direct_to_reverberant: tuple[float, float] = (-3.0, 15.0)
    early: float = 0.05
    rooms: int = 64
    seed: int = 0
    noise: float = 0.0

    def __post_init__(self) -> None:
        self._check("direct_to_reverberant", between=(-200, 200))
        self._check("rt60", between=(0, 60))
        if self.rt60[0] <= 0.0 or self.rooms < 1 or self.early < 0.0:
            raise DataError("Reverb: rt60 must be above 0, rooms at least 1, early at least 0")
        if self.rooms * self.rt60[1] > _MOST_SECONDS:
            most = f"together at most {_MOST_SECONDS} s are kept"
            raise DataError(f"Reverb: {self.rooms} rooms of up to {self.rt60[1]:g} s; {most}")
        if not 0.0 <= self.noise <= 1.0:
            raise DataError(f"Reverb: noise is {self.noise}, a probability lies between 0 and 1")

    def bank(self, sample_rate: int) -> tuple[np.ndarray, ...]:
        """The responses of the rooms at a sample rate in Hz."""
        room = (self.rt60, self.direct_to_reverberant, self.early)
        return room_bank(sample_rate, *room, self.rooms, self.seed)

    def apply(self, scene: Scene, rng: Generator) -> None:
        bank = self.bank(scene.sample_rate)
        early, late = _convolve(scene.speech, bank[int(rng.integers(len(bank)))])
        scene.speech, scene.late = early, late
        if rng.random() < self.noise:
            scene.noise = _convolve(scene.noise, bank[int(rng.integers(len(bank)))]).sum(0)


def _convolve(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Early and late part of a sound in a room, the direct sound in place, float32 [2, samples]."""
    size = fft.next_fast_len(len(samples) + response.shape[1] - 1, real=True)
    return fft.irfft(fft.rfft(samples, size) * fft.rfft(response, size), size)[:, : len(samples)]


def from_afar(samples: np.ndarray, sample_rate: int, rng: Generator) -> np.ndarray:
    """A sound from across a room: far more of it comes off the walls than straight, float32 [samples]."""
    bank = room_bank(sample_rate, (0.3, 1.0), (-15.0, -5.0), 0.05, rooms=32, seed=1)
    return _convolve(samples, bank[int(rng.integers(len(bank)))])[1]


@lru_cache(maxsize=8)
def room_bank(
    sample_rate: int, rt60: Range, direct_to_reverberant: Range, early: float, rooms: int, seed: int
) -> tuple[np.ndarray, ...]:
    """Responses of several rooms, made once per process for each set of arguments and always the same for it.

    Args:
        sample_rate: in Hz.
        rt60: shortest and longest reverberation time in seconds.
        direct_to_reverberant: lowest and highest energy ratio of direct sound to the rest, in dB.
        early: where early reflections end, in seconds after the direct sound.
        rooms: how many.
        seed: of the bank.

    Returns:
        Of each room float32 [2, taps]: early and late part, of which the sum is the response; the direct sound is the
        first tap and has height 1.
    """
    rngs = (np.random.default_rng([seed, number]) for number in range(rooms))
    return tuple(_room(rng, sample_rate, rt60, direct_to_reverberant, early) for rng in rngs)


def _room(rng: Generator, sample_rate: int, rt60: Range, direct: Range, early: float) -> np.ndarray:
    decay = float(np.exp(rng.uniform(*np.log(rt60))))
    taps = max(2, int(min(decay, _LONGEST_SECONDS) * sample_rate))
    time = np.arange(taps) / sample_rate
    noise = rng.standard_normal(taps)
    # Two bands with their own decay: above about 2 kHz air and surfaces take more away.
    frequency = fft.rfftfreq(taps, 1.0 / sample_rate)
    edge = min(2000.0, 0.4 * sample_rate)
    low = fft.irfft(fft.rfft(noise) / np.sqrt(1.0 + (frequency / edge) ** 4), taps)
    damping = rng.uniform(0.4, 0.9)
    tail = low * 10.0 ** (-3.0 * time / decay) + (noise - low) * 10.0 ** (-3.0 * time / (decay * damping))
    tail *= 1.0 - np.exp(-time / rng.uniform(0.002, 0.015))  # density builds up after the direct sound

    first = rng.uniform(0.001, 0.008)
    for delay in rng.uniform(first, max(early, first + 0.01), int(rng.integers(4, 12))):
        at = int(delay * sample_rate)
        if 0 < at < taps:
            tail[at] += rng.choice((-1.0, 1.0)) * rng.uniform(1.0, 4.0) * 10.0 ** (-3.0 * delay / decay)
    tail[0] = 0.0
    energy = 10.0 ** (-rng.uniform(*direct) / 10.0)
    tail *= np.sqrt(energy / max(float(np.sum(tail**2)), 1e-12))
    largest = float(np.max(np.abs(tail)))
    if largest > 0.7:  # the direct sound stays the highest peak, so that the target is aligned with it
        tail *= 0.7 / largest

    tail[0] = 1.0
    late_share = np.clip((time - early) / _FADE_SECONDS + 0.5, 0.0, 1.0)  # a short cross-fade
    late_share[0] = 0.0
    return np.stack([tail * (1.0 - late_share), tail * late_share]).astype(np.float32)
