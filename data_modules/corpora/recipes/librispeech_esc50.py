"""librispeech-esc50: LibriSpeech voices and ten ESC-50 noises at 8 kHz, as in V. Belz, "Speech-enhancement" (2019).

Ten hours of speech train, one validates, one tests; which utterances is a function of their names alone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_modules.corpora.layout import audio_below, clip_path, share, sorted_entries
from data_modules.corpora.recipe import Entry, Recipe, Source
from data_modules.errors import DataError
from diffgmm.audio import AudioError, probe

NAME = "librispeech-esc50"
CLASSES = (
    "brushing_teeth",
    "church_bells",
    "clock_alarm",
    "clock_tick",
    "fireworks",
    "footsteps",
    "hand_saw",
    "insects",
    "snoring",
    "vacuum_cleaner",
)
_FOLD_SPLITS = {"1": "train", "2": "train", "3": "train", "4": "valid", "5": "test"}
_ESC50 = Source("ESC-50-master.zip", "https://github.com/karolpiczak/ESC-50/archive/master.zip")
_ESC50_BYTES = 646_000_000

# LibriSpeech's archives: size and MD5.
_MD5_LIST = "https://www.openslr.org/resources/12/md5sum.txt"
_SPEECH: dict[str, tuple[int, str]] = {
    "train-clean-100": (6_387_309_499, "2a93770f6d5c6c964bc36631d331a522"),
    "dev-clean": (337_926_286, "42e2234ba48799c1f50f24a7926300a1"),
    "test-clean": (346_663_984, "32fa31d27d2e1cad72775fee3f4849a9"),
}
# Variant -> split -> (archive, hours of speech). In the small one two splits share test-clean, half its readers each.
_PLAN: dict[str, dict[str, tuple[str, float]]] = {
    "10h": {"train": ("train-clean-100", 10.0), "valid": ("dev-clean", 1.0), "test": ("test-clean", 1.0)},
    "small": {"train": ("dev-clean", 5.0), "valid": ("test-clean", 1.0), "test": ("test-clean", 1.0)},
}


def _archives(variant: str) -> list[str]:
    return list(dict.fromkeys(archive for archive, _ in _PLAN[variant].values()))


def _sources(variant: str) -> list[Source]:
    speech = [
        Source(
            f"{archive}.tar.gz",
            f"https://www.openslr.org/resources/12/{archive}.tar.gz",
            _SPEECH[archive][0],
            f"md5:{_SPEECH[archive][1]}",
            _MD5_LIST,
        )
        for archive in _archives(variant)
    ]
    return [*speech, _ESC50]


def _wanted(source: str, member: str) -> bool:
    path = PurePosixPath(member)
    return (
        path.suffix == ".wav" or path.name == "esc50.csv" if source == _ESC50.name else path.suffix == ".flac"
    )


def _seconds(file: Path) -> float:
    try:
        info = probe(file)
    except AudioError:
        return 0.0  # the conversion names it and leaves it out
    return info.frames / info.sample_rate


def _shuffled(names: Iterator[str] | list[str]) -> list[str]:
    return sorted(names, key=lambda name: (share(name, NAME), name))


def _speech(folder: Path, variant: str, split: str) -> Iterator[Entry]:
    """Utterances up to the hours of the split: one of each reader in turn, in an order that hashes decide."""
    archive, hours = _PLAN[variant][split]
    readers: dict[str, dict[str, tuple[Path, PurePosixPath]]] = {}
    for file, inside in audio_below(folder / f"{archive}.tar.gz"):
        readers.setdefault(inside.stem.split("-")[0], {})[inside.stem] = (file, inside)
    chosen = _shuffled(list(readers))
    sharing = [part for part, (other, _) in _PLAN[variant].items() if other == archive]
    if len(sharing) > 1:
        chosen = chosen[sharing.index(split) :: len(sharing)]
    queues = {reader: _shuffled(list(readers[reader])) for reader in chosen}
    left = hours * 3600.0
    for turn in range(max(map(len, queues.values()), default=0)):
        for reader in chosen:
            if left <= 0.0:
                return
            if turn < len(queues[reader]):
                stem = queues[reader][turn]
                file, inside = readers[reader][stem]
                left -= _seconds(file)
                path = clip_path(split, "speech", reader, stem)
                yield Entry(
                    file,
                    path,
                    split,
                    "speech",
                    reader,
                    "en",
                    "CC-BY-4.0",
                    f"LibriSpeech {archive}",
                    str(inside),
                )


def _noise(folder: Path) -> Iterator[Entry]:
    root = folder / _ESC50.name
    tables = sorted(root.glob("**/meta/esc50.csv"))
    if not tables:
        raise DataError(f"{root}: no meta/esc50.csv; this is not the ESC-50 archive")
    audio = tables[0].parents[1] / "audio"
    with tables[0].open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            if row["category"] not in CLASSES:
                continue
            split, name = _FOLD_SPLITS[row["fold"]], row["filename"]
            if not (audio / name).is_file():
                raise DataError(f"{tables[0]}: names {name}, which is not in {audio}; get the archive again")
            path = clip_path(split, "noise", row["category"], Path(name).stem)
            licence = "CC-BY-3.0" if row["esc10"] == "True" else "CC-BY-NC-3.0"
            yield Entry(
                audio / name, path, split, "noise", row["category"], "", licence, "ESC-50", f"audio/{name}"
            )


def _entries(folder: Path, variant: str) -> list[Entry]:
    speech = [entry for split in _PLAN[variant] for entry in _speech(folder, variant, split)]
    return sorted_entries([*speech, *_noise(folder)], NAME)


RECIPE = Recipe(
    name=NAME,
    title="LibriSpeech voices and ten ESC-50 noises at 8 kHz: Belz's setting, 10 h + 1 h + 1 h of speech",
    homepage="https://github.com/vbelz/Speech-enhancement",
    licence="CC-BY-4.0 (LibriSpeech), CC-BY-NC-3.0 (ESC-50; clock_tick CC-BY-3.0)",
    citation="V. Panayotov et al., LibriSpeech: an ASR corpus based on public domain audio books, ICASSP 2015; "
    "K. J. Piczak, ESC: dataset for environmental sound classification, ACM Multimedia 2015",
    hours={"10h": 12.6, "small": 7.6},
    download_bytes={
        variant: sum(_SPEECH[archive][0] for archive in _archives(variant)) + _ESC50_BYTES
        for variant in _PLAN
    },
    sources=_sources,
    entries=_entries,
    variants=tuple(_PLAN),
    sample_rate=8000,
    wanted=_wanted,
    unpacked_bytes={
        variant: sum(_SPEECH[archive][0] for archive in _archives(variant)) + 10**9 for variant in _PLAN
    },
    notes=(
        f"Noise classes: {', '.join(CLASSES)}; ESC-50's folds 1-3 train, 4 validates, 5 tests (a fold never shares a "
        "recording with another).",
        "Speech: train-clean-100 trains (10 h), dev-clean validates (1 h), test-clean tests (1 h); no reader "
        "is in two of them. Every reader takes part, in turns, until the hours are full.",
        "small: dev-clean trains (5 h), the readers of test-clean validate or test (1 h each); for trying things.",
        "Belz mixes at noise levels 0.2 to 0.8 in windows of 8064 samples.",
        "GitHub makes ESC-50's archive on request and states no checksum; the first download records it.",
    ),
)
