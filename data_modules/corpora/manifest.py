"""The manifest of a corpus: one row per clip."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from diffgmm.utils.files import replacing


@dataclass(frozen=True)
class Clip:
    """One clip. `path` is relative to the corpus, with "/"; `group` is the speaker or the noise category.

    `source` is package and version, `member` the file's name inside it; `sha256` is that of the FLAC file.
    """

    path: str
    split: str
    kind: str
    group: str
    language: str
    source: str
    licence: str
    seconds: float
    sha256: str
    member: str = ""


_COLUMNS = [field.name for field in fields(Clip)]


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write the rows as CSV, sorted by path; the file appears whole or not at all."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for clip in sorted(clips, key=lambda clip: clip.path):
            writer.writerow({**asdict(clip), "seconds": f"{clip.seconds:.4f}"})
