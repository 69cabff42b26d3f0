"""Noise categories from file names, package by package; music, interface and synthetic sounds are dropped.

The rules of each package stand in ``noise_rules.csv`` and are searched in order in the lower-case path. The first match
wins; an empty category drops the file. A file that no rule matches is dropped too: an unknown game sound is more often
synthetic than not.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path


def _read() -> dict[str, list[tuple[re.Pattern[str], str | None]]]:
    rules: dict[str, list[tuple[re.Pattern[str], str | None]]] = {}
    with Path(__file__).with_name("noise_rules.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rules.setdefault(row["package"], []).append((re.compile(row["pattern"]), row["category"] or None))
    return rules


RULES = _read()
CATEGORIES = tuple(sorted({category for rules in RULES.values() for _, category in rules if category}))


def noise_category(package: str, member: str) -> str | None:
    """Category of a noise clip by its name, or None when the corpus does not take it.

    >>> noise_category("widelands-data", "usr/share/games/widelands/data/sound/sawmill/sawmill_00.ogg")
    'saw'
    >>> noise_category("widelands-data", "usr/share/games/widelands/data/music/intro.ogg") is None
    True
    """
    lowered = member.lower()
    if member.startswith("opensfx.cat/"):  # behind the quoted title stand credits, which no rule may hit
        lowered = lowered.split('"')[1] if '"' in lowered else lowered
    for pattern, category in RULES.get(package, ()):
        if pattern.search(lowered):
            return category
    return None
