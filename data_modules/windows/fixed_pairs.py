"""Fixed pairs for validation and test, which depend on the corpus and the seed alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from data_modules.errors import DataError
from data_modules.mixing import sounds
from data_modules.pools.pool import Pool
from data_modules.windows.mixed import Example
from diffgmm.audio.levels import active_power, at_snr, frame_powers
from diffgmm.utils.random import window_rng

LEVEL = -26.0  # active level of the speech in dBFS, as in ITU-T P.56 and P.800 practice

_JOIN = 0.3

_EVENT_SECONDS = 1.5


class Pair(NamedTuple):
    """What a pair is made of.

    Args:
        name: such as ``june_fr-rail-snr05-003``; unique in its list.
        speaker: number of the group in the speech pool.
        clip: number of the clip in the noise pool.
        snr: ratio of active levels in dB.
        key: of the random generator that chooses utterances and positions.
    """

    name: str
    speaker: int
    clip: int
    snr: float
    key: tuple[int, ...]


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_") or "unnamed"


def choose_pairs(speech: Pool, noise: Pool, count: int, snrs: Sequence[float], seed: int) -> list[Pair]:
    """Chooses pairs so that speakers, noise categories and ratios all take their turns.

    Args:
        speech, noise: pools of the split.
        count: how many pairs.
        snrs: ratios in dB.
        seed: another seed, other pairs.
    """
    if not snrs or not all(np.isfinite(snrs)):
        raise DataError(f"the signal-to-noise ratios are {list(snrs)}: needs at least one finite number")
    rng = window_rng(seed, 1)

    def turns(size: int) -> np.ndarray:
        rounds = [rng.permutation(size) for _ in range(-(-count // size))]
        return np.concatenate([np.zeros(0, int), *rounds])[:count]

    pairs = []
    for number, (speaker, category, ratio) in enumerate(
        zip(turns(len(speech.groups)), turns(len(noise.groups)), turns(len(snrs)), strict=True)
    ):
        snr = float(snrs[ratio])
        names = f"{_slug(speech.groups[speaker])}-{_slug(noise.groups[category])}"
        clip = noise.draw_clip(rng, int(category))
        name = f"{names}-snr{snr:0{3 if snr < 0 else 2}g}-{number:03d}"
        pairs.append(Pair(name, int(speaker), clip, snr, (seed, 2, number)))
    return pairs


def render_pair(speech: Pool, noise: Pool, pair: Pair, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The clean and the noisy signal of a pair, float32 [samples] each; noisy = clean + noise.

    Utterances shorter than the pair are continued with others of the same speaker; noises are looped,
    those of less than 1.5 s recur with gaps.
    """
    rng = window_rng(*pair.key)
    rate = speech.sample_rate
    best, voice = -1.0, np.zeros(samples, dtype=np.float32)
    for _ in range(6):  # speech in at least half of the time, as far as the speaker offers it
        candidate = sounds.draw_voice(speech, pair.speaker, samples, rng, join=_JOIN, pause=(0.2, 0.5))
        powers = frame_powers(candidate, rate)
        share = float(np.mean(powers > active_power(candidate, rate) * 1e-3)) if powers.any() else 0.0
        if share > best:
            best, voice = share, candidate
        if share >= 0.5:
            break
    short = noise.length[pair.clip] < _EVENT_SECONDS * rate  # in a loop it would be a rattle
    background = sounds.noise_stretch(noise, pair.clip, samples, rng, events=1.0 if short else 0.0)
    clean, rest, _ = at_snr(voice, background, rate, pair.snr, LEVEL)
    return clean, clean + rest


class FixedPairs(Dataset[Example]):
    """The pairs of a list, rendered on demand.

    Args:
        speech, noise: pools of the split.
        pairs: from `choose_pairs`.
        samples: length of each pair.
    """

    def __init__(self, speech: Pool, noise: Pool, pairs: Sequence[Pair], samples: int) -> None:
        self.speech, self.noise, self.pairs, self.samples = speech, noise, list(pairs), samples

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        """Returns noisy, clean (float32 [samples]), the signal-to-noise ratio in dB and the name."""
        pair = self.pairs[index]
        clean, noisy = render_pair(self.speech, self.noise, pair, self.samples)
        return noisy, clean, pair.snr, pair.name
