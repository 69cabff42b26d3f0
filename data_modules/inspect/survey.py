"""Survey of a corpus, as plain data and as text: parts, speakers and grades, noises, licences, levels, leaks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from data_modules.corpora.records import Record, Records, sample
from data_modules.inspect.leaks import find_leaks
from data_modules.inspect.measure import Measured, measure
from data_modules.pools.grade import FIELDS, medians
from diffgmm.utils.processes import in_processes
from diffgmm.utils.text_table import aligned

_SPOKEN = ("speech", "clean")
_QUANTILES = (5, 25, 50, 75, 95)
_ROWS = 60  # of a table; the JSON has them all


def overview(name: str, records: Records) -> dict[str, Any]:
    """Parts, speakers, categories of noise and licences with clips and seconds, in fixed order."""
    groups = _grouped(records.clips, lambda clip: (clip.item.split, clip.item.kind, clip.item.group))
    parts = [
        {
            "split": split,
            "kind": kind,
            **_sums(clips),
            "groups": len({clip.item.group for clip in clips}),
            "languages": _named(clip.language for clip in clips),
        }
        for (split, kind), clips in records.by_part().items()
    ]
    speakers = [
        {
            "speaker": group,
            "language": " ".join(_named(clip.language for clip in clips)),
            "split": split,
            "kind": kind,
            **_sums(clips),
        }
        for (split, kind, group), clips in groups.items()
        if kind in _SPOKEN
    ]
    noises = [
        {"noise": group, "split": split, **_sums(clips)}
        for (split, kind, group), clips in groups.items()
        if kind == "noise"
    ]
    licences = [
        {"licence": licence or "not stated", **_sums(clips), "sources": _named(clip.source for clip in clips)}
        for licence, clips in _grouped(records.clips, lambda clip: clip.licence).items()
    ]
    return {
        "corpus": name,
        **_sums(records.clips),
        "parts": parts,
        "speakers": speakers,
        "noises": noises,
        "licences": sorted(licences, key=lambda row: -row["seconds"]),
        "unreadable": [{"file": file, "reason": reason} for file, reason in records.unreadable],
    }


def survey(
    name: str, records: Records, clips: int = 0, check: bool = False, workers: int | None = None
) -> dict[str, Any]:
    """The overview with levels and grades of the clips and, if asked for, leaks between the splits.

    Args:
        name: of the corpus.
        records: its clips.
        clips: how many of each split and kind to measure; 0: all.
        check: measure all and look for leaks.
        workers: processes; None: one per core.
    """
    parts = records.by_part()
    chosen = [
        clip for part in parts.values() for clip in (sample(part, clips) if clips and not check else part)
    ]
    results = in_processes(measure, [clip.item for clip in chosen], workers=workers, title="measure")
    measured: dict[Record, Measured] = {}
    for clip, result in zip(chosen, results, strict=True):
        if isinstance(result, str):
            records.unreadable.append((clip.item.path, result))
        else:
            measured[clip] = result
    leaks = find_leaks({clip.item: facts for clip, facts in measured.items()}) if check else None
    return {
        **overview(name, records),
        "levels": [
            _levels(split, kind, [measured[clip] for clip in part if clip in measured])
            for (split, kind), part in parts.items()
        ],
        "grades": _grades(measured),
        "leaks": None
        if leaks is None
        else [
            {
                "what": leak.what,
                "speaker": leak.first.group if leak.what == "speaker" else "",
                "first_split": leak.first.split,
                "first": leak.first.path,
                "second_split": leak.second.split,
                "second": leak.second.path,
            }
            for leak in leaks
        ],
    }


def _grouped(clips: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = defaultdict(list)
    for clip in clips:
        groups[key(clip)].append(clip)
    return groups


def _sums(clips: Sequence[Record]) -> dict[str, Any]:
    return {"clips": len(clips), "seconds": round(math.fsum(clip.seconds for clip in clips), 3)}


def _named(names: Iterable[str]) -> list[str]:
    return sorted({*names} - {""})


def _levels(split: str, kind: str, measured: Sequence[Measured]) -> dict[str, Any]:
    """Quantiles of the active levels in dBFS, and how many clips are silent or reach full scale."""
    finite = [facts.level for facts in measured if math.isfinite(facts.level)]
    quantiles = np.percentile(finite, _QUANTILES).round(2).tolist() if finite else [None] * len(_QUANTILES)
    return {
        "split": split,
        "kind": kind,
        "measured": len(measured),
        "silent": sum(facts.peak == 0.0 for facts in measured),
        "clipping": sum(facts.peak >= 1.0 for facts in measured),
        "level": {f"p{at:02d}": value for at, value in zip(_QUANTILES, quantiles, strict=True)},
    }


def _grades(measured: dict[Record, Measured]) -> list[dict[str, Any]]:
    """Median grade of each speaker (`data_modules.pools.grade`), those with the loudest pauses first."""
    graded = [clip for clip, facts in measured.items() if facts.grade is not None]
    rows = []
    for (split, group), clips in _grouped(graded, lambda clip: (clip.item.split, clip.item.group)).items():
        table = np.array([[*asdict(measured[clip].grade).values()] for clip in clips])  # type: ignore[arg-type]
        values = medians(table, np.zeros(len(clips), dtype=np.int64), 1)[0].tolist()
        grade = {
            field: None if math.isnan(value) else round(value, digits)
            for field, value, digits in zip(FIELDS, values, (1, 4, 0, 6), strict=True)
        }
        rows.append({"speaker": group, "split": split, "measured": len(clips), **grade})
    return sorted(rows, key=lambda row: -math.inf if row["pause"] is None else row["pause"], reverse=True)


def render(survey: dict[str, Any], root: str = "") -> str:
    """The survey, or an overview, as tables; paths of leaks below `root` are given from there."""
    blocks = [
        f"{survey['corpus']}: {survey['clips']} clips, {survey['seconds'] / 3600:.2f} h",
        _table(
            ("split", "kind", "clips", "hours", "groups", "languages"),
            [
                (row["split"], row["kind"], row["clips"], f"{row['seconds'] / 3600:.2f}",
                 count(row["groups"], row["kind"]), " ".join(row["languages"]))
                for row in survey["parts"]
            ],
            left={0, 1, 5},
        ),
        _table(
            ("speaker", "language", "split", "kind", "clips", "minutes"),
            [(*list(row.values())[:5], _minutes(row)) for row in survey["speakers"]],
            left={0, 1, 2, 3},
        ),
        _noises(survey),
        _table(
            ("licence", "clips", "minutes", "from"),
            [
                (row["licence"], row["clips"], _minutes(row), _some(row["sources"], 3))
                for row in survey["licences"]
            ],
            left={0, 3},
        ),
        _table(
            ("split", "kind", "level, dBFS", *(f"{at}%" for at in _QUANTILES), "silent", "full scale"),
            [
                (row["split"], row["kind"], row["measured"], *(_text(value, 0) for value in row["level"].values()),
                 row["silent"], row["clipping"])
                for row in survey.get("levels", ())
            ],
            left={0, 1},
        ),
        _table(
            ("speaker", "split", "clips", "pauses, dB", "gated, %", "band, Hz", "clipped, ppm"),
            [
                (row["speaker"], row["split"], row["measured"], _text(row["pause"], 1), _text(row["gated"], 1, 100),
                 _text(row["bandwidth"], 0), _text(row["clipped"], 0, 1e6))
                for row in survey.get("grades", ())
            ],
            left={0, 1},
        ),
    ]  # fmt: skip
    if survey["unreadable"]:
        lines = [f"  {row['file']}: {row['reason']}" for row in survey["unreadable"]]
        blocks.append("\n".join([f"{len(lines)} file(s) can't be read:", *_cut(lines, 10)]))
    if "leaks" in survey:
        blocks.append(_leaks(survey["leaks"], root))
    return "\n\n".join(block for block in blocks if block)


def count(groups: int, kind: str) -> str:
    """So many speakers or categories."""
    singular, plural = ("category", "categories") if kind == "noise" else ("speaker", "speakers")
    return f"{groups} {singular if groups == 1 else plural}"


def _noises(survey: dict[str, Any]) -> str:
    """A line for each category with the minutes of each split."""
    splits = list(dict.fromkeys(row["split"] for row in survey["noises"]))
    categories: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in survey["noises"]:
        categories[row["noise"]][row["split"]] = row
    rows = [
        (name, sum(row["clips"] for row in parts.values()),
         *(_minutes(parts[split]) if split in parts else "-" for split in splits))
        for name, parts in sorted(categories.items())
    ]  # fmt: skip
    return _table(("noise", "clips", *(f"{split} min" for split in splits)), rows, left={0})


def _leaks(leaks: Sequence[dict[str, Any]] | None, root: str) -> str:
    if leaks is None:
        return "leaks between splits: not looked for; --check does"
    if not leaks:
        return "no leaks: no speaker, file or recording is in two splits"
    lines = []
    for leak in leaks:
        first, second = (
            f"{leak[f'{side}_split']}: {leak[side].removeprefix(f'{root}/') if root else leak[side]}"
            for side in ("first", "second")
        )
        what = f"speaker {leak['speaker']}" if leak["what"] == "speaker" else f"same {leak['what']}"
        lines.append(f"  {what}\n    {first}\n    {second}")
    return "\n".join([f"{len(leaks)} leak(s) between splits:", *_cut(lines, 40)])


def _minutes(row: dict[str, Any]) -> str:
    return f"{row['seconds'] / 60:.1f}"


def _text(value: float | None, digits: int, factor: float = 1.0) -> str:
    return "-" if value is None else f"{factor * value:.{digits}f}"


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _cut(lines: Sequence[str], most: int) -> list[str]:
    return [*lines[:most], *([f"  and {len(lines) - most} more"] if len(lines) > most else [])]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]], left: set[int]) -> str:
    """A table of bounded length; nothing if it has no rows."""
    if not rows:
        return ""
    lines = aligned([head, *([str(cell) for cell in row] for row in rows[:_ROWS])], left)
    return "\n".join(lines + ([f"and {len(rows) - _ROWS} more"] if len(rows) > _ROWS else []))
