"""The mixture of voice and noises: what is drawn, how loud, and in which order the augmentations come.

One window is a pure function of the random generator it is given. The parts are related by ``noisy = clean +
noise`` until an augmentation of the stage ``noisy`` (clipping, a codec) damages the noisy signal itself.

Levels are active levels (`diffgmm.audio.levels`): the signal-to-noise ratio is the active level of the clean
speech minus that of the background noise, in this window, after band limits and all filters. Late
reverberation belongs to the noise to be removed but not to the ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from data_modules.augment import Augmentation, Scene
from data_modules.augment.reverb import from_afar
from data_modules.errors import DataError
from data_modules.mixing import sounds
from data_modules.mixing.coloured_noise import draw_coloured
from data_modules.mixing.options import Mixing
from data_modules.mixing.textures import steady_stretch
from data_modules.mixing.tones import draw_tones
from data_modules.pools.pool import Pool
from diffgmm.audio.levels import active_power, at_factor, at_snr

Augmentations = Sequence[Augmentation]
_FILTERED = 1e-6  # a noise that filters brought more than 60 dB down is raised no further than by that
BABBLE, COLOURED, TONES = -1, -2, -3  # in the place of clip numbers
_ROOM_SECONDS = 0.5  # what has been said before the window still sounds in a room
_GENERATED_LEVEL = -26.0  # dBFS, of noises that have no recorded level


class Mixture(NamedTuple):
    """One window.

    Args:
        noisy, clean, noise: float32 [samples]; noisy = clean + noise unless a codec or clipping came after.
        snr: in dB; NaN for windows without speech or without noise.
        group: number of the speaker in the speech pool, -1 without speech.
        noises: numbers of the clips in the noise pool; `BABBLE`, `COLOURED` or `TONES` for others.
    """

    noisy: np.ndarray
    clean: np.ndarray
    noise: np.ndarray
    snr: float
    group: int
    noises: tuple[int, ...] = ()


class Mixer:
    """Draws windows from a speech pool and a noise pool of one split.

    Args:
        speech, noise: pools of the same sample rate.
        mixing: what to draw.
        augmentations: applied in the order of their stages (voice, noise, scene, noisy), within a stage in
            this order.
    """

    def __init__(
        self, speech: Pool, noise: Pool, mixing: Mixing | None = None, augmentations: Augmentations = ()
    ) -> None:
        if speech.sample_rate != noise.sample_rate:
            rates = f"speech at {speech.sample_rate} Hz and noise at {noise.sample_rate} Hz"
            raise DataError(f"{rates} can't be mixed")
        self.speech, self.noise = speech, noise
        self.mixing = mixing or Mixing()
        self.sample_rate = speech.sample_rate
        self._stages = {
            stage: [augmentation for augmentation in augmentations if augmentation.stage == stage]
            for stage in ("voice", "noise", "scene", "noisy")
        }
        self._counts = np.cumsum(self.mixing.noises) / np.sum(self.mixing.noises)

    def draw(self, rng: Generator, samples: int) -> Mixture:
        """One window of `samples` samples."""
        mixing = self.mixing
        kind = rng.random()
        with_speech = kind >= mixing.noise_only + mixing.silence
        with_noise = mixing.silence <= kind < 1.0 - mixing.clean_only
        group = self.speech.draw_group(rng, balance=mixing.balance)
        silence = np.zeros(samples, dtype=np.float32)
        speech = self._voice(rng, samples, group) if with_speech else silence
        noise, clips = self._noises(rng, samples, group) if with_noise else (silence, ())
        scene = Scene(self.sample_rate, speech, noise)
        if with_speech or with_noise:
            for augmentation in self._chosen("scene", rng):
                augmentation.apply(scene, rng)
        return self._at_levels(scene, rng, group, clips)

    def _chosen(self, stage: str, rng: Generator) -> list[Augmentation]:
        """Which augmentations of a stage this window gets."""
        listed = self._stages[stage]
        return [augmentation for augmentation in listed if rng.random() < augmentation.probability]

    def _reshaped(self, chosen: list[Augmentation], sound: np.ndarray, rng: Generator) -> np.ndarray:
        for augmentation in chosen:
            sound = augmentation.reshape(sound, self.sample_rate, rng)
        return sound

    def _voice(self, rng: Generator, samples: int, group: int) -> np.ndarray:
        mixing, chosen = self.mixing, self._chosen("voice", rng)
        needed = math.ceil(samples * math.prod(augmentation.stretch for augmentation in chosen))
        for _ in range(3):  # a window may fall into a long pause: draw again
            voice = sounds.draw_voice(self.speech, group, needed, rng, join=mixing.join, pause=mixing.pause)
            if active_power(voice[:samples], self.sample_rate) > 1e-7:
                break
        return self._reshaped(chosen, voice, rng)[:samples]

    def _noises(self, rng: Generator, samples: int, group: int) -> tuple[np.ndarray, tuple[int, ...]]:
        """One or more noises, and which; the first has an active level of 0 dB, the others lie below.

        With `Mixing.noise_level` all keep the level they were recorded at.
        """
        total, clips = np.zeros(samples, dtype=np.float32), []
        as_recorded = self.mixing.noise_level is not None
        for number in range(int(np.searchsorted(self._counts, rng.random(), side="right")) + 1):
            noise, clip, steady = self._one_noise(rng, samples, group)
            if rng.random() < self.mixing.envelope and not steady:
                noise = noise * sounds.envelope(samples, rng, self.mixing.envelope_depth)
            lower = rng.uniform(0.0, self.mixing.spread) if number else 0.0
            if not (as_recorded and clip >= 0):
                level = (_GENERATED_LEVEL if as_recorded else 0.0) - lower
                noise = sounds.to_level(noise, self.sample_rate, level)
            total += noise
            clips.append(clip)
        return total, tuple(clips)

    def _one_noise(self, rng: Generator, samples: int, group: int) -> tuple[np.ndarray, int, bool]:
        """A noise, the number of its clip, and whether it was made to run on steadily."""
        mixing, kind = self.mixing, rng.random()
        if kind < mixing.babble:
            far = mixing.far > 0.0 and rng.random() < mixing.far
            lead = int(_ROOM_SECONDS * self.sample_rate) if far else 0
            voices, balance = mixing.voices, mixing.balance
            babble = sounds.draw_babble(self.speech, lead + samples, rng, voices, group, balance)
            if babble is not None:
                babble = from_afar(babble, self.sample_rate, rng)[lead:] if far else babble
                return babble, BABBLE, False
        elif kind < mixing.babble + mixing.coloured:
            return draw_coloured(samples, self.sample_rate, rng), COLOURED, False
        elif kind < mixing.babble + mixing.coloured + mixing.tones:
            return draw_tones(samples, self.sample_rate, rng), TONES, False
        clip = self.noise.draw_clip(rng, self.noise.draw_group(rng, balance=mixing.balance))
        chosen = self._chosen("noise", rng)
        needed = math.ceil(samples * math.prod(augmentation.stretch for augmentation in chosen))
        steady = mixing.steady > 0.0 and rng.random() < mixing.steady
        draw = steady_stretch if steady else partial(sounds.noise_stretch, events=mixing.events)
        noise = draw(self.noise, clip, needed, rng)
        return self._reshaped(chosen, noise, rng)[:samples], clip, steady

    def _at_levels(self, scene: Scene, rng: Generator, group: int, clips: tuple[int, ...]) -> Mixture:
        """Sets the ratio and the level, adds up, and lets the noisy-stage augmentations have the sum."""
        mixing, rate = self.mixing, self.sample_rate
        if mixing.noise_level is not None:
            factor = rng.uniform(*mixing.noise_level)
            clean, noise, snr = at_factor(scene.speech, scene.noise, rate, factor, scene.late)
        else:
            snr, level = rng.uniform(*mixing.snr), rng.uniform(*mixing.level)
            clean, noise, snr = at_snr(scene.speech, scene.noise, rate, snr, level, scene.late, _FILTERED)
        noisy = clean + noise
        if noisy.any():
            for augmentation in self._chosen("noisy", rng):
                noisy, clean = augmentation.damage(noisy, clean, rate, rng)
        return Mixture(noisy, clean, noise, snr, group if clean.any() else -1, clips)
