"""The manifest of a corpus: one row per clip."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from data_modules.errors import DataError
from data_modules.pools.sources import KINDS, SPLITS
from diffgmm.utils.files import replacing

__all__ = ["SPLITS", "Clip", "minutes_table", "read_manifest", "summary_table", "write_manifest"]


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


_ORDER = (*KINDS, "clean", "noisy")
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


def minutes_table(clips: Iterable[Clip]) -> str:
    """Clips and minutes per split, kind and group, as aligned text."""
    totals: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    for clip in clips:
        for group in (clip.group, "all"):
            entry = totals[(clip.split, clip.kind, group)]
            entry[0] += 1
            entry[1] += clip.seconds / 60.0
    order = sorted(totals, key=lambda k: (SPLITS.index(k[0]), _ORDER.index(k[1]), k[2] == "all", k[2]))
    lines = [f"{'split':6} {'kind':7} {'group':20} {'clips':>6} {'minutes':>8}"]
    lines += [f"{k[0]:6} {k[1]:7} {k[2]:20} {totals[k][0]:6.0f} {totals[k][1]:8.1f}" for k in order]
    return "\n".join(lines)


def summary_table(clips: Iterable[Clip]) -> str:
    """Clips, hours, speakers or categories, and languages per split and kind, as aligned text."""
    rows: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        rows[(clip.split, clip.kind)].append(clip)
    lines = [f"{'split':6} {'kind':7} {'clips':>7} {'hours':>8} {'groups':>15}  languages"]
    for split, kind in sorted(rows, key=lambda k: (SPLITS.index(k[0]), _ORDER.index(k[1]))):
        found = rows[(split, kind)]
        groups = len({clip.group for clip in found})
        what = "categories" if kind == "noise" else "speakers"
        languages = " ".join(sorted({clip.language for clip in found} - {""}))
        hours = sum(clip.seconds for clip in found) / 3600
        line = f"{split:6} {kind:7} {len(found):7} {hours:8.2f} {f'{groups} {what}':>15}  {languages}"
        lines.append(line.rstrip())
    return "\n".join(lines)
