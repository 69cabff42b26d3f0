"""Which models there are and where their files lie; light, so that a command can ask before it loads anything."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffgmm.utils.errors import UserError

PRETRAINED = Path(__file__).parents[1] / "pretrained"


class ModelError(UserError):
    """A saved model that can't be used; the message names the file and what to do."""


_LIKELIHOODS = {"nll", "elbo"}  # losses that make a mixture's widths mean something


def check_likelihood(description: Mapping[str, Any]) -> None:
    """Refuse a model whose mixture was trained by no likelihood: how wide it is then tells nothing.

    Args:
        description: of the model; one that does not tell its losses passes.

    Raises:
        ModelError: it tells them, and there is no ``nll`` or ``elbo``.
    """
    losses = description.get("losses") or description.get("card", {}).get("losses")
    if not losses or not isinstance(losses, Mapping):
        return
    if not _LIKELIHOODS & {name for name, weight in losses.items() if weight}:
        raise ModelError(
            f"the model was trained without a likelihood (losses: {', '.join(losses)}), so its mixture does not tell "
            "how sure it is; train with a weight on nll or elbo, or leave out the uncertainty"
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
        raise ModelError(
            f"unknown model {str(name)!r}; shipped: {known}; or give a .ckpt, .json or .safetensors file"
        )
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    return path


def read_description(path: Path) -> dict[str, Any]:
    """The description in ``NAME.json``.

    Raises:
        ModelError: it is not there or not JSON.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: no such file (a model is NAME.safetensors with NAME.json beside it)"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path.with_suffix('')}: not a diffgmm model: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: describes no model")
    return found
