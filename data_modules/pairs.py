"""Fixed pairs for validation and test, which depend on the corpus and the seed alone; also as WAV files."""

from __future__ import annotations

import csv
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from data_modules import sounds
from data_modules.errors import DataError
from data_modules.keyed import window_rng
from data_modules.levels import active_power, at_snr, frame_powers
from data_modules.pool import Pool
from data_modules.windows import Example
from diffgmm import audio

LEVEL = -26.0  # active level of the speech in dBFS, as in ITU-T P.56 and P.800 practice
_JOIN = 0.3
_EVENT_SECONDS = 1.5


@dataclass(frozen=True)
class Pair:
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


def _snr_text(snr: float) -> str:
    sign, size = ("-" if snr < 0 else ""), abs(snr)
    return f"{sign}{int(size):02d}" if size == int(size) else f"{sign}{size:g}"


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
        rounds = -(-count // size)
        return (
            np.concatenate([rng.permutation(size) for _ in range(rounds)])[:count]
            if count
            else np.zeros(0, int)
        )

    pairs = []
    for number, (speaker, category, ratio) in enumerate(
        zip(turns(len(speech.groups)), turns(len(noise.groups)), turns(len(snrs)), strict=True)
    ):
        snr = float(snrs[ratio])
        names = f"{_slug(speech.groups[speaker])}-{_slug(noise.groups[category])}"
        clip = noise.draw_clip(rng, int(category))
        key = (seed, 2, number)
        pairs.append(Pair(f"{names}-snr{_snr_text(snr)}-{number:03d}", int(speaker), clip, snr, key))
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


def write_pairs(
    folder: str | Path,
    split: str = "test",
    n: int = 24,
    *,
    corpus: str | Path = "mini",
    seconds: float = 4.0,
    snrs: Sequence[float] = (0.0, 5.0, 10.0, 15.0),
    sample_rate: int = 16000,
    seed: int = 0,
    cache: str | Path | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Writes pairs as 16-bit WAV files of the same name to ``folder/clean`` and ``folder/noisy``.

    ``folder/pairs.csv`` lists name, speaker, noise file and ratio. The folder appears only when it is
    complete.

    Args:
        folder: where to; must be new or empty unless `overwrite`.
        split: ``train``, ``valid`` or ``test``.
        n: how many pairs.
        corpus: ``mini``, the name of a prepared corpus, a corpus folder or a manifest.
        seconds: length of each.
        snrs: ratios in dB, in turn.
        sample_rate: in Hz.
        seed: another seed, other pairs.
        cache: folder for pools; None: the default one.
        overwrite: replace the folder.

    Returns:
        The names, in order.

    Raises:
        DataError: the corpus is missing or has no such split; the folder isn't empty or can't be written.
    """
    from data_modules.collection import Collection

    target = Path(folder)
    if target.exists() and not overwrite and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: exists already; choose another folder or allow overwriting")
    if n < 1 or not seconds > 0.0:
        raise DataError(f"{n} pairs of {seconds} s: both numbers must be above zero")
    collection = Collection(corpus=str(corpus))
    speech, noise = (collection.open(split, kind, sample_rate, cache) for kind in ("speech", "noise"))
    pairs = choose_pairs(speech, noise, n, snrs, seed)
    noise_files = noise.names()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            os.chmod(part, 0o755)
            for name in ("clean", "noisy"):
                (part / name).mkdir()
            with open(part / "pairs.csv", "w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(("name", "speaker", "noise", "snr"))
                for pair in pairs:
                    clean, noisy = render_pair(speech, noise, pair, round(seconds * sample_rate))
                    audio.write(
                        part / "clean" / f"{pair.name}.wav", clean[None], sample_rate, subtype="PCM_16"
                    )
                    audio.write(
                        part / "noisy" / f"{pair.name}.wav", noisy[None], sample_rate, subtype="PCM_16"
                    )
                    noise_file = Path(noise_files[pair.clip])
                    source = f"{noise_file.parent.name}/{noise_file.name}"
                    table.writerow((pair.name, speech.groups[pair.speaker], source, f"{pair.snr:g}"))
            if target.exists():
                shutil.rmtree(target)
            os.replace(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except (OSError, audio.AudioError) as error:
        raise DataError(f"{target}: can't write the pairs ({error})") from error
    return [pair.name for pair in pairs]
