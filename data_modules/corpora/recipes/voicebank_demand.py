"""voicebank-demand: the field's benchmark, pairs of clean and noisy speech (28-speaker training set).

The variant names the two speakers set aside for validation, because papers differ in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_modules.corpora.layout import audio_below, clip_path, sorted_entries
from data_modules.corpora.recipe import Entry, Recipe, Source

NAME = "voicebank-demand"
VALID_SPEAKERS = {"p226+p287": ("p226", "p287"), "p286+p287": ("p286", "p287")}

# Archive -> kind, whether it is the test set, the publisher's id of the file, its size, its MD5. The publisher shows
# the sizes of the small ones rounded only, so they are left open.
_ARCHIVES: dict[str, tuple[str, bool, str, int | None, str]] = {
    "clean_trainset_28spk_wav": (
        "clean",
        False,
        "245452b6-6235-44b6-a6f9-e7eb19797769",
        2_486_057_279,
        "d2d5a45ec32f8fcbf201bde0447e20ba",
    ),
    "noisy_trainset_28spk_wav": (
        "noisy",
        False,
        "ecb5a102-bb00-46d3-8af5-40c79823b837",
        2_830_205_201,
        "1fca9e8bafb8cd069f6653c6d92f9e9c",
    ),
    "clean_testset_wav": (
        "clean",
        True,
        "dec213d3-bf57-4777-9663-c24bdce92d5e",
        None,
        "34eb1c0ba7ef667e9b966866c542fc16",
    ),
    "noisy_testset_wav": (
        "noisy",
        True,
        "13c1bfbf-14a6-41db-9b41-8f7310f01ad5",
        None,
        "fb1b86caa31e8ba5b506c0c64da9aab5",
    ),
}
_API = "https://datashare.ed.ac.uk/server/api/core/bitstreams"
_BYTES = 2_486_057_279 + 2_830_205_201 + 154_300_000 + 170_600_000


def _sources(variant: str) -> list[Source]:
    return [
        Source(
            f"{archive}.zip",
            f"{_API}/{number}/content",
            size,
            f"md5:{md5}",
            f"{_API}/{number} (checkSum in the record of the file, handle 10283/2791)",
        )
        for archive, (_, _, number, size, md5) in _ARCHIVES.items()
    ]


def _wanted(source: str, member: str) -> bool:
    path = PurePosixPath(member)
    return path.suffix == ".wav" and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _clips(folder: Path, variant: str) -> Iterator[Entry]:
    for archive, (kind, is_test, *_) in _ARCHIVES.items():
        for file, inside in audio_below(folder / f"{archive}.zip"):
            speaker = inside.stem.split("_")[0]
            training = "valid" if speaker in VALID_SPEAKERS[variant] else "train"
            split = "test" if is_test else training
            path = clip_path(split, kind, speaker, inside.stem)
            yield Entry(file, path, split, kind, speaker, "en", source=archive, member=str(inside))


RECIPE = Recipe(
    name=NAME,
    title="VoiceBank+DEMAND: 11,572 + 824 pairs of clean and noisy English speech, the usual benchmark",
    homepage="https://datashare.ed.ac.uk/handle/10283/2791",
    licence="CC-BY-4.0",
    citation="C. Valentini-Botinhao, Noisy speech database for training speech enhancement algorithms and TTS "
    "models, University of Edinburgh, 2017, doi:10.7488/ds/2117",
    hours=dict.fromkeys(VALID_SPEAKERS, 10.0),
    download_bytes=dict.fromkeys(VALID_SPEAKERS, _BYTES),
    sources=_sources,
    entries=lambda folder, variant: sorted_entries(list(_clips(folder, variant)), NAME),
    variants=tuple(VALID_SPEAKERS),
    sample_rate=16000,
    paired=True,
    wanted=_wanted,
    unpacked_bytes=dict.fromkeys(VALID_SPEAKERS, 2 * 10 * 3600 * 96_000),
    notes=(
        "Train and validation are the 28-speaker training set (SNR 0, 5, 10, 15 dB); the two speakers that the "
        "variant names validate, the other 26 train.",
        "Test is the official test set: p232 and p257 (SNR 2.5, 7.5, 12.5, 17.5 dB), with noises of its own.",
        "Published at 48 kHz, converted to 16 kHz as in the literature; the hours are those of the pairs.",
        "Use it with data_modules.paired.PairedFolders and corpus: voicebank-demand.",
    ),
)
