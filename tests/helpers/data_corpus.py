"""A corpus for the tests of the data modules: the mini corpus, or speech-like sounds made up here."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

import data_modules
from data_modules.corpora.build.finish import Clip
from data_modules.pools.collection import Collection
from data_modules.pools.pool import Pool
from diffgmm import audio

RATE = 16000
MINI = Path(data_modules.__file__).parent / "mini"


def voice(seed: int, seconds: float, pitch: float = 140.0, rate: int = RATE) -> np.ndarray:
    """Harmonics under formants, in syllables with pauses, float32 [samples]."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate)
    time = np.arange(samples) / rate
    glide = 1 + 0.1 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch * glide) / rate
    out = np.zeros(samples)
    formants = rng.uniform((300, 900, 2200), (800, 1800, 3200))
    for harmonic in range(1, int(0.45 * rate / pitch)):
        weight = sum(np.exp(-(((harmonic * pitch - one) / 180.0) ** 2)) for one in formants) + 0.02 / harmonic
        out += weight * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * time + rng.uniform(0, 6)) + 0.3, 0, 1)
    out = out * syllables + 1e-4 * rng.standard_normal(samples)
    return (0.3 * out / np.max(np.abs(out))).astype(np.float32)


def hiss(seed: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """Smoothed noise, float32 [samples]."""
    rng = np.random.default_rng(seed)
    out = np.convolve(rng.standard_normal(round(seconds * rate)), np.ones(1 + seed % 5), mode="same")
    return (0.2 * out / np.max(np.abs(out))).astype(np.float32)


def make_corpus(root: Path) -> Path:
    """A corpus in the folder layout: 4 + 2 + 2 speakers, 3 kinds of noise, several rates and formats."""
    speakers = {"train": "abcd", "valid": "ef", "test": "gh"}
    for split, names in speakers.items():
        for number, name in enumerate(names):
            for take, seconds in enumerate((0.6, 2.4)):
                rate, suffix = ((16000, "wav"), (22050, "flac"))[take]
                sound = voice(ord(name) * 10 + take, seconds, 90.0 + 40 * number, rate)
                folder = root / split / "speech" / f"speaker_{name}"
                folder.mkdir(parents=True, exist_ok=True)
                audio.write(folder / f"{take}.{suffix}", sound[None], rate)
        for number, (kind, seconds) in enumerate((("rain", 3.0), ("door", 0.25), ("fan", 1.5))):
            folder = root / split / "noise" / kind
            folder.mkdir(parents=True, exist_ok=True)
            audio.write(folder / f"{kind}.wav", hiss(number + len(split), seconds)[None], RATE)
    return root


def pools(corpus: Path, split: str, cache: Path) -> tuple[Pool, Pool]:
    """Speech and noise pool of a split."""
    collection = Collection(corpus=str(corpus))
    speech, noise = (collection.open(split, kind, RATE, cache) for kind in ("speech", "noise"))
    return speech, noise


def real_or_made(folder: Path) -> Path:
    """The mini corpus, or a made-up one in a folder where there is no mini corpus."""
    return MINI if (MINI / "manifest.csv").is_file() else make_corpus(folder)


def read_manifest(corpus: Path) -> list[Clip]:
    """Rows of a prepared corpus's manifest, in file order."""
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return [Clip(**{**row, "seconds": float(row["seconds"])}) for row in csv.DictReader(file)]
