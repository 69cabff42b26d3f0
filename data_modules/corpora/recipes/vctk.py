"""vctk: the VCTK corpus 0.92, read English speech of 110 speakers, split by speaker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_modules.corpora.layout import audio_below, clip_path, named_split, sorted_entries
from data_modules.corpora.recipe import Entry, Recipe, Source

NAME = "vctk"
TEST_SPEAKERS = ("p232", "p257", "p234", "p237", "p245", "p248", "p294", "p302", "p314", "p326")
VALID_SPEAKERS = ("p226", "p286", "p287", "p238", "p251", "p253", "p311", "p335")

_FILE = "535f4286-e54c-4038-838c-a02285e32cb2"
_API = "https://datashare.ed.ac.uk/server/api/core/bitstreams"
_BYTES = 11_747_302_977
_SOURCE = Source(
    "VCTK-Corpus-0.92.zip",
    f"{_API}/{_FILE}/content",
    _BYTES,
    "md5:8a6ba2946b36fcbef0212cad601f4bfa",
    f"{_API}/{_FILE} (checkSum in the record of the file, handle 10283/3443)",
)


def _wanted(source: str, member: str) -> bool:
    return member.endswith("_mic1.flac")


def _clips(folder: Path) -> Iterator[Entry]:
    split_of = named_split(VALID_SPEAKERS, TEST_SPEAKERS)
    for file, inside in audio_below(folder / _SOURCE.name):
        if _wanted(_SOURCE.name, inside.name):
            speaker = inside.stem.split("_")[0]
            split = split_of(speaker)
            path = clip_path(split, "speech", speaker, inside.stem)
            yield Entry(file, path, split, "speech", speaker, "en", source=_SOURCE.name, member=str(inside))


RECIPE = Recipe(
    name=NAME,
    title="VCTK 0.92: English sentences read by 110 speakers of many accents, clean",
    homepage="https://doi.org/10.7488/ds/2645",
    licence="CC-BY-4.0",
    citation="J. Yamagishi, C. Veaux and K. MacDonald, CSTR VCTK Corpus: English multi-speaker corpus for CSTR voice "
    "cloning toolkit (version 0.92), University of Edinburgh, 2019, doi:10.7488/ds/2645",
    hours={"": 44.0},
    download_bytes={"": _BYTES},
    sources=lambda variant: [_SOURCE],
    entries=lambda folder, variant: sorted_entries(list(_clips(folder)), NAME),
    sample_rate=16000,
    wanted=_wanted,
    unpacked_bytes={"": 8_000_000_000},
    notes=(
        f"There is no official split. Test: {', '.join(TEST_SPEAKERS)}; validation: {', '.join(VALID_SPEAKERS)}; the "
        "others train.",
        "p232 and p257 test and p226, p286 and p287 validate, as in VoiceBank+DEMAND, so that a model trained on this "
        "corpus may be tested there.",
        "Only microphone 1 is taken: microphone 2 is the same speech once more, and two speakers lack it.",
        "The hours are about those of one microphone.",
        "Speech only: give it beside noise, as corpus: [vctk, demand].",
    ),
)
