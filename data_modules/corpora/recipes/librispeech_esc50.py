"""librispeech-esc50: LibriSpeech voices and ten ESC-50 noises at 8 kHz, as in V. Belz, "Speech-enhancement" (2019).

Ten hours of speech train, one validates, one tests; which utterances is a function of their names alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_modules.corpora.recipe import Entry, audio_below, csv_rows, described, share
from data_modules.errors import DataError
from diffgmm.audio import AudioError, probe

NAME = "librispeech-esc50"
_ESC50 = "ESC-50-master.zip"


def _seconds(file: Path) -> float:
    try:
        return probe(file).seconds
    except AudioError:
        return 0.0  # the conversion names it and leaves it out


def _shuffled(names: Iterator[str] | list[str]) -> list[str]:
    return sorted(names, key=lambda name: (share(name, NAME), name))


def _speech(folder: Path, variant: str, split: str) -> Iterator[Entry]:
    """Utterances up to the hours of the split: one of each reader in turn, in an order that hashes decide."""
    archive, hours = RECIPE.tables["plan"][variant][split]
    readers: dict[str, dict[str, tuple[Path, PurePosixPath]]] = {}
    for file, inside in audio_below(folder / f"{archive}.tar.gz"):
        readers.setdefault(inside.stem.split("-")[0], {})[inside.stem] = (file, inside)
    chosen = _shuffled(list(readers))
    sharing = [part for part, (other, _) in RECIPE.tables["plan"][variant].items() if other == archive]
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
                about = (f"LibriSpeech {archive}", str(inside))
                yield Entry(file, split, "speech", reader, stem, "en", "CC-BY-4.0", *about)


def _noise(folder: Path) -> Iterator[Entry]:
    root = folder / _ESC50
    if not (tables := sorted(root.glob("**/meta/esc50.csv"))):
        raise DataError(f"{root}: no meta/esc50.csv; this is not the ESC-50 archive")
    audio = tables[0].parents[1] / "audio"
    for row in csv_rows(tables[0]):
        category, name = row["category"], row["filename"]
        if category not in RECIPE.tables["classes"]:
            continue
        if not (audio / name).is_file():
            raise DataError(f"{tables[0]}: names {name}, which is not in {audio}; get the archive again")
        split = RECIPE.tables["folds"][row["fold"]]
        licence = "CC-BY-3.0" if row["esc10"] == "True" else "CC-BY-NC-3.0"
        stem, member = Path(name).stem, f"audio/{name}"
        yield Entry(audio / name, split, "noise", category, stem, "", licence, "ESC-50", member)


def _entries(folder: Path, variant: str) -> Iterator[Entry]:
    for split in RECIPE.tables["plan"][variant]:
        yield from _speech(folder, variant, split)
    yield from _noise(folder)


RECIPE = described(NAME, entries=_entries)
