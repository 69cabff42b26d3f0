"""The mixture of voice and noises: what is drawn, how loud, and in which order the augmentations come.

One window is a pure function of the random generator it is given. The parts are related by ``noisy = clean +
noise`` until an augmentation of the stage ``noisy`` (clipping, a codec) damages the noisy signal itself.

Levels are active levels (`data_modules.levels`): the signal-to-noise ratio is the active level of the clean
speech minus that of the background noise, in this window, after band limits and all filters. Late
reverberation belongs to the noise to be removed but not to the ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_modules import sounds
from data_modules.augment import Augmentation, Scene
from data_modules.errors import DataError
from data_modules.levels import active_power, at_snr
from data_modules.pool import Pool

_FILTERED = 1e-6  # a noise that filters brought more than 60 dB down is raised no further than by that


@dataclass(frozen=True)
class Mixing:
    """How voices and noises are mixed. All levels are active levels.

    Args:
        snr: lowest and highest signal-to-noise ratio in dB, uniform between.
        level: lowest and highest active level of the speech in dBFS, uniform between (lowered where the noisy
            signal would pass full scale).
        noises: probabilities of one, two, three ... noises at once; they need not sum to one.
        spread: a second or third noise is up to this many dB below the first.
        babble: probability that a noise is three to six other speakers of the same split.
        coloured: probability that a noise is generated: white, pink, brown, or of a random spectral slope.
        voices: fewest and most speakers in babble.
        events: probability that a noise clip shorter than the window recurs with gaps instead of in a loop.
        envelope: probability that a noise's level wanders during the window.
        envelope_depth: by how many dB at most in either direction.
        noise_only: probability of a window without speech (clean is silence).
        clean_only: probability of a window without noise.
        join: probability that a window holds the end of an utterance, a pause, and the start of the speaker's
            next.
        pause: shortest and longest pause between utterances in seconds.
    """

    snr: tuple[float, float] = (-5.0, 20.0)
    level: tuple[float, float] = (-45.0, -5.0)
    noises: tuple[float, ...] = (0.6, 0.3, 0.1)
    spread: float = 10.0
    babble: float = 0.1
    coloured: float = 0.12
    voices: tuple[int, int] = (3, 6)
    events: float = 0.3
    envelope: float = 0.3
    envelope_depth: float = 10.0
    noise_only: float = 0.04
    clean_only: float = 0.04
    join: float = 0.3
    pause: tuple[float, float] = (0.1, 0.8)

    def __post_init__(self) -> None:
        for name in ("snr", "level", "voices", "pause"):
            low, high = getattr(self, name)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise DataError(
                    f"mixing.{name} is ({low}, {high}): needs two finite numbers, the lower first"
                )
        for name in ("babble", "coloured", "events", "envelope", "noise_only", "clean_only", "join"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise DataError(f"mixing.{name} is {getattr(self, name)}: a probability lies between 0 and 1")
        if self.babble + self.coloured > 1.0 or self.noise_only + self.clean_only > 1.0:
            raise DataError("mixing: babble + coloured and noise_only + clean_only must be at most 1 each")
        if not self.noises or min(self.noises) < 0.0 or sum(self.noises) <= 0.0:
            raise DataError(f"mixing.noises is {self.noises}: needs probabilities of one, two, ... noises")
        if self.voices[0] < 1 or self.pause[0] < 0.0 or self.spread < 0.0:
            raise DataError("mixing: voices must be at least 1, pause and spread at least 0")


@dataclass(frozen=True)
class Mixture:
    """One window.

    Args:
        noisy, clean, noise: float32 [samples]; noisy = clean + noise unless a codec or clipping came after.
        snr: in dB; NaN for windows without speech or without noise.
        group: number of the speaker in the speech pool, -1 without speech.
    """

    noisy: np.ndarray
    clean: np.ndarray
    noise: np.ndarray
    snr: float
    group: int


class Mixer:
    """Draws windows from a speech pool and a noise pool of one split.

    Args:
        speech, noise: pools of the same sample rate.
        mixing: what to draw.
        augmentations: applied in the order of their stages (voice, scene, noisy), within a stage in this
            order.
    """

    def __init__(
        self,
        speech: Pool,
        noise: Pool,
        mixing: Mixing | None = None,
        augmentations: Sequence[Augmentation] = (),
    ) -> None:
        if speech.sample_rate != noise.sample_rate:
            raise DataError(
                f"speech at {speech.sample_rate} Hz and noise at {noise.sample_rate} Hz can't be mixed"
            )
        self.speech, self.noise = speech, noise
        self.mixing = mixing or Mixing()
        self.sample_rate = speech.sample_rate
        self.voice_stage, self.scene_stage, self.noisy_stage = (
            [one for one in augmentations if one.stage == stage] for stage in ("voice", "scene", "noisy")
        )
        self._stretch = math.prod(one.stretch for one in self.voice_stage)
        self._counts = np.cumsum(self.mixing.noises) / np.sum(self.mixing.noises)

    def draw(self, rng: np.random.Generator, samples: int) -> Mixture:
        """One window of `samples` samples."""
        mixing = self.mixing
        kind = rng.random()
        with_speech = kind >= mixing.noise_only
        with_noise = kind < 1.0 - mixing.clean_only
        group = self.speech.draw_group(rng)
        silence = np.zeros(samples, dtype=np.float32)
        speech = self._voice(rng, samples, group) if with_speech else silence
        noise = self._noises(rng, samples, group) if with_noise else silence
        scene = Scene(self.sample_rate, speech, noise)
        for augmentation in self.scene_stage:
            if rng.random() < augmentation.probability:
                augmentation.apply(scene, rng)
        return self._at_levels(scene, rng, group)

    def _voice(self, rng: np.random.Generator, samples: int, group: int) -> np.ndarray:
        for _ in range(3):  # a window may fall into a long pause: draw again
            voice = sounds.draw_voice(
                self.speech,
                group,
                math.ceil(samples * self._stretch),
                rng,
                join=self.mixing.join,
                pause=self.mixing.pause,
            )
            if active_power(voice[:samples], self.sample_rate) > 1e-7:
                break
        for augmentation in self.voice_stage:
            if rng.random() < augmentation.probability:
                voice = augmentation.reshape(voice, rng)
        return voice[:samples]

    def _noises(self, rng: np.random.Generator, samples: int, group: int) -> np.ndarray:
        """One or more noises; the first has an active level of 0 dB, the others lie below."""
        total = np.zeros(samples, dtype=np.float32)
        for number in range(int(np.searchsorted(self._counts, rng.random(), side="right")) + 1):
            one = self._one_noise(rng, samples, group)
            if rng.random() < self.mixing.envelope:
                one = one * sounds.envelope(samples, rng, self.mixing.envelope_depth)
            total += sounds.to_level(
                one, self.sample_rate, -rng.uniform(0.0, self.mixing.spread) if number else 0.0
            )
        return total

    def _one_noise(self, rng: np.random.Generator, samples: int, group: int) -> np.ndarray:
        kind = rng.random()
        if kind < self.mixing.babble:
            babble = sounds.draw_babble(self.speech, samples, rng, self.mixing.voices, exclude=group)
            if babble is not None:
                return babble
        elif kind < self.mixing.babble + self.mixing.coloured:
            colours = tuple(sounds.COLOURS.values())
            choice = int(rng.integers(len(colours) + 2))
            exponent = colours[choice] if choice < len(colours) else rng.uniform(-2.5, 1.0)
            return sounds.coloured_noise(samples, self.sample_rate, exponent, rng)
        clip = self.noise.draw_clip(rng, self.noise.draw_group(rng))
        return sounds.noise_stretch(self.noise, clip, samples, rng, self.mixing.events)

    def _at_levels(self, scene: Scene, rng: np.random.Generator, group: int) -> Mixture:
        """Sets the ratio and the level, adds up, and lets the noisy-stage augmentations have the sum."""
        snr, level = rng.uniform(*self.mixing.snr), rng.uniform(*self.mixing.level)
        clean, noise, snr = at_snr(
            scene.speech, scene.noise, self.sample_rate, snr, level, scene.late, _FILTERED
        )
        noisy = clean + noise
        for augmentation in self.noisy_stage:
            if rng.random() < augmentation.probability:
                noisy = augmentation.damage(noisy, self.sample_rate, rng)
        return Mixture(noisy, clean, noise, snr, group if clean.any() else -1)
