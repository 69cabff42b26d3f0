"""Index of corpora by the names that `diffgmm prepare` knows."""

from __future__ import annotations

import difflib
from importlib import import_module

from data_modules.corpora.recipe import Recipe, described
from data_modules.errors import DataError

_MODULES = "data_modules.corpora.recipes"
RECIPES: dict[str, str] = {
    "debian-speech-noise": f"{_MODULES}.debian_speech_noise",
    "open-voices": f"{_MODULES}.open_voices",
    "kokoro-voices": f"{_MODULES}.kokoro_voices",
    "voicebank-demand": "",
    "librispeech-esc50": f"{_MODULES}.librispeech_esc50",
    "bird-sounds-denoising": f"{_MODULES}.bird_sounds_denoising",
    "dns-challenge": f"{_MODULES}.dns_challenge",
    "musan": f"{_MODULES}.musan",
    "vctk": "",
    "demand": "",
    "folders": f"{_MODULES}.folders",
}
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
