"""demand: DEMAND, five minutes of background noise from each of 18 places, split by place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_modules.corpora.layout import audio_below, clip_path, named_split, sorted_entries
from data_modules.corpora.recipe import Entry, Recipe, Source

NAME = "demand"
RECORD = "https://zenodo.org/records/1227121"
TEST_PLACES = ("DLIVING", "OOFFICE", "SCAFE", "SPSQUARE", "TBUS")
VALID_PLACES = ("DWASHING", "NPARK", "OHALLWAY")
VARIANTS = ("ch01", "all-channels")

# Place -> size and MD5 of its 16 kHz archive. There is no SCAFE_16k.zip: that place is published at 48 kHz only.
_PLACES: dict[str, tuple[int, str]] = {
    "DKITCHEN": (110_501_049, "7ffbf52d7f4699f96927846103dc8788"),
    "DLIVING": (80_170_627, "46741384d9e434a0bd8b3ec1830b6052"),
    "DWASHING": (102_343_250, "7e5ee9437ce9409c5f9a779b6212a240"),
    "NFIELD": (86_536_782, "a740046c6f4e174e16f5d568aaec5024"),
    "NPARK": (86_029_332, "80f1385a34d7f1705758926b57f138ce"),
    "NRIVER": (98_689_565, "54264db61d3fe073fb81f2e40e0d19b5"),
    "OHALLWAY": (77_941_854, "fe918bbb0e63e73d09ba7f4843ef33f1"),
    "OMEETING": (82_703_355, "62f7cfe7fe6d30b7d8a215fe37c2dfd2"),
    "OOFFICE": (88_995_191, "7b61cc2d182d5a654cb9c3101ddd4041"),
    "PCAFETER": (107_431_494, "99927d148128254141a9417d051510bb"),
    "PRESTO": (111_292_815, "b98d2e6854eeebb397f29a8ad7457092"),
    "PSTATION": (119_441_094, "d7448009f6c2aeb6ba570375df1750a3"),
    "SPSQUARE": (110_928_528, "205d0e7b8fe74504a2f8d252fc414b9e"),
    "STRAFFIC": (118_572_691, "2efa87262f272bbf9ba578088e81939c"),
    "TBUS": (128_916_709, "706b11b0d8504f9f3b3f3211e91b3863"),
    "TCAR": (130_045_975, "4d930012796bd298932245a26189f973"),
    "TMETRO": (126_589_090, "95daf4df678e13b120e14211e6d89571"),
}
_CAFE_BYTES = 326_000_000  # as its page shows it, rounded


def _sources(variant: str) -> list[Source]:
    def source(name: str, size: int | None = None, checksum: str | None = None) -> Source:
        where = f"{RECORD} (MD5 beside each file)" if checksum else ""
        return Source(name, f"{RECORD}/files/{name}", size, checksum, where)

    sources = [source(f"{place}_16k.zip", size, f"md5:{md5}") for place, (size, md5) in _PLACES.items()]
    return [*sources, source("SCAFE_48k.zip")]


def _clips(folder: Path, variant: str) -> Iterator[Entry]:
    split_of = named_split(VALID_PLACES, TEST_PLACES)
    for source in _sources(variant):
        place = source.name.split("_")[0]
        split = split_of(place)
        for file, inside in audio_below(folder / source.name):
            if variant == "all-channels" or inside.stem == "ch01":
                path = clip_path(split, "noise", place, inside.stem)
                yield Entry(file, path, split, "noise", place, source=source.name, member=str(inside))


RECIPE = Recipe(
    name=NAME,
    title="DEMAND: background noise of 18 places (homes, nature, offices, public places, streets, vehicles)",
    homepage="https://doi.org/10.5281/zenodo.1227121",
    licence="CC-BY-SA-3.0",
    citation="J. Thiemann, N. Ito and E. Vincent, DEMAND: a collection of multi-channel recordings of acoustic noise "
    "in diverse environments, 21st International Congress on Acoustics, 2013",
    hours={"ch01": 1.5, "all-channels": 24.0},
    download_bytes=dict.fromkeys(VARIANTS, sum(size for size, _ in _PLACES.values()) + _CAFE_BYTES),
    sources=_sources,
    entries=lambda folder, variant: sorted_entries(list(_clips(folder, variant)), NAME),
    variants=VARIANTS,
    sample_rate=16000,
    unpacked_bytes=dict.fromkeys(VARIANTS, 16 * 300 * (17 * 32_000 + 96_000)),
    wanted=lambda source, member: PurePosixPath(member).suffix == ".wav",
    notes=(
        "Split by place: those of VoiceBank+DEMAND's test set (DLIVING, OOFFICE, SCAFE, SPSQUARE, TBUS) test, "
        "DWASHING, NPARK and OHALLWAY validate, the other ten train.",
        "The 16 channels of a place are one recording by 16 microphones: ch01 is enough, unless you want them all.",
        "SCAFE is published at 48 kHz only and is resampled; no checksum of it is known here, so the first download "
        "records it.",
        "Noise only: give it beside speech, as corpus: [vctk, demand].",
    ),
)
