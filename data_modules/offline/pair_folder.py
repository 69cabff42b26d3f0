"""Fixed pairs as folders of WAV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_modules.errors import DataError
from data_modules.mixing.mixer import Mixer
from data_modules.mixing.options import Mixing
from data_modules.pools.collection import Collection
from data_modules.pools.pool import Pool
from data_modules.pools.sources import SPLITS
from data_modules.windows.fixed_pairs import choose_pairs, render_pair
from diffgmm import audio
from diffgmm.utils.files import replacing_folder
from diffgmm.utils.random import window_rng

_KEY = 5  # keeps the random numbers apart from those of training windows and fixed pairs
Pair = tuple[tuple[str, str, str, str], np.ndarray, np.ndarray]
"""Row of ``pairs.csv``, clean and noisy signal."""


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
    mixing: Mixing | None = None,
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
        mixing: draw the pairs as training does, with these settings in the place of `snrs`.
        cache: folder for pools; None: the default one.
        overwrite: replace the folder.

    Returns:
        The names, in order.

    Raises:
        DataError: the corpus is missing or has no such split; the folder isn't empty or can't be written.
    """
    target = Path(folder)
    if target.exists() and not overwrite and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: exists already; choose another folder or allow overwriting")
    if n < 1 or not seconds > 0.0:
        raise DataError(f"{n} pairs of {seconds} s: both numbers must be above zero")
    collection = Collection(corpus=str(corpus))
    speech, noise = (collection.open(split, kind, sample_rate, cache) for kind in ("speech", "noise"))
    samples = round(seconds * sample_rate)
    pairs = _fixed(speech, noise, n, snrs, seed, samples)
    if mixing is not None:
        pairs = _mixed(Mixer(speech, noise, mixing), split, n, seed, samples)
    rows: list[tuple[str, ...]] = []
    try:
        with replacing_folder(target) as part:
            for kind in ("clean", "noisy"):
                (part / kind).mkdir()
            for row, *sounds in pairs:
                for kind, sound in zip(("clean", "noisy"), sounds, strict=True):
                    audio.write(part / kind / f"{row[0]}.wav", sound[None], sample_rate, subtype="PCM_16")
                rows.append(row)
            with (part / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("name", "speaker", "noise", "snr"), *rows])
    except (OSError, audio.AudioError) as error:
        raise DataError(f"{target}: can't write the pairs ({error})") from error
    return [row[0] for row in rows]


def _fixed(
    speech: Pool, noise: Pool, count: int, snrs: Sequence[float], seed: int, samples: int
) -> Iterator[Pair]:
    """Pairs in which speakers, categories of noise and ratios take their turns."""
    files = [Path(name) for name in noise.names()]
    for pair in choose_pairs(speech, noise, count, snrs, seed):
        file = files[pair.clip]
        row = (pair.name, speech.groups[pair.speaker], f"{file.parent.name}/{file.name}", f"{pair.snr:g}")
        yield row, *render_pair(speech, noise, pair, samples)


def _mixed(mixer: Mixer, split: str, count: int, seed: int, samples: int) -> Iterator[Pair]:
    """Pairs as training draws its windows."""
    for number in range(count):
        mixture = mixer.draw(window_rng(seed, _KEY, SPLITS.index(split), number), samples)
        speaker = mixer.speech.groups[mixture.group] if mixture.group >= 0 else ""
        noises = [mixer.noise.groups[mixer.noise.group[clip]] if clip >= 0 else "" for clip in mixture.noises]
        row = (f"{split}-{number:06d}", speaker, "+".join(noises), f"{mixture.snr:.2f}")
        yield row, mixture.clean, mixture.noisy
