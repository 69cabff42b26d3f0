"""Noise categories from file names, package by package; music, interface and synthetic sounds are dropped.

Each package has a list of (pattern, category) rules, searched in order in the lower-case path. The first
hit wins; a category of None drops the file. A file that no rule names is dropped too: an unknown game sound
is more often synthetic than not.
"""

from __future__ import annotations

import re

from data_modules.corpora.recipes.debian.noise_tables_held_out import HELD_OUT_RULES
from data_modules.corpora.recipes.debian.noise_tables_train import TRAIN_RULES

__all__ = ["CATEGORIES", "noise_category"]

RULES = {**TRAIN_RULES, **HELD_OUT_RULES}
_COMPILED = {
    package: [(re.compile(pattern), category) for pattern, category in rules]
    for package, rules in RULES.items()
}
CATEGORIES: tuple[str, ...] = tuple(
    sorted({category for rules in RULES.values() for _, category in rules if category is not None})
)


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
    for pattern, category in _COMPILED.get(package, ()):
        if pattern.search(lowered):
            return category
    return None
