"""A corpus of two small archives, made of the mini corpus: its recipe, and the `diffgmm` that knows it.

Run as a program it is `diffgmm` with the recipe "tiny", whose sources the variable TINY names.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from data_modules.corpora import index
from data_modules.corpora.fetch.checksums import checksum_of
from data_modules.corpora.recipe import Entry, Recipe, Source
from data_modules.mini import mini_corpus

VOICES, NOISES = "voices.zip", "noises.tar.gz"


def _sources(variant: str) -> list[Source]:
    return [Source(**row) for row in json.loads(os.environ["TINY"])]


def _entries(folder: Path, variant: str) -> Iterator[Entry]:
    for archive, kind in ((VOICES, "speech"), (NOISES, "noise")):
        for file in sorted((folder / archive).rglob("*.*")):
            split, group = file.relative_to(folder / archive).parts[:2]
            member = f"{split}/{file.name}"
            yield Entry(file, split, kind, group, file.stem, "ru", source=archive, member=member)


RECIPE = Recipe(
    name="tiny",
    title="a few clips",
    homepage="https://example.org/tiny",
    licence="CC-BY-4.0",
    citation="Nobody, 2024",
    hours={"few": 0.0, "huge": 1e9},
    download_bytes={"few": 1000, "huge": 10**16},
    sources=_sources,
    entries=_entries,
    variants=("few", "huge"),
    unique=True,
)


def voices(copies: int = 1) -> dict[str, bytes]:
    """24-bit stereo and float files among them, and what is no usable clip."""
    files = {}
    for split, group in (("train", "nsh_male"), ("valid", "carlo"), ("test", "june")):
        for number, path in enumerate(sorted((mini_corpus() / split / "speech" / group).glob("*.flac"))[:8]):
            x, rate = soundfile.read(path, dtype="float32")
            for copy in range(copies):
                files[f"{split}/{group}/{number}-{copy}.wav"] = wav(np.roll(x, copy), rate)
    x, rate = soundfile.read(path, dtype="float32")
    files["train/nsh_male/stereo.wav"] = wav(np.stack([x, 0.5 * x], 1), rate, "PCM_24")
    files["train/nsh_male/float.wav"] = wav(x[::-1], rate, "FLOAT")
    files["train/nsh_male/high.wav"] = wav(np.repeat(x, 3), 48000)
    files["train/nsh_male/bad-empty.wav"] = b""
    files["train/nsh_male/bad-text.wav"] = b"this is no sound"
    files["train/nsh_male/bad-cut.wav"] = wav(x, rate)[:9000]
    files["train/nsh_male/bad-silent.wav"] = wav(0 * x, rate)
    return files


def noises() -> dict[str, bytes]:
    return {
        f"{path.parts[-4]}/{path.parts[-2]}/{path.name}": path.read_bytes()
        for path in sorted(mini_corpus().glob("*/noise/*/*.flac"))
        if path.parts[-2] in ("rain", "saw", "fire")
    }


def wav(x: np.ndarray, rate: int, subtype: str = "PCM_16") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, x, rate, format="WAV", subtype=subtype)
    return out.getvalue()


def make_sources(folder: Path, url: str = "", copies: int = 1) -> list[dict[str, object]]:
    """Write the archives; returns their sources for TINY: the first with a checksum, the second without."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / VOICES, "w") as bundle:
        for name, data in voices(copies).items():
            bundle.writestr(zipfile.ZipInfo(name), data)
    with tarfile.open(folder / NOISES, "w:gz") as tar:
        for name, data in noises().items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    known = {"size": (folder / VOICES).stat().st_size, "checksum": checksum_of(folder / VOICES, "md5")}
    return [{"name": VOICES, "url": f"{url}/{VOICES}", **known}, {"name": NOISES, "url": f"{url}/{NOISES}"}]


def main() -> int:
    """`diffgmm`, with the recipe "tiny"."""
    from diffgmm.cli.main import main as diffgmm

    index.RECIPES["tiny"] = "tiny_corpus"
    return diffgmm()


if __name__ == "__main__":
    sys.exit(main())
