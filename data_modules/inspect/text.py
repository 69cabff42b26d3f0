"""The survey of a corpus as aligned text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from diffgmm.utils.text_table import aligned

_ROWS = 60  # of a table; the JSON has them all
_LEAKS = 40
_BARS = "▁▂▃▄▅▆▇█"


def render(survey: dict[str, Any], *, bars: bool = True) -> str:
    """Tables of parts, speakers, noises, licences and levels.

    Args:
        survey: see `data_modules.inspect.survey`.
        bars: draw small histograms, of characters that not every terminal has.
    """
    total = f"{survey['clips']} clips, {survey['seconds'] / 3600:.2f} h"
    blocks = [f"{survey['corpus']}: {total}", _parts(survey), *_groups(survey), _licences(survey)]
    blocks += [_levels(survey, bars), _grades(survey), _mixtures(survey, bars), _unreadable(survey)]
    return "\n\n".join(block for block in blocks if block)


def _parts(survey: dict[str, Any]) -> str:
    rows = [("split", "kind", "clips", "hours", "groups", "languages")]
    for part in survey["parts"]:
        singular, plural = ("category", "categories") if part["kind"] == "noise" else ("speaker", "speakers")
        what = singular if part["groups"] == 1 else plural
        languages = " ".join(part["languages"])
        hours = f"{part['seconds'] / 3600:.2f}"
        rows.append(
            (part["split"], part["kind"], str(part["clips"]), hours, f"{part['groups']} {what}", languages)
        )
    return table(rows, right={2, 3, 4})


def _groups(survey: dict[str, Any]) -> list[str]:
    speakers = [("speaker", "language", "split", "kind", "clips", "minutes")]
    speakers += [
        (row["speaker"], row["language"], row["split"], row["kind"], str(row["clips"]), _minutes(row))
        for row in survey["speakers"]
    ]
    # A noise has one line with the minutes of each split.
    splits = list(dict.fromkeys(part["split"] for part in survey["parts"] if part["kind"] == "noise"))
    minutes: dict[str, dict[str, str]] = {}
    clips: dict[str, int] = {}
    for row in survey["noises"]:
        minutes.setdefault(row["noise"], {})[row["split"]] = _minutes(row)
        clips[row["noise"]] = clips.get(row["noise"], 0) + row["clips"]
    noises = [("noise", "clips", *(f"{split} min" for split in splits))]
    noises += [
        (name, str(clips[name]), *(minutes[name].get(split, "-") for split in splits))
        for name in sorted(minutes)
    ]
    return [
        _cut(speakers, right={4, 5}) if len(speakers) > 1 else "",
        _cut(noises, right=set(range(1, 2 + len(splits)))) if len(noises) > 1 else "",
    ]


def _minutes(row: dict[str, Any]) -> str:
    return f"{row['seconds'] / 60:.1f}"


def _licences(survey: dict[str, Any]) -> str:
    rows = [("licence", "clips", "minutes", "from")]
    for entry in survey["licences"]:
        named = ", ".join(entry["sources"][:3]) + (
            f" and {len(entry['sources']) - 3} more" if entry["sources"][3:] else ""
        )
        rows.append((entry["licence"], str(entry["clips"]), _minutes(entry), named))
    return _cut(rows, right={1, 2})


def _levels(survey: dict[str, Any], bars: bool) -> str:
    rows: list[tuple[str, ...]] = []
    for row in survey.get("levels", ()):
        measured = f"{row['measured']}"
        rows.append((row["split"], row["kind"], "level, dBFS", measured, *_quantiles(row["level"], bars)))
        if "snr" in row:
            rows.append(("", "", "above own noise, dB", measured, *_quantiles(row["snr"], bars)))
    if not rows:
        return ""
    lines = [
        table([("split", "kind", "active levels", "clips", *_heads(bars)), *rows], right=set(range(3, 9)))
    ]
    for what, meaning in (("silent", "silent"), ("clipping", "with samples at full scale")):
        counts = [f"{row[what]} of {row['split']} {row['kind']}" for row in survey["levels"] if row[what]]
        if counts:
            lines.append(f"{meaning}: {', '.join(counts)}")
    return "\n".join(lines)


def _grades(survey: dict[str, Any]) -> str:
    """What each speaker's recordings are like inside their phrases."""
    rows = [("speaker", "split", "clips", "pauses, dB", "gated, %", "band, Hz", "clipped, ppm")]
    for row in survey.get("grades", ()):
        shown = [
            "-" if row[field] is None else f"{factor * row[field]:.{digits}f}"
            for field, factor, digits in (
                ("pause", 1, 1),
                ("gated", 100, 1),
                ("bandwidth", 1, 0),
                ("clipped", 1e6, 0),
            )
        ]
        rows.append((row["speaker"], row["split"], str(row["measured"]), *shown))
    return _cut(rows, right=set(range(2, 7))) if len(rows) > 1 else ""


