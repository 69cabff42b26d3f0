"""musan: MUSAN's speech and noise (and, if wanted, its music as noise)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_modules.corpora.layout import audio_below, clip_path, named_split, share, sorted_entries
from data_modules.corpora.recipe import Entry, Recipe, Source

NAME = "musan"
VARIANTS = ("speech-noise", "with-music")
TEST_LANGUAGES = ("french", "japanese", "portuguese", "russian", "spanish")
VALID_LANGUAGES = ("dutch", "german", "hungarian", "italian", "polish")
_CODES = {
    "english": "en", "french": "fr", "german": "de", "spanish": "es", "italian": "it", "portuguese": "pt",
    "russian": "ru", "japanese": "ja", "dutch": "nl", "polish": "pl", "hungarian": "hu", "danish": "da",
    "hebrew": "he", "arabic": "ar", "chinese": "zh", "latin": "la", "tagalog": "tl",
}  # fmt: skip

_SOURCE = Source("musan.tar.gz", "https://www.openslr.org/resources/17/musan.tar.gz")
_BYTES = 11_086_114_085


def _wanted(source: str, member: str) -> bool:
    path = PurePosixPath(member)
    return path.suffix == ".wav" or path.name == "ANNOTATIONS"


def _languages(folder: Path) -> dict[str, str]:
    """Clip -> language, from the lines ``speech-librivox-0000 f english`` of the annotations."""
    languages = {}
    for table in sorted(folder.glob("**/speech/*/ANNOTATIONS")):
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if len(words) >= 3:
                languages[words[0]] = words[2].lower()
    return languages


def _clips(folder: Path, variant: str) -> Iterator[Entry]:
    root = folder / _SOURCE.name
    languages = _languages(root)
    by_language = named_split(VALID_LANGUAGES, TEST_LANGUAGES)
    for file, inside in audio_below(root):
        sort = next((part for part in inside.parts if part in ("speech", "noise", "music")), "")
        if sort == "speech":
            language = languages.get(inside.stem, "")
            split, kind, group = by_language(language), "speech", inside.stem
            code = _CODES.get(language, "")
        elif sort == "noise" or (sort == "music" and variant == "with-music"):
            chance = share(inside.stem, NAME)
            split = "train" if chance < 0.8 else "valid" if chance < 0.9 else "test"
            kind, code = "noise", ""
            group = "music" if sort == "music" else inside.parent.name
        else:
            continue
        path = clip_path(split, kind, group, inside.stem)
        yield Entry(file, path, split, kind, group, code, source=_SOURCE.name, member=str(inside))


RECIPE = Recipe(
    name=NAME,
    title="MUSAN: speech in many languages, noises from Freesound and Sound Bible, and music",
    homepage="https://www.openslr.org/17/",
    licence="CC-BY-4.0 (parts are in the public domain; see the LICENSE files in the archive)",
    citation="D. Snyder, G. Chen and D. Povey, MUSAN: a music, speech, and noise corpus, arXiv:1510.08484, 2015",
    hours={"speech-noise": 66.0, "with-music": 109.0},
    download_bytes=dict.fromkeys(VARIANTS, _BYTES),
    sources=lambda variant: [_SOURCE],
    entries=lambda folder, variant: sorted_entries(list(_clips(folder, variant)), NAME),
    variants=VARIANTS,
    sample_rate=16000,
    wanted=_wanted,
    unpacked_bytes=dict.fromkeys(VARIANTS, 109 * 3600 * 32_000),
    notes=(
        "There is no official split, and the readers are not named: speech is split by language instead, so that no "
        f"reader is in two splits unless one reads in two languages. Test: {', '.join(TEST_LANGUAGES)}; validation: "
        f"{', '.join(VALID_LANGUAGES)}; English, the US government's recordings and all others train.",
        "Noise (and music) is split by a hash of the clip's name, 80 / 10 / 10 %.",
        "The publisher states no checksum of the archive (and its size as 11 GB); the first download records one.",
        "Every speech clip counts as a speaker of its own; clips are minutes long.",
    ),
)
