"""Survey of a corpus, as plain data and as text: parts, speakers and grades, noises, licences, levels, leaks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data_modules.corpora.records import Record, Records, sample
from data_modules.errors import some
from data_modules.inspect.clips import Measured, find_leaks, measure
from data_modules.pools.grade import Grade, medians
from diffgmm.utils.processes import in_processes
from diffgmm.utils.text_table import aligned

_SPOKEN = ("speech", "clean")
_QUANTILES = (5, 25, 50, 75, 95)
_LEFT = {"split", "kind", "languages", "speaker", "language", "noise", "licence", "from"}  # columns of names
_ROWS = 60  # of a table; the JSON has them all

Row = dict[str, Any]


def overview(name: str, records: Records) -> Row:
    """Parts, speakers, categories of noise and licences with clips and seconds, in fixed order."""
    groups = _grouped(records.clips, lambda clip: (clip.split, clip.kind, clip.group))
    parts, speakers, noises = list[Row](), list[Row](), list[Row]()
    for (split, kind), clips in by_part(records).items():
        names = {"groups": len({clip.group for clip in clips}), "languages": _named(clips, "language")}
        parts.append({"split": split, "kind": kind, **_sums(clips), **names})
    for (split, kind, group), clips in groups.items():
        if kind in _SPOKEN:
            who = {"speaker": group, "language": " ".join(_named(clips, "language"))}
            speakers.append({**who, "split": split, "kind": kind, **_sums(clips)})
        elif kind == "noise":
            noises.append({"noise": group, "split": split, **_sums(clips)})
    licences: list[Row] = [
        {"licence": licence or "not stated", **_sums(clips), "sources": _named(clips, "source")}
        for licence, clips in _grouped(records.clips, lambda clip: clip.licence).items()
    ]
    unreadable = [{"file": file, "reason": reason} for file, reason in records.unreadable]
    tables = {"parts": parts, "speakers": speakers, "noises": noises}
    licences.sort(key=lambda row: -row["seconds"])
    return {"corpus": name, **_sums(records.clips), **tables, "licences": licences, "unreadable": unreadable}


def survey(
    name: str, records: Records, clips: int = 0, check: bool = False, workers: int | None = None
) -> Row:
    """The overview with levels and grades of the clips and, if asked for, leaks between the splits.

    Args:
        name: of the corpus.
        records: its clips.
        clips: how many of each split and kind to measure; 0: all.
        check: measure all and look for leaks.
        workers: processes; None: one per core.
    """
    parts = by_part(records)
    most = 0 if check else clips
    chosen = [clip for part in parts.values() for clip in (sample(part, most) if most else part)]
    measured: dict[Record, Measured] = {}
    results = in_processes(measure, chosen, workers=workers, title="measure")
    for clip, result in zip(chosen, results, strict=True):
        if isinstance(result, str):
            records.unreadable.append((clip.path, result))
        else:
            measured[clip] = result
    levels = [
        {"split": split, "kind": kind, **_levels([measured[clip] for clip in part if clip in measured])}
        for (split, kind), part in parts.items()
    ]
    leaks = [
        {"what": leak.what, "speaker": leak.first.group if leak.what == "speaker" else "",
         "first_split": leak.first.split, "first": leak.first.path,
         "second_split": leak.second.split, "second": leak.second.path}
        for leak in (find_leaks(measured.items()) if check else ())
    ]  # fmt: skip
    figures = {"levels": levels, "grades": _grades(measured), "leaks": leaks if check else None}
    return overview(name, records) | figures


def by_part(records: Records) -> dict[tuple[str, str], list[Record]]:
    """The clips of each split and kind, in the order training, validation, test."""
    return _grouped(records.clips, lambda clip: (clip.split, clip.kind))


def _grouped(clips: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = defaultdict(list)
    for clip in clips:
        groups[key(clip)].append(clip)
    return dict(groups)


def _sums(clips: Sequence[Record]) -> Row:
    return {"clips": len(clips), "seconds": round(math.fsum(clip.seconds for clip in clips), 3)}


def _named(clips: Sequence[Record], what: str) -> list[str]:
    return sorted({getattr(clip, what) for clip in clips} - {""})


def _levels(measured: Sequence[Measured]) -> Row:
    """Quantiles of the active levels in dBFS, and how many clips are silent or reach full scale."""
    finite = [facts.level for facts in measured if math.isfinite(facts.level)]
    quantiles = np.percentile(finite, _QUANTILES).round(2).tolist() if finite else [None] * len(_QUANTILES)
    peaks = [facts.peak for facts in measured]
    counts = {"silent": peaks.count(0.0), "clipping": sum(peak >= 1.0 for peak in peaks)}
    level = {f"p{at:02d}": value for at, value in zip(_QUANTILES, quantiles, strict=True)}
    return {"measured": len(measured), **counts, "level": level}


def _grades(measured: Mapping[Record, Measured]) -> list[Row]:
    """Median grade of each speaker (`data_modules.pools.grade`), those with the loudest pauses first."""
    graded = [clip for clip, facts in measured.items() if facts.grade is not None]
    rows = []
    for (split, group), clips in _grouped(graded, lambda clip: (clip.split, clip.group)).items():
        table = np.array([measured[clip].grade for clip in clips])
        values = medians(table, np.zeros(len(clips), dtype=np.int64), 1)[0].tolist()
        grade = {
            field: None if math.isnan(value) else round(value, digits)
            for field, value, digits in zip(Grade._fields, values, (1, 4, 0, 6), strict=True)
        }
        rows.append({"speaker": group, "split": split, "measured": len(clips), **grade})
    return sorted(rows, key=lambda row: -math.inf if row["pause"] is None else row["pause"], reverse=True)


def render(survey: Row, root: str = "") -> str:
    """The survey, or an overview, as tables; paths of leaks below `root` are given from there."""
    tables: list[list[Row]] = [
        _columns(survey["parts"], "split", "kind", "clips", "hours", "groups", "languages"),
        _columns(survey["speakers"], "speaker", "language", "split", "kind", "clips", "minutes"),
        _noises(survey["noises"]),
        _columns(survey["licences"], "licence", "clips", "minutes", "from"),
        [
            _only(row, "split", "kind")
            | {"level, dBFS": row["measured"]}
            | {f"{name[1:].lstrip('0')}%": _text(value) for name, value in row["level"].items()}
            | {"silent": row["silent"], "full scale": row["clipping"]}
            for row in survey.get("levels", ())
        ],
        [
            _only(row, "speaker", "split")
            | {"clips": row["measured"], "pauses, dB": _text(row["pause"], 1)}
            | {"gated, %": _text(row["gated"], 1, 100), "band, Hz": _text(row["bandwidth"])}
            | {"clipped, ppm": _text(row["clipped"], 0, 1e6)}
            for row in survey.get("grades", ())
        ],
    ]
    head = f"{survey['corpus']}: {survey['clips']} clips, {survey['seconds'] / 3600:.2f} h"
    blocks = [head, *map(_table, tables)]
    if survey["unreadable"]:
        lines = [f"  {row['file']}: {row['reason']}" for row in survey["unreadable"]]
        blocks.append("\n".join([f"{len(lines)} file(s) can't be read:", *_cut(lines, 10)]))
    if "leaks" in survey:
        blocks.append(_leaks(survey["leaks"], root))
    return "\n\n".join(block for block in blocks if block)


_MADE: dict[str, Callable[[Row], str]] = {
    "hours": lambda row: f"{row['seconds'] / 3600:.2f}",
    "minutes": lambda row: f"{row['seconds'] / 60:.1f}",
    "languages": lambda row: " ".join(row["languages"]),
    "from": lambda row: some(row["sources"], 3),
}
"""Columns of the text that the data have otherwise."""


def _only(row: Row, *names: str) -> Row:
    return {name: _MADE[name](row) if name in _MADE else row[name] for name in names}


def _columns(rows: Sequence[Row], *names: str) -> list[Row]:
    return [_only(row, *names) for row in rows]


def _noises(rows: Sequence[Row]) -> list[Row]:
    """A line for each category with the minutes of each split."""
    lines: dict[str, Row] = {}
    absent = {f"{row['split']} min": "-" for row in rows}
    for row in sorted(rows, key=lambda row: row["noise"]):
        line = lines.setdefault(row["noise"], {"noise": row["noise"], "clips": 0, **absent})
        line["clips"] += row["clips"]
        line[f"{row['split']} min"] = _only(row, "minutes")["minutes"]
    return list(lines.values())


def _leaks(leaks: Sequence[Row] | None, root: str) -> str:
    if leaks is None:
        return "leaks between splits: not looked for; --check does"
    if not leaks:
        return "no leaks: no speaker, file or recording is in two splits"
    lines = []
    for leak in leaks:
        what = f"speaker {leak['speaker']}" if leak["what"] == "speaker" else f"same {leak['what']}"
        clips = (f"\n    {leak[f'{side}_split']}: {leak[side]}" for side in ("first", "second"))
        text = f"  {what}{''.join(clips)}"
        lines.append(text.replace(f"{root}/", "") if root else text)
    return "\n".join([f"{len(leaks)} leak(s) between splits:", *_cut(lines, 40)])


def _text(value: float | None, digits: int = 0, factor: float = 1.0) -> str:
    return "-" if value is None else f"{factor * value:.{digits}f}"


def _cut(lines: Sequence[str], most: int) -> list[str]:
    """The first lines, and how many more there are."""
    return [*lines[:most], *([f" and {len(lines) - most} more"] if len(lines) > most else [])]


def _table(rows: Sequence[Row]) -> str:
    """Cells under their heads, bounded in length; nothing without rows."""
    if not rows:
        return ""
    cells = [[*rows[0]], *([str(cell) for cell in row.values()] for row in rows)]
    head, *lines = aligned(cells, {number for number, head in enumerate(rows[0]) if head in _LEFT})
    return "\n".join([head, *_cut(lines, _ROWS)])
