"""dns-challenge: the folders that the DNS Challenge's download scripts leave, split by reader and recording.

The data are hundreds of gigabytes and come by Microsoft's own scripts; this recipe takes what of it is there:
``diffgmm prepare dns-challenge --downloads DIR``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_modules.corpora.recipe import Entry, audio_below, described, share, short_hash

NAME = "dns-challenge"
VALID_SHARE = TEST_SHARE = 0.04

_LANGUAGES = {
    "read_speech": "en",
    "emotional_speech": "en",
    "vctk_wav48_silence_trimmed": "en",
    "french_speech": "fr",
    "french_data": "fr",
    "german_speech": "de",
    "italian_speech": "it",
    "mandarin_speech": "zh",
    "russian_speech": "ru",
    "spanish_speech": "es",
}
_SPEECH_FOLDERS = frozenset(_LANGUAGES) | {"clean", "clean_fullband"}
_NOISE_FOLDERS = frozenset({"noise", "noise_fullband"})
_LEFT_OUT = ("test_set", "testset", "blind", "impulse", "singing", "vocalset", "noisy")

# How the names tell the speaker: audio books, VCTK, CREMA-D, the accents of OpenSLR 61 to 75.
_SPEAKERS = (
    re.compile(r"_(reader_\d+)_"),
    re.compile(r"^([ps]\d{1,3})_\d{3}(?:_mic\d)?$"),
    re.compile(r"^(1\d{3})_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}$"),
    re.compile(r"^SLR\d+_.*_([a-z]{3}_\d{5})_\d+"),
)
_FREESOUND = re.compile(r"^(.+?)_Freesound_(?:validated_)?(.+)_\d+$")


def _speaker(stem: str) -> str | None:
    name = next((candidate for pattern in _SPEAKERS if (candidate := pattern.search(stem))), None)
    return name.group(1) if name else None


def _split(key: str) -> str:
    chance = share(key, NAME)
    return "valid" if chance < VALID_SHARE else "test" if chance < VALID_SHARE + TEST_SHARE else "train"


def _sort(inside: PurePosixPath) -> str:
    """``speech``, ``noise`` or nothing, by the folders that a file lies in."""
    folders = [part.lower() for part in inside.parts[:-1]]
    if any(word in folder for folder in folders for word in _LEFT_OUT):
        return ""
    if not _NOISE_FOLDERS.isdisjoint(folders):
        return "noise"
    return "" if _SPEECH_FOLDERS.isdisjoint(folders) else "speech"


def _speech(file: Path, inside: PurePosixPath) -> Entry:
    language = next((_LANGUAGES[part] for part in inside.parts if part in _LANGUAGES), "")
    speaker = _speaker(inside.stem)
    split = _split(speaker) if speaker else "train"
    group = speaker or f"unknown_{inside.parent.name}"
    stem = inside.stem if speaker else f"{inside.stem}_{short_hash(str(inside))}"
    return Entry(file, split, "speech", group, stem, language, source=NAME, member=str(inside))


def _noise(file: Path, inside: PurePosixPath) -> Entry:
    named = _FREESOUND.match(inside.stem)
    category, recording = named.groups() if named else ("audioset", inside.stem)
    split = _split(recording)
    return Entry(file, split, "noise", category, inside.stem, source=NAME, member=str(inside))


def _entries(folder: Path, variant: str) -> Iterator[Entry]:
    for file, inside in audio_below(folder):
        sort = _sort(inside)
        if sort:
            yield _speech(file, inside) if sort == "speech" else _noise(file, inside)


RECIPE = described(NAME, entries=_entries)
