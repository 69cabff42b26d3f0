"""Augmentations: small frozen descriptions, each with its probability, listed in YAML by class path.

Three stages, always in this order: ``voice`` changes the time axis of the voice before it is cut to the window; ``scene``
filters speech and noise before their levels are set; ``noisy`` damages the finished noisy signal and nothing else. The
clean target always stays aligned with the noisy signal to the sample.

Filters work on the whole window at once by FFT with zero phase, so that nothing is delayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import soxr
from scipy import fft

from data_modules.errors import DataError
from data_modules.rooms import room_bank
from data_modules.sounds import octaves

_PAD_SECONDS = 0.032  # keeps the end of a window from ringing into its start


@dataclass
class Scene:
    """The parts of a window before they are added up; augmentations replace them.

    Args:
        sample_rate: in Hz.
        speech: what will be the clean target, float32 [samples].
        noise: the background, float32 [samples].
        late: late reverberation of the speech, float32 [samples], or None.
    """

    sample_rate: int
    speech: np.ndarray
    noise: np.ndarray
    late: np.ndarray | None = None


class Augmentation:
    """Base of all augmentations. A subclass names its stage and overrides the method of that stage.

    Attributes:
        probability: how often it is applied, in [0, 1].
        stage: ``voice`` (`reshape`), ``scene`` (`apply`) or ``noisy`` (`damage`).
        stretch: for ``voice``: how many times as many samples it may consume as it returns.
    """

    stage: ClassVar[str]
    probability: float

    @property
    def stretch(self) -> float:
        return 1.0

    def reshape(self, voice: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns the changed voice: at least as long as the input divided by `stretch`."""
        raise TypeError(f"{type(self).__name__} is an augmentation of the stage {self.stage}, not voice")

    def apply(self, scene: Scene, rng: np.random.Generator) -> None:
        """Changes the scene in place."""
        raise TypeError(f"{type(self).__name__} is an augmentation of the stage {self.stage}, not scene")

    def damage(self, noisy: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the damaged noisy signal, float32 [samples]."""
        raise TypeError(f"{type(self).__name__} is an augmentation of the stage {self.stage}, not noisy")

    def _check(self, *ranges: str) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise DataError(f"{type(self).__name__}: probability is {self.probability}, must lie between 0 and 1")
        for name in ranges:
            low, high = getattr(self, name)
            if not low <= high:
                raise DataError(f"{type(self).__name__}: {name} is ({low}, {high}), the lower number comes first")


def filter_by(samples: np.ndarray, response: np.ndarray, size: int) -> np.ndarray:
    """Zero-phase filter: multiplies the spectrum (FFT of `size` >= samples, zero-padded) by a real response."""
    return fft.irfft(fft.rfft(samples, size) * response, size)[..., : samples.shape[-1]]


def _fft_size(samples: int, sample_rate: int) -> int:
    return int(fft.next_fast_len(samples + int(_PAD_SECONDS * sample_rate), real=True))


@dataclass(frozen=True)
class Speed(Augmentation):
    """Plays the voice faster or slower by resampling, so that pitch and formants move with it.

    Args:
        probability: how often.
        factor: lowest and highest speed.
    """

    stage: ClassVar[str] = "voice"
    probability: float = 0.3
    factor: tuple[float, float] = (0.88, 1.14)

    def __post_init__(self) -> None:
        self._check("factor")
        if not 0.5 <= self.factor[0] <= self.factor[1] <= 2.0:
            raise DataError(f"Speed: factor is {self.factor}, must lie between 0.5 and 2")

    @property
    def stretch(self) -> float:
        return max(1.0, self.factor[1])

    def reshape(self, voice: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        out_samples = int(len(voice) / self.stretch + 1e-6)
        in_samples = min(len(voice), round(out_samples * rng.uniform(*self.factor)))
        out = soxr.resample(voice[:in_samples], in_samples, out_samples, quality="LQ")
        if len(out) >= out_samples:
            return out[:out_samples]
        return np.pad(out, (0, out_samples - len(out)))


@dataclass(frozen=True)
class SpectralTilt(Augmentation):
    """A random smooth equaliser, one for the speech and another for the noise: microphones, voices, distances.

    Args:
        probability: how often.
        tilt: lowest and highest slope in dB per octave (0 dB at 1 kHz).
        ripple: each of the points two octaves apart is moved by up to so many dB.
    """

    stage: ClassVar[str] = "scene"
    probability: float = 0.4
    tilt: tuple[float, float] = (-3.0, 3.0)
    ripple: float = 5.0

    def __post_init__(self) -> None:
        self._check("tilt")

    def _response(self, size: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        above = octaves(size, sample_rate) - np.float32(np.log2(1000.0))
        points = np.arange(-6.0, 5.0, 2.0)
        gain = np.interp(above, points, rng.uniform(-self.ripple, self.ripple, len(points)))
        gain += rng.uniform(*self.tilt) * np.clip(above, -4.0, 4.0)
        return np.exp2(gain * (np.log2(10.0) / 20.0)).astype(np.float32)

    def apply(self, scene: Scene, rng: np.random.Generator) -> None:
        size = _fft_size(len(scene.speech), scene.sample_rate)
        voice, noise = (self._response(size, scene.sample_rate, rng) for _ in range(2))
        scene.speech = filter_by(scene.speech, voice, size)
        scene.noise = filter_by(scene.noise, noise, size)
        if scene.late is not None:
            scene.late = filter_by(scene.late, voice, size)


@dataclass(frozen=True)
class Reverb(Augmentation):
    """Puts the voice into a simulated room. The target keeps the direct sound and early reflections.

    Late reverberation becomes part of the noise. Rooms come from a bank (`data_modules.rooms`) made once per process.

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
        bank = room_bank(scene.sample_rate, self.rt60, self.direct_to_reverberant, self.early, self.rooms, self.seed)
        room = bank[int(rng.integers(len(bank)))]
        samples = len(scene.speech)
        size = fft.next_fast_len(samples + room.shape[1] - 1, real=True)
        both = fft.irfft(fft.rfft(scene.speech, size) * fft.rfft(room, size), size)[:, :samples]
        scene.speech = both[0]
        scene.late = both[1]


@dataclass(frozen=True)
class BandLimit(Augmentation):
    """Takes a band away from speech and noise together, as in 8 kHz files, telephones and lossy codecs.

    The target is limited too: the model shall clean such speech, not invent the missing band.

    Args:
        probability: how often.
        bands: lowest and highest frequency in Hz, one drawn at random; list a band twice to have it twice as often.
            Bands that reach past half the sample rate change nothing.
    """

    stage: ClassVar[str] = "scene"
    probability: float = 0.2
    bands: tuple[tuple[float, float], ...] = (
        (300.0, 3400.0),
        (0.0, 4000.0),
        (0.0, 4000.0),
        (0.0, 5500.0),
        (0.0, 6000.0),
        (0.0, 7000.0),
    )

    def __post_init__(self) -> None:
        self._check()
        if not self.bands or any(not 0.0 <= low < high for low, high in self.bands):
            raise DataError(f"BandLimit: bands are {self.bands}, each needs 0 <= low < high in Hz")

    def apply(self, scene: Scene, rng: np.random.Generator) -> None:
        low, high = self.bands[int(rng.integers(len(self.bands)))]
        edge = high * rng.uniform(0.88, 0.97)  # resamplers and telephones differ in how steep they are
        if high >= scene.sample_rate / 2 and low <= 0.0:
            return
        size = _fft_size(len(scene.speech), scene.sample_rate)
        frequency = fft.rfftfreq(size, 1.0 / scene.sample_rate)
        response = _smooth((high - frequency) / (high - edge))
        if low > 0.0:
            response = response * _smooth((frequency - 0.6 * low) / (0.4 * low))
        response = response.astype(np.float32)
        scene.speech = filter_by(scene.speech, response, size)
        scene.noise = filter_by(scene.noise, response, size)
        if scene.late is not None:
            scene.late = filter_by(scene.late, response, size)


def _smooth(ramp: np.ndarray) -> np.ndarray:
    """From 0 below 0 to 1 above 1, along half a cosine."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(ramp, 0.0, 1.0))


@dataclass(frozen=True)
class Clip(Augmentation):
    """Overdrives the noisy signal: everything above a share of its peak is cut, hard or softly.

    Args:
        probability: how often.
        threshold: lowest and highest share of the peak where clipping begins.
    """

    stage: ClassVar[str] = "noisy"
    probability: float = 0.05
    threshold: tuple[float, float] = (0.3, 0.9)

    def __post_init__(self) -> None:
        self._check("threshold")
        if self.threshold[0] <= 0.0:
            raise DataError(f"Clip: threshold is {self.threshold}, must be above 0")

    def damage(self, noisy: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        limit = np.float32(rng.uniform(*self.threshold) * max(float(np.max(np.abs(noisy))), 1e-9))
        if rng.random() < 0.5:
            return np.clip(noisy, -limit, limit)
        return limit * np.tanh(noisy / limit)


@dataclass(frozen=True)
class Codec(Augmentation):
    """Quantises the noisy signal coarsely: 8-bit mu-law as in telephony, or few bits of linear PCM.

    Args:
        probability: how often.
        mu_law: share of mu-law among them.
        bits: fewest and most bits of linear PCM, relative to the peak of the window.
    """

    stage: ClassVar[str] = "noisy"
    probability: float = 0.05
    mu_law: float = 0.5
    bits: tuple[int, int] = (7, 12)

    def __post_init__(self) -> None:
        self._check("bits")
        if not 2 <= self.bits[0] or not 0.0 <= self.mu_law <= 1.0:
            raise DataError(f"Codec: bits are {self.bits} (at least 2), mu_law is {self.mu_law} (0 to 1)")

    def damage(self, noisy: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
        peak = float(np.max(np.abs(noisy)))
        if peak <= 0.0:
            return noisy
        if rng.random() < self.mu_law:
            return mu_law(np.clip(noisy, -1.0, 1.0))
        steps = np.float32(2.0 ** (int(rng.integers(self.bits[0], self.bits[1] + 1)) - 1) / peak)
        return np.rint(noisy * steps) / steps


def mu_law(samples: np.ndarray, levels: int = 256) -> np.ndarray:
    """Compresses by the mu-law of ITU-T G.711 (continuous form), rounds to an odd count of levels, expands again."""
    mu = np.float32(levels - 1)
    half = np.float32(levels // 2 - 1)
    packed = np.rint(np.copysign(np.log1p(mu * np.abs(samples)) / np.log1p(mu), samples) * half) / half
    return np.copysign(np.expm1(np.abs(packed) * np.log1p(mu)) / mu, packed)
