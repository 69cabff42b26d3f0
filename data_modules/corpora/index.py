"""Index of corpora by the names that `diffgmm prepare` knows."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path

from data_modules.corpora.recipe import Recipe, described
from data_modules.errors import DataError


def _module(facts: Path) -> str:
    return f"{__package__}.recipes.{facts.stem}" if facts.with_suffix(".py").is_file() else ""


_FACTS = sorted(Path(__file__).with_name("recipes").glob("*.yaml"))
RECIPES = {path.stem.replace("_", "-"): _module(path) for path in _FACTS}
"""Name of a corpus -> module with its `RECIPE`, or nothing where its YAML file says it all."""


def recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        DataError: there is none; the message names the nearest ones.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), RECIPES, n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(RECIPES)}"
        raise DataError(f"{name}: no such corpus; {hint}")
    return import_module(RECIPES[name]).RECIPE if RECIPES[name] else described(name)
