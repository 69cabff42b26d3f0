"""Models on disk: weights with a description that rebuilds the model without Lightning."""

from __future__ import annotations

import importlib
import json
import pickle
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.pretrained import ModelError as ModelError
from diffgmm.utils import renames
from diffgmm.utils.files import replacing

FORMAT = 1
"""Version of the saved layout."""


def describe(part: Any) -> dict[str, Any]:
    """``{"class_path", "init_args"}`` of plain types for a part of a model, or a whole one."""
    cls = type(part)
    path = f"{cls.__module__}.{cls.__qualname__}"
    if isinstance(part, MixtureDenoiser):
        names = ("representation", "network", "head", "process")
        return {"class_path": path, "init_args": {name: describe(getattr(part, name)) for name in names}}
    if is_dataclass(part) and not isinstance(part, type):
        return {"class_path": path, "init_args": asdict(part)}
    return {"class_path": path, "init_args": dict(part.init_args)}


def build(spec: dict[str, Any]) -> Any:
    """The object that :func:`describe` described; only classes of this package are made.

    Raises:
        ModelError: if the description names something else or does not fit the class.
    """
    path = renames.current(str(spec.get("class_path", "")))
    module, _, name = path.rpartition(".")
    if not module.startswith("diffgmm."):
        raise ModelError(f"model description names {path!r}, which is not a class of diffgmm")
    args = {
        key: build(value) if isinstance(value, dict) and "class_path" in value else value
        for key, value in spec.get("init_args", {}).items()
    }
    try:
        return getattr(importlib.import_module(module), name)(**args)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ModelError(
            f"model description of {path} does not fit this version of diffgmm: {error}"
        ) from error


def save_model(
    stem: str | Path, model: MixtureDenoiser, card: dict[str, Any], sampler: dict[str, Any]
) -> None:
    """Write ``STEM.safetensors`` and ``STEM.json`` (each atomically, the description last).

    Args:
        stem: path without suffix.
        model: what to save.
        card: plain facts for people: training data, licence, scores, limits.
        sampler: default arguments of :meth:`MixtureDenoiser.enhance`.
    """
    from safetensors.torch import save

    stem = Path(stem)
    state = {name: value.detach().contiguous().cpu() for name, value in model.state_dict().items()}
    description = {
        "format": FORMAT,
        "sample_rate": model.sample_rate,
        "model": describe(model),
        "sampler": sampler,
        "card": card,
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    for suffix, content in ((".safetensors", save(state)), (".json", text.encode())):
        with replacing(stem.with_name(stem.name + suffix)) as part:
            part.write_bytes(content)


def load_model(path: str | Path) -> tuple[MixtureDenoiser, dict[str, Any]]:
    """Model in evaluation mode and its description (``sampler``, ``card``, of a checkpoint ``steps``...).

    Args:
        path: ``STEM``, ``STEM.json`` or ``STEM.safetensors`` written by :func:`save_model`, or a Lightning
            checkpoint (``.ckpt``) of :class:`diffgmm.training.module.DiffGMM`.

    Raises:
        ModelError: if a file is missing, is not a model, or does not fit this version.
    """
    path = Path(path)
    if path.suffix == ".ckpt":
        description, state = _read_checkpoint(path)
    else:
        stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
        description, state = _read_stem(stem)
    if not isinstance(description, dict) or not isinstance(description.get("model"), dict):
        raise ModelError(f"{path}: describes no model")
    if description.get("format") != FORMAT:
        raise ModelError(f"{path}: model format {description.get('format')!r}, this version reads {FORMAT}")
    model: MixtureDenoiser = build(description["model"])
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path}: weights do not fit their description: {error}") from error
    return model.eval(), description


def _read_stem(stem: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights, text = stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + ".json")
    for file in (weights, text):
        if not file.is_file():
            raise ModelError(f"{file}: no such file (a model is NAME.safetensors with NAME.json beside it)")
    try:
        return json.loads(text.read_text(encoding="utf-8")), load_file(weights)
    except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise ModelError(f"{stem}: not a diffgmm model: {error}") from error


def _read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"{path}: not a checkpoint that loads safely: {first}") from error
    if "diffgmm" not in checkpoint:
        raise ModelError(f"{path}: a checkpoint, but not one of diffgmm's")
    prefix = "model."
    state = {k[len(prefix) :]: v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    return {**checkpoint["diffgmm"], "steps": checkpoint.get("global_step")}, state
