"""Survey of a corpus as plain data: parts, speakers, noises, licences, levels, leaks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from data_modules.corpora.records import Record, Records
from data_modules.inspect.leaks import Leak
from data_modules.inspect.measure import Measured
from data_modules.pools.grade import FIELDS, medians

LEVEL_BINS = (-80.0, 0.0, 2.0)  # dBFS: from, to, step
SNR_BINS = (-20.0, 80.0, 2.0)  # dB
_SPOKEN = ("speech", "clean")


def overview(name: str, records: Records) -> dict[str, Any]:
    """Parts, speakers, categories of noise and licences with clips and seconds, in fixed order."""
    parts = [
        {
            "split": split,
            "kind": kind,
            **_sums(clips),
            "groups": len({clip.item.group for clip in clips}),
            "languages": sorted({clip.language for clip in clips} - {""}),
        }
        for (split, kind), clips in records.by_part().items()
    ]
    speakers = [
        {
            "speaker": name,
            "split": split,
            "kind": kind,
            "language": " ".join(sorted({clip.language for clip in clips} - {""})),
            **_sums(clips),
        }
        for (split, kind, name), clips in _grouped(records).items()
        if kind in _SPOKEN
    ]
    noises = [
        {"noise": name, "split": split, **_sums(clips)}
        for (split, kind, name), clips in _grouped(records).items()
        if kind == "noise"
    ]
    return {
        "corpus": name,
        **_sums(records.clips),
        "parts": parts,
        "speakers": speakers,
        "noises": noises,
        "licences": _licences(records.clips),
        "unreadable": [{"file": name, "reason": reason} for name, reason in records.unreadable],
    }


def _sums(clips: Sequence[Record]) -> dict[str, Any]:
    return {"clips": len(clips), "seconds": round(math.fsum(clip.seconds for clip in clips), 3)}


def _grouped(records: Records) -> dict[tuple[str, str, str], list[Record]]:
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for clip in records.clips:
        groups[clip.item.split, clip.item.kind, clip.item.group].append(clip)
    return dict(groups)


def _licences(clips: Iterable[Record]) -> list[dict[str, Any]]:
    by_licence: dict[str, list[Record]] = defaultdict(list)
    for clip in clips:
        by_licence[clip.licence].append(clip)
    rows = [
        {
            "licence": licence or "not stated",
            **_sums(licensed),
            "sources": sorted({clip.source for clip in licensed} - {""}),
        }
        for licence, licensed in by_licence.items()
    ]
    return sorted(rows, key=lambda row: -row["seconds"])


def distribution(values: Iterable[float], bins: tuple[float, float, float]) -> dict[str, Any]:
    """Quantiles and histogram of the finite values; those beyond its ends count in the bins at the ends.

    Args:
        values: in dB.
        bins: from, to and step.
    """
    finite = np.array([value for value in values if math.isfinite(value)])
    start, stop, step = bins
    edges = np.arange(start, stop + step / 2, step)
    counts = np.histogram(np.clip(finite, start, stop), edges)[0]
    quantiles = np.percentile(finite, (5, 25, 50, 75, 95)) if len(finite) else [math.nan] * 5
    return {
        "count": len(finite),
        "quantiles": {
            f"p{at:02d}": None if math.isnan(value) else round(float(value), 2)
            for at, value in zip((5, 25, 50, 75, 95), quantiles, strict=True)
        },
        "from": start,
        "step": step,
        "histogram": [int(count) for count in counts],
    }


def levels(
    parts: Mapping[tuple[str, str], Sequence[Record]], measured: Mapping[Record, Measured]
) -> list[dict[str, Any]]:
    """Active levels of each split and kind in dBFS and, of speech, how far it stands above its own noise in dB."""
    rows = []
    for (split, kind), clips in parts.items():
        facts = [measured[clip] for clip in clips if clip in measured]
        row: dict[str, Any] = {
            "split": split,
            "kind": kind,
            "measured": len(facts),
            "silent": sum(clip_facts.peak == 0.0 for clip_facts in facts),
            "clipping": sum(clip_facts.peak >= 1.0 for clip_facts in facts),
            "level": distribution((clip_facts.level for clip_facts in facts), LEVEL_BINS),
        }
        if kind in _SPOKEN:
            row["snr"] = distribution((clip_facts.snr for clip_facts in facts), SNR_BINS)
        rows.append(row)
    return rows


def grades(records: Records, measured: Mapping[Record, Measured]) -> list[dict[str, Any]]:
    """Median grade of each speaker (`data_modules.pools.grade`), those with the loudest pauses first."""
    rows = []
    for (split, kind, name), clips in _grouped(records).items():
        graded = [
            facts.grade
            for clip in clips
            if (facts := measured.get(clip)) is not None and facts.grade is not None
        ]
        if kind not in _SPOKEN or not graded:
            continue
        table = np.array([astuple(facts) for facts in graded])
        values = medians(table, np.zeros(len(graded), dtype=np.int64), 1)[0]
        rows.append(
            {
                "speaker": name,
                "split": split,
                "measured": len(graded),
                **{
                    field: None if math.isnan(value) else round(float(value), digits)
                    for field, value, digits in zip(FIELDS, values, (1, 4, 0, 6), strict=True)
                },
            }
        )
    return sorted(rows, key=lambda row: -math.inf if row["pause"] is None else row["pause"], reverse=True)


def leak_rows(leaks: Sequence[Leak]) -> list[dict[str, Any]]:
    """Leaks as plain data."""
    return [
        {
            "what": leak.what,
            "first_split": leak.first.split,
            "first": leak.first.name,
            "second_split": leak.second.split,
            "second": leak.second.name,
            "speaker": leak.first.group if leak.what == "speaker" else "",
            "similarity": None if math.isnan(leak.similarity) else round(leak.similarity, 3),
            "offset_seconds": round(leak.offset, 4),
            "common_seconds": round(leak.seconds, 3),
        }
        for leak in leaks
    ]
