"""Index of corpora by the names that `diffgmm prepare` knows."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path

from data_modules.corpora.recipe import Recipe, described
from data_modules.errors import DataError

_FOLDER = Path(__file__).with_name("recipes")
RECIPES = tuple(sorted(path.stem.replace("_", "-") for path in _FOLDER.glob("*.yaml")))
"""Names of corpora. A module of the same name as a YAML file has its `RECIPE`, where the file alone does not say it."""


def recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        DataError: there is none; the message names the nearest ones.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), RECIPES, n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(RECIPES)}"
        raise DataError(f"{name}: no such corpus; {hint}")
    module = name.replace("-", "_")
    if not (_FOLDER / f"{module}.py").is_file():
        return described(name)
    own: Recipe = import_module(f"data_modules.corpora.recipes.{module}").RECIPE
    return own