def _heads(bars: bool) -> tuple[str, ...]:
    return ("5%", "25%", "50%", "75%", "95%", *(["distribution"] if bars else []))


def _quantiles(summary: dict[str, Any], bars: bool) -> tuple[str, ...]:
    texts = ["-" if value is None else f"{value:.0f}" for value in summary["quantiles"].values()]
    return (*texts, *([_spark(summary)] if bars else []))


def _spark(summary: dict[str, Any]) -> str:
    """The histogram in one line, two bins a character, from its lowest bin on so that rows can be compared."""
    counts = [sum(summary["histogram"][i : i + 2]) for i in range(0, len(summary["histogram"]), 2)]
    most = max(counts, default=0)
    if not most:
        return ""
    heights = [-(-count * len(_BARS) // most) for count in counts]
    return "".join(_BARS[height - 1] if height else " " for height in heights).rstrip()


def _mixtures(survey: dict[str, Any], bars: bool) -> str:
    mixtures = survey.get("mixtures")
    if not mixtures:
        return ""
    rows = [("mixtures", "windows", *_heads(bars))]
    rows.append(
        (f"{mixtures['split']}, SNR in dB", str(mixtures["windows"]), *_quantiles(mixtures["snr"], bars))
    )
    text = table(rows, right=set(range(1, 7)))
    without = mixtures["windows"] - mixtures["snr"]["count"]
    return text + (f"\nwithout speech or without noise: {without}" if without else "")


def _unreadable(survey: dict[str, Any]) -> str:
    files = survey["unreadable"]
    if not files:
        return ""
    lines = [f"{len(files)} file(s) can't be read:"]
    lines += [f"  {file['file']}: {file['reason']}" for file in files[:10]]
    return "\n".join(lines + ([f"  and {len(files) - 10} more"] if files[10:] else []))


def leak_lines(leaks: Sequence[dict[str, Any]], compared: int, root: str = "") -> str:
    """What the leak check says, one leak a line; paths below `root` are given from there."""
    if not leaks:
        return f"no leaks: no speaker, file or recording is in two splits ({compared} pairs of clips compared closely)"

    def short(name: str) -> str:
        return name.removeprefix(root.rstrip(os.sep) + os.sep) if root else name

    lines = [f"{len(leaks)} leak(s) between splits:"]
    for leak in leaks[:_LEAKS]:
        first, second = (f"{leak[f'{side}_split']}: {short(leak[side])}" for side in ("first", "second"))
        if leak["what"] == "speaker":
            lines.append(f"  speaker {leak['speaker']}: in {leak['first_split']} and {leak['second_split']}, "
                         f"such as {short(leak['first'])} and {short(leak['second'])}")  # fmt: skip
            continue
        what = {"file": "same file", "samples": "same samples", "recording": "same recording"}[leak["what"]]
        detail = f"{leak['common_seconds']:.2f} s in common"
        if leak["what"] == "recording":
            detail += f", similarity {leak['similarity']:.2f}, offset {leak['offset_seconds']:+.3f} s"
        lines.append(f"  {what} ({detail})\n    {first}\n    {second}")
    return "\n".join(lines + ([f"  and {len(leaks) - _LEAKS} more"] if leaks[_LEAKS:] else []))


def _cut(rows: Sequence[tuple[str, ...]], right: set[int]) -> str:
    """A table of bounded length."""
    text = table(rows[: _ROWS + 1], right)
    return text + (f"\nand {len(rows) - 1 - _ROWS} more" if len(rows) > _ROWS + 1 else "")


def table(rows: Sequence[tuple[str, ...]], right: set[int]) -> str:
    """Columns side by side, those in `right` aligned there."""
    return "\n".join(aligned(rows, left=set(range(len(rows[0]))) - right))
