"""Index of corpora: names for `diffgmm prepare`, each with the module that describes it."""

from __future__ import annotations

import difflib
from importlib import import_module

from data_modules.corpora.recipe import Recipe
from data_modules.errors import DataError

RECIPES: dict[str, str] = {
    name: f"data_modules.corpora.recipes.{name.replace('-', '_')}"
    for name in (
        "debian-speech-noise",
        "open-voices",
        "kokoro-voices",
        "voicebank-demand",
        "librispeech-esc50",
        "bird-sounds-denoising",
        "dns-challenge",
        "musan",
        "vctk",
        "demand",
        "folders",
    )
}
"""Name of a corpus -> module whose `RECIPE` describes it."""


def recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        DataError: there is none; the message names the nearest ones.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), RECIPES, n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(RECIPES)}"
        raise DataError(f"{name}: no such corpus; {hint}")
    described: Recipe = import_module(RECIPES[name]).RECIPE
    return described
