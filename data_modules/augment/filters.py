"""Augmentations that filter: speed, equalisers, band limits, and other speakers by moved formants.

All but the last work on the whole window at once by FFT with zero phase, so that nothing is delayed.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from scipy import fft

from data_modules.augment.base import Augmentation, Scene
from data_modules.errors import DataError


@lru_cache(maxsize=32)
def octaves(samples: int, sample_rate: int) -> np.ndarray:
    """Base-2 logarithm of each FFT bin's frequency in Hz (at least 20 Hz), float32 [samples // 2 + 1]."""
    return np.log2(np.maximum(fft.rfftfreq(samples, 1.0 / sample_rate), 20.0)).astype(np.float32)


_PAD = 512  # samples; keeps the end of a window from ringing into its start


def filter_by(samples: np.ndarray, response: np.ndarray, size: int) -> np.ndarray:
    """Zero-phase filter: multiplies the spectrum by a real response; the FFT has `size` >= samples points."""
    return fft.irfft(fft.rfft(samples, size) * response, size)[..., : samples.shape[-1]]


def _filter(scene: Scene, voice: np.ndarray, noise: np.ndarray, size: int) -> None:
    """Filters the speech with its reverberation, and the noise."""
    scene.speech, scene.noise = filter_by(scene.speech, voice, size), filter_by(scene.noise, noise, size)
    if scene.late is not None:
        scene.late = filter_by(scene.late, voice, size)


@lru_cache(maxsize=1)
def _quick_sizes() -> list[int]:
    """Quick FFT sizes in order: products of powers of 2, 3 and 5."""
    sizes = (2**a * 3**b * 5**c for a in range(25) for b in range(16) for c in range(11))
    return sorted(size for size in sizes if size <= 2**24)


def _sizes_in_ratio(least: int, ratio: float) -> tuple[int, int]:
    """Two quick FFT sizes almost in a ratio (second to first), not above it; the first at least `least`."""
    sizes = _quick_sizes()
    first = bisect.bisect_left(sizes, least)
    pairs = [(size, sizes[bisect.bisect_right(sizes, size * ratio) - 1]) for size in sizes[first : first + 6]]
    return max(pairs, key=lambda pair: (pair[1] / pair[0], pair[0]))


def _fft_size(samples: int) -> int:
    return int(fft.next_fast_len(samples + _PAD, real=True))


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
        self._check("factor", between=(0.5, 2.0))

    @property
    def stretch(self) -> float:
        return max(1.0, self.factor[1])

    def reshape(self, sound: np.ndarray, sample_rate: int, rng: Generator) -> np.ndarray:
        out_samples = int(len(sound) / self.stretch + 1e-6)
        # By FFT: the spectrum of more (or fewer) samples is turned back into a signal of another length.
        size, source = _sizes_in_ratio(out_samples + _PAD, rng.uniform(*self.factor))
        spectrum = fft.rfft(sound[:source], source)
        return fft.irfft(spectrum, size)[:out_samples] * np.float32(size / source)


@dataclass(frozen=True)
class NoiseSpeed(Speed):
    """Plays a recorded noise faster or slower, so that a scarce clip is heard at many pitches and sizes.

    Args:
        probability: how often.
        factor: lowest and highest speed.
    """

    stage: ClassVar[str] = "noise"
    probability: float = 0.3
    factor: tuple[float, float] = (0.6, 1.6)


@lru_cache(maxsize=32)
def _equaliser(size: int, sample_rate: int) -> np.ndarray:
    """Shapes of one decibel as base-2 logarithms: bumps two octaves apart, last a slope of 1 dB per octave.

    The slope is 0 at 1 kHz and flat beyond four octaves from it. Returns float32 [shapes, size // 2 + 1].
    """
    above = octaves(size, sample_rate) - np.log2(1000.0)
    points = np.arange(-6.0, 5.0, 2.0)
    bumps = [np.interp(above, points, unit) for unit in np.eye(len(points))]
    return (np.stack([*bumps, np.clip(above, -4.0, 4.0)]) * (np.log2(10.0) / 20.0)).astype(np.float32)


