"""The manifest of a corpus: one row per clip."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from data_modules.errors import DataError
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


def read_manifest(corpus: Path) -> list[Clip]:
    """Rows of `<corpus>/manifest.csv`, in file order.

    Raises:
        DataError: there is no manifest, or it lacks a column or holds a value that is no number of seconds.
    """
    path = corpus / "manifest.csv"
    if not path.is_file():
        raise DataError(f"{path}: no such file; {corpus} is no prepared corpus")
    clips: list[Clip] = []
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            missing = [
                name for name in _COLUMNS if name != "member" and name not in (reader.fieldnames or [])
            ]
            if missing:
                raise DataError(f"{path}: lacks the column {missing[0]}; prepare the corpus again")
            for row in reader:
                values = {name: row[name] or "" for name in _COLUMNS if name in row}
                clip = Clip(**{**values, "seconds": float(row["seconds"])})  # type: ignore[arg-type]
                if not 0.0 <= clip.seconds < math.inf:
                    raise ValueError(f"{clip.seconds} seconds")
                clips.append(clip)
    except DataError:
        raise
    except (TypeError, ValueError, csv.Error) as error:  # also bytes that are no text
        raise DataError(f"{path}: line {len(clips) + 2} is damaged; prepare the corpus again") from error
    return clips
