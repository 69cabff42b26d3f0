"""Reverberation by simulated room responses: a direct sound, sparse early reflections and exponentially
decaying noise.

After the stochastic room model of Moorer, "About This Reverberation Business" (1979): the late response of a
room is Gaussian noise under an exponential decay, and high frequencies decay faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy import fft, signal

from data_modules.augment_base import Augmentation, Scene
from data_modules.errors import DataError

_FADE_SECONDS = 0.005


@dataclass(frozen=True)
class Reverb(Augmentation):
    """Puts the voice into a simulated room. The target keeps the direct sound and early reflections.

    Late reverberation becomes part of the noise. Rooms come from a bank made once per
    process.

    Args:
        probability: how often.
        rt60: shortest and longest reverberation time in seconds.
        direct_to_reverberant: lowest and highest energy ratio of direct sound to everything after it, in dB.
        early: what arrives within this time after the direct sound belongs to the target, in seconds.
        rooms: how many rooms the bank holds.
        seed: another seed, other rooms.
    """

    stage: ClassVar[str] = "scene"
    probability: float = 0.15
    rt60: tuple[float, float] = (0.15, 0.8)
    direct_to_reverberant: tuple[float, float] = (-3.0, 15.0)
    early: float = 0.05
    rooms: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        self._check("rt60", "direct_to_reverberant")
        if self.rt60[0] <= 0.0 or self.rooms < 1 or self.early < 0.0:
            raise DataError("Reverb: rt60 must be above 0, rooms at least 1, early at least 0")

    def apply(self, scene: Scene, rng: np.random.Generator) -> None:
        bank = room_bank(
            scene.sample_rate, self.rt60, self.direct_to_reverberant, self.early, self.rooms, self.seed
        )
        room = bank[int(rng.integers(len(bank)))]
        samples = len(scene.speech)
        size = fft.next_fast_len(samples + room.shape[1] - 1, real=True)
        both = fft.irfft(fft.rfft(scene.speech, size) * fft.rfft(room, size), size)[:, :samples]
        scene.speech = both[0]
        scene.late = both[1]


@lru_cache(maxsize=8)
def room_bank(
    sample_rate: int,
    rt60: tuple[float, float],
    direct_to_reverberant: tuple[float, float],
    early: float,
    rooms: int,
    seed: int,
) -> tuple[np.ndarray, ...]:
    """Several rooms, made once per process for each set of arguments and always the same for it.

    Args:
        sample_rate: in Hz.
        rt60: shortest and longest reverberation time in seconds.
        direct_to_reverberant: lowest and highest energy ratio of direct sound to the rest, in dB.
        early: where early reflections end, in seconds after the direct sound.
        rooms: how many.
        seed: of the bank.

    Returns:
        For each room float32 [2, taps]: early part (direct sound at sample 0 with height 1) and late part.
        Their sum is the whole response.
    """
    return tuple(
        _room(np.random.default_rng([seed, number]), sample_rate, rt60, direct_to_reverberant, early)
        for number in range(rooms)
    )


def _room(
    rng: np.random.Generator,
    sample_rate: int,
    rt60: tuple[float, float],
    direct_to_reverberant: tuple[float, float],
    early: float,
) -> np.ndarray:
    decay = float(np.exp(rng.uniform(*np.log(rt60))))
    taps = max(2, int(min(decay, 1.2) * sample_rate))
    time = np.arange(taps) / sample_rate
    noise = rng.standard_normal(taps)
    # Two bands with their own decay: above about 2 kHz air and surfaces take more away.
    low = signal.sosfilt(
        signal.butter(2, min(2000.0, 0.4 * sample_rate), fs=sample_rate, output="sos"), noise
    )
    damping = rng.uniform(0.4, 0.9)
    tail = low * 10.0 ** (-3.0 * time / decay) + (noise - low) * 10.0 ** (-3.0 * time / (decay * damping))
    tail *= 1.0 - np.exp(-time / rng.uniform(0.002, 0.015))  # density builds up after the direct sound

    first = rng.uniform(0.001, 0.008)
    for delay in rng.uniform(first, max(early, first + 0.01), int(rng.integers(4, 12))):
        at = int(delay * sample_rate)
        if 0 < at < taps:
            tail[at] += rng.choice((-1.0, 1.0)) * rng.uniform(1.0, 4.0) * 10.0 ** (-3.0 * delay / decay)
    tail[0] = 0.0
    energy = 10.0 ** (-rng.uniform(*direct_to_reverberant) / 10.0)
    tail *= np.sqrt(energy / max(float(np.sum(tail**2)), 1e-12))
    largest = float(np.max(np.abs(tail)))
    if largest > 0.7:  # the direct sound stays the highest peak, so that the target is aligned with it
        tail *= 0.7 / largest

    late_share = np.clip((time - early) / _FADE_SECONDS + 0.5, 0.0, 1.0)
    response = np.stack([tail * (1.0 - late_share), tail * late_share])
    response[0, 0] = 1.0
    return response.astype(np.float32)