@dataclass(frozen=True)
class SpectralTilt(Augmentation):
    """Random smooth equalisers, one for the speech and one for the noise: microphones, voices, distances.

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

    def response(self, size: int, sample_rate: int, rng: Generator) -> np.ndarray:
        """A random equaliser, float32 [size // 2 + 1]."""
        shapes = _equaliser(size, sample_rate)
        heights = rng.uniform(-self.ripple, self.ripple, len(shapes)).astype(np.float32)
        heights[-1] = rng.uniform(*self.tilt)
        return np.exp2(heights @ shapes)

    def apply(self, scene: Scene, rng: Generator) -> None:
        size = _fft_size(len(scene.speech))
        voice, noise = (self.response(size, scene.sample_rate, rng) for _ in range(2))
        _filter(scene, voice, noise, size)


@dataclass(frozen=True)
class NoiseTilt(SpectralTilt):
    """A random smooth equaliser on a recorded noise, each noise of a window its own: another make of the thing.

    Args:
        probability: how often.
        tilt: lowest and highest slope in dB per octave (0 dB at 1 kHz).
        ripple: each of the points two octaves apart is moved by up to so many dB.
    """

    stage: ClassVar[str] = "noise"
    probability: float = 0.3
    tilt: tuple[float, float] = (-4.0, 4.0)
    ripple: float = 10.0

    def reshape(self, sound: np.ndarray, sample_rate: int, rng: Generator) -> np.ndarray:
        size = _fft_size(len(sound))
        return filter_by(sound, self.response(size, sample_rate, rng), size)


_BANDS = ((300.0, 3400.0), (0.0, 4000.0), (0.0, 4000.0), (0.0, 5500.0), (0.0, 6000.0), (0.0, 7000.0))


@dataclass(frozen=True)
class BandLimit(Augmentation):
    """Takes a band away from speech and noise together, as in 8 kHz files, telephones and lossy codecs.

    The target is limited too: the model shall clean such speech, not invent the missing band.

    Args:
        probability: how often.
        bands: lowest and highest frequency in Hz, one drawn at random; list a band twice to have it twice as
            often. Bands that reach past half the sample rate change nothing.
    """

    stage: ClassVar[str] = "scene"
    probability: float = 0.2
    bands: tuple[tuple[float, float], ...] = _BANDS

    def __post_init__(self) -> None:
        self._check()
        if not self.bands or any(not 0.0 <= low < high for low, high in self.bands):
            raise DataError(f"BandLimit: bands are {self.bands}, each needs 0 <= low < high in Hz")

    def apply(self, scene: Scene, rng: Generator) -> None:
        low, high = self.bands[int(rng.integers(len(self.bands)))]
        edge = high * rng.uniform(0.88, 0.97)  # resamplers and telephones differ in how steep they are
        if high >= scene.sample_rate / 2 and low <= 0.0:
            return
        size = _fft_size(len(scene.speech))
        response = _band(size, scene.sample_rate, low, edge, high)
        _filter(scene, response, response, size)


def _band(size: int, sample_rate: int, low: float, edge: float, high: float) -> np.ndarray:
    """Response that passes from `low` to `edge` and nothing from `high` on (Hz), float32 [size // 2 + 1]."""
    frequency = fft.rfftfreq(size, 1.0 / sample_rate)
    response = _smooth((high - frequency) / (high - edge))
    if low > 0.0:
        response = response * _smooth((frequency - 0.6 * low) / (0.4 * low))
    return response.astype(np.float32)


def low_pass(samples: np.ndarray, sample_rate: int, high: float) -> np.ndarray:
    """Without what lies above `high` in Hz, at zero phase, float32 [samples]."""
    size = _fft_size(len(samples))
    return filter_by(samples, _band(size, sample_rate, 0.0, 0.92 * high, high), size)


def _smooth(ramp: np.ndarray) -> np.ndarray:
    """From 0 below 0 to 1 above 1, along half a cosine."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(ramp, 0.0, 1.0))


_FRAME_SECONDS = 0.032
_LIFTER_SECONDS = 0.0018  # quefrencies below the pitch period of a child: the envelope without the harmonics
_LIMIT = 2.0  # neper: no gain beyond 17 dB, which would raise what is only noise in the recording
_FLOOR = 1e-4  # of the loudest bin: -80 dB


@lru_cache(maxsize=8)
def _frame(sample_rate: int) -> tuple[int, np.ndarray]:
    """Hop and window (root of a periodic Hann window of twice the hop)."""
    hop = round(_FRAME_SECONDS * sample_rate / 2)
    return hop, np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop)).astype(np.float32)


def _warp(bins: int, factor: float) -> np.ndarray:
    """Where each bin's envelope comes from: f / factor up to a corner, then straight to the top of the band."""
    top = bins - 1
    corner = 0.8 * top * min(1.0, factor)
    return np.interp(np.arange(bins), [0.0, corner, top], [0.0, corner / factor, top])


def move_formants(sound: np.ndarray, sample_rate: int, factor: float) -> np.ndarray:
    """``sound`` float32 [samples] with its formants at ``factor`` times their frequencies; pitch and length stay.

    The spectral envelope of each frame (cepstral smoothing) is warped, the fine structure kept.
    """
    hop, window = _frame(sample_rate)
    size = 2 * hop
    padded = np.pad(sound, (hop, 2 * hop))
    count = (len(padded) - size) // hop + 1
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: count * hop : hop]
    spectra = fft.rfft(frames * window, axis=1)
    level = np.abs(spectra)
    logs = np.log(np.maximum(level, _FLOOR * max(float(level.max()), 1e-9)))
    cepstra = fft.irfft(logs, axis=1)
    kept = round(_LIFTER_SECONDS * sample_rate)
    cepstra[:, kept : size - kept + 1] = 0.0
    envelope = fft.rfft(cepstra, axis=1).real
    source = _warp(envelope.shape[1], factor)
    low = np.minimum(source.astype(int), envelope.shape[1] - 2)
    part = (source - low).astype(np.float32)
    warped = envelope[:, low] * (1.0 - part) + envelope[:, low + 1] * part
    spectra *= np.exp(np.clip(warped - envelope, -_LIMIT, _LIMIT))
    pieces = fft.irfft(spectra, size, axis=1) * window
    out = np.zeros((count + 1) * hop, np.float32)
    out[: count * hop] += pieces[:, :hop].ravel()
    out[hop:] += pieces[:, hop:].ravel()
    return out[hop : hop + len(sound)]


@dataclass(frozen=True)
class Formants(Augmentation):
    """Moves the formants of the voice as a longer or shorter vocal tract would, and leaves its pitch.

    Together with `Speed`, which moves both, the pitch and the tract of few speakers become those of many. After vocal
    tract length perturbation: Jaitly and Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition",
    2013, whose warp is applied to the envelope alone.

    Args:
        probability: how often.
        factor: lowest and highest factor of the formants' frequencies.
    """

    stage: ClassVar[str] = "voice"
    probability: float = 0.3
    factor: tuple[float, float] = (0.85, 1.18)

    def __post_init__(self) -> None:
        self._check("factor", between=(0.5, 2.0))

    def reshape(self, sound: np.ndarray, sample_rate: int, rng: Generator) -> np.ndarray:
        return move_formants(sound, sample_rate, rng.uniform(*self.factor))
