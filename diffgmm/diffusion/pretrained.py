"""Which models there are and where their files lie; light, so that a command can ask before it loads anything."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffgmm.diffusion.sampler_options import SamplerConfig
from diffgmm.utils.errors import UserError

FORMAT = 1
"""Version of the saved layout."""

PRETRAINED = Path(__file__).parents[1] / "pretrained"


class ModelError(UserError):
    """A saved model that can't be used; the message names the file and what to do."""


_LIKELIHOODS = {"nll", "elbo"}  # losses that make a mixture's widths mean something


def _likelihood(name: str, loss: Any) -> bool:
    """Whether a loss as described is a likelihood with a weight; one with settings goes by its class."""
    if isinstance(loss, Mapping):
        kind = str(loss.get("class_path", "")).rpartition(".")[2].lower()
        return kind in _LIKELIHOODS and bool((loss.get("init_args") or {}).get("weight", 1.0))
    return name in _LIKELIHOODS and bool(loss)


def check_likelihood(description: Mapping[str, Any]) -> None:
    """Refuse a model whose mixture was trained by no likelihood: its width then means nothing.

    Args:
        description: of the model; one without losses passes.

    Raises:
        ModelError: it has losses, and none of them is ``nll`` or ``elbo``.
    """
    losses = description.get("losses") or description.get("card", {}).get("losses")
    if not losses or not isinstance(losses, Mapping):
        return
    if not any(_likelihood(name, loss) for name, loss in losses.items()):
        raise ModelError(
            f"the model was trained without a likelihood (losses: {', '.join(losses)}), so the width of its mixture "
            "means nothing; train with a weight on nll or elbo, or leave out the uncertainty"
        )


def available_models() -> list[str]:
    """Names of the models that come with the package."""
    stems = (path.with_suffix("") for path in PRETRAINED.glob("*.json"))
    return sorted(stem.name for stem in stems if stem.with_suffix(".safetensors").is_file())


def model_path(name: str | os.PathLike[str]) -> Path:
    """File of a model, given a name of :func:`available_models` or a .json, .safetensors or .ckpt file.

    Raises:
        ModelError: neither; the message lists the names.
    """
    if str(name) in available_models():
        return PRETRAINED / f"{name}.json"
    path = Path(name)
    if path.suffix not in (".json", ".safetensors", ".ckpt"):
        known = ", ".join(available_models()) or "none"
        hint = f"shipped: {known}; or give a .ckpt, .json or .safetensors file"
        raise ModelError(f"unknown model {str(name)!r}; {hint}")
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    return path


LONGEST_DESCRIPTION = 16 * 2**20
"""Bytes of ``NAME.json`` at most."""

PAIR = " (a model is NAME.safetensors with NAME.json beside it)"


def check_file(path: Path, hint: str = "") -> None:
    """Refuse what is no file: a pipe or a device would be read for ever.

    Raises:
        ModelError: says which.
    """
    if not path.is_file():
        raise ModelError(f"{path}: {'not a file' if path.exists() else 'no such file'}{hint}")


def read_description(path: Path) -> dict[str, Any]:
    """The description in ``NAME.json``, as :func:`checked` has it.

    Raises:
        ModelError: it is not there, not JSON, or describes no model.
    """
    check_file(path, PAIR)
    size = path.stat().st_size
    if size > LONGEST_DESCRIPTION:
        raise ModelError(f"{path}: {size / 2**20:.0f} MiB, a description has at most 16")
    try:
        description = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
    # Not UTF-8, not JSON, thousands of digits, a key that comes twice.
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:160]
        raise ModelError(f"{path}: not a diffgmm model: {reason}") from error
    return checked(description, path)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)[:80]!r} is there more than once")
    return mapping


def checked(description: Any, path: Path) -> dict[str, Any]:
    """A model's description, from wherever it came, if what is read of it is plain, finite and of the right types.

    The parts of the model themselves are checked when they are made (:mod:`diffgmm.diffusion.parts`).

    Args:
        description: from a file.
        path: of that file.

    Raises:
        ModelError: names the entry.
    """
    if not isinstance(description, dict) or not isinstance(description.get("model"), dict):
        raise ModelError(f"{path}: describes no model")
    if description.get("format") != FORMAT or isinstance(description["format"], bool):
        given = description.get("format")
        raise ModelError(f"{path}: model format {given!r:.40}, this version reads {FORMAT}")
    if (problem := not_plain(description)) is not None:
        raise ModelError(f"{path}: not a diffgmm model: {problem}")
    for name in ("card", "sampler", "losses", "states"):
        if not isinstance(description.get(name) or {}, dict):
            raise ModelError(f"{path}: {name} must be entries by name")
    rate = description.get("sample_rate")
    if type(rate) is not int or not 1000 <= rate <= 768_000:
        raise ModelError(f"{path}: sample_rate must be whole Hz from 1000 to 768000, got {rate!r:.40}")
    try:
        SamplerConfig.saved(description.get("sampler") or {})
    except ValueError as error:
        raise ModelError(f"{path}: sampler: {error}") from error
    return description


def not_plain(description: dict[Any, Any]) -> str | None:
    """Why a description is not one of plain, finite values; it may come from a checkpoint, and refer to itself."""
    left: list[tuple[Any, int]] = [(description, 0)]
    count = 0
    while left:
        value, depth = left.pop()
        count += 1
        if depth > 16 or count > 1_000_000:
            return "nested too deeply" if depth > 16 else "more than a million entries"
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                return "entries whose name is no text"
            left += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, (list, tuple)):
            left += [(item, depth + 1) for item in value]
        elif isinstance(value, float) and not math.isfinite(value):
            return f"a number is {value}"
        elif type(value) not in (str, int, float, bool, type(None)):
            return f"a value of type {type(value).__name__}"
    return None
