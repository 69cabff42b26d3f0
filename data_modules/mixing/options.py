"""Mixing settings: what YAML files give under ``mixing``, and Belz's blend as a preset."""

from __future__ import annotations

import math
from dataclasses import dataclass

from data_modules.errors import DataError, require_between

#: Widest ranges, against numbers beyond any use.
_RANGES: dict[str, tuple[float, float]] = {
    "snr": (-200, 200), "noise_level": (0, 1e6), "level": (-200, 200), "voices": (1, 100), "pause": (0, 60),
}  # fmt: skip
_PROBABILITIES = (
    "babble", "coloured", "tones", "events", "envelope", "noise_only", "clean_only", "silence", "join", "steady", "far",
    "balance",
)  # fmt: skip


@dataclass(frozen=True)
class Mixing:
    """How voices and noises are mixed. All levels are active levels, which leave pauses out.

    Args:
        snr: lowest and highest signal-to-noise ratio in dB, uniform between.
        noise_level: instead of `snr`: lowest and highest factor of the noise. Voice and noise then keep the levels
            of their recordings, noisy = voice + factor * noise, and `snr` and `level` are not used. Generated
            noises, which have no recorded level, come at -26 dBFS.
        level: lowest and highest active level of the speech in dBFS, uniform between (lowered where the noisy
            signal would pass full scale).
        noises: probabilities of one, two, three ... noises at once; they need not sum to one.
        spread: a second or third noise is up to this many dB below the first.
        babble: probability that a noise is several other speakers of the same split (`voices`).
        coloured: probability that a noise is generated: white, pink, brown, of a random slope or spectral shape,
            a band of noise, or a motor (`data_modules.mixing.coloured_noise`).
        tones: probability that a noise is a generated alarm, siren, bell or insect (`data_modules.mixing.tones`).
        voices: fewest and most speakers in babble.
        events: probability that a noise clip shorter than the window recurs with gaps instead of in a loop;
            clips below 0.4 s always do, for in a loop they would rattle.
        envelope: probability that a noise's level wanders during the window.
        envelope_depth: by how many dB at most in either direction.
        noise_only: probability of a window without speech (clean is silence).
        clean_only: probability of a window without noise.
        silence: probability of a window of digital silence.
        join: probability that a window holds the end of an utterance, a pause, and the start of the speaker's
            next.
        pause: shortest and longest pause between utterances in seconds.
        balance: speakers and noise categories are drawn by their duration to this power: 0 all alike, 1 by
            duration. Between the two, small ones are heard more often without being worn out.
        steady: probability that a recorded noise runs on through the whole window at its own level: as a texture in
            its likeness that never repeats (`data_modules.mixing.textures`), or in a loop with a long cross-fade.
            `events`
            and `envelope` hold for the others.
        far: probability that babble comes from across a room, without a direct sound to speak of.
    """

    snr: tuple[float, float] = (-5.0, 20.0)
    noise_level: tuple[float, float] | None = None
    level: tuple[float, float] = (-45.0, -5.0)
    noises: tuple[float, ...] = (0.6, 0.3, 0.1)
    spread: float = 10.0
    babble: float = 0.1
    coloured: float = 0.12
    tones: float = 0.0
    voices: tuple[int, int] = (3, 6)
    events: float = 0.3
    envelope: float = 0.3
    envelope_depth: float = 10.0
    noise_only: float = 0.04
    clean_only: float = 0.04
    silence: float = 0.0
    join: float = 0.3
    pause: tuple[float, float] = (0.1, 0.8)
    balance: float = 0.5
    steady: float = 0.0
    far: float = 0.0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            low, high = getattr(self, name) or (least, most)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                fault = "needs two finite numbers, the lower first"
                raise DataError(f"mixing.{name} is ({low}, {high}): {fault}")
            for bound in (low, high):
                require_between("mixing.", **{name: (bound, least, most)})
        require_between("mixing.", **{name: (getattr(self, name), 0, 1) for name in _PROBABILITIES})
        if self.babble + self.coloured + self.tones > 1.0:
            raise DataError("mixing: babble + coloured + tones must be at most 1")
        if self.noise_only + self.clean_only + self.silence > 1.0:
            raise DataError("mixing: noise_only + clean_only + silence must be at most 1")
        if not self.noises or min(self.noises) < 0.0 or sum(self.noises) <= 0.0:
            raise DataError(f"mixing.noises is {self.noises}: needs probabilities of one, two, ... noises")
        decibels = {name: (getattr(self, name), 0, 200) for name in ("spread", "envelope_depth")}
        require_between("mixing.", noises=(len(self.noises), 1, 16), **decibels)


def belz_blend() -> Mixing:
    """The blend of V. Belz, "Speech-enhancement" (2019): noisy = voice + level * noise, level 0.2 to 0.8.

    One recorded noise at a time, voices and noises at the levels of their recordings, windows drawn by duration.
    Belz takes 8 kHz and windows of 8064 samples.
    """
    return Mixing(
        noise_level=(0.2, 0.8), noises=(1.0,), babble=0.0, coloured=0.0, events=0.0, envelope=0.0,
        noise_only=0.0, clean_only=0.0, join=0.0, balance=1.0,
    )  # fmt: skip
