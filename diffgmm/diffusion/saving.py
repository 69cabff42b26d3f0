"""Models on disk: weights with a description that rebuilds the model without Lightning."""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from diffgmm.diffusion import parts
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.pretrained import FORMAT as FORMAT
from diffgmm.diffusion.pretrained import PAIR, check_file, checked, not_plain, read_description
from diffgmm.diffusion.pretrained import ModelError as ModelError
from diffgmm.utils import renames
from diffgmm.utils.files import replacing


def describe(part: Any) -> dict[str, Any]:
    """``{"class_path", "init_args"}`` of plain types for a part of a model, or a whole one.

    Raises:
        ModelError: a part's arguments are not all plain, so that no file can hold them.
    """
    path = parts.class_path(type(part))
    if isinstance(part, MixtureDenoiser):
        given = {slot: describe(getattr(part, slot)) for slot in parts.PARTS}
    else:
        given = asdict(part) if is_dataclass(part) and not isinstance(part, type) else dict(part.init_args)
    if (problem := not_plain(given)) is not None:
        raise ModelError(f"{path} can't be described in a model's file: among its arguments, {problem}")
    return {"class_path": path, "init_args": given}


def describe_file(model: MixtureDenoiser, sampler: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a file says of a model beside its weights, with more entries by name."""
    about = {"format": FORMAT, "sample_rate": model.sample_rate, "model": describe(model)}
    return {**about, "sampler": sampler, **more}


def build(
    spec: Any, trust: Collection[str] = (), weights: dict[str, Tensor] | None = None
) -> MixtureDenoiser:
    """The model that :func:`describe` described.

    Args:
        spec: ``{"class_path", "init_args"}``, from anywhere.
        trust: packages whose classes may be named beside this one's; they are imported.
        weights: what it will be given. A model of other weights is refused before memory is taken for it, unless code
            of other packages has a say.

    Raises:
        ModelError: if the description names something else or does not fit the class.
    """
    plans = _plans(spec, trust)
    skeleton = _skeleton(plans)
    if skeleton is not None and weights is not None:
        _compare(skeleton.state_dict(), weights)
    return _composed(plans["representation"].make(), plans)


def check_parts(given: Mapping[str, Any], trust: Collection[str]) -> None:
    """Refuse parts of sizes beyond any use before there is memory for them, where no file of weights bounds them.

    Args:
        given: ``{"class_path", "init_args"}`` of each part.
        trust: packages whose classes may be named; their sizes are theirs to check.

    Raises:
        ModelError: names the argument, or the memory.
    """
    named = {slot: given.get(slot) for slot in parts.PARTS}
    for slot, spec in named.items():
        module, _, name = str(spec["class_path"]).rpartition(".") if isinstance(spec, dict) else ("", "", "")
        cls = getattr(sys.modules.get(module), name, None)  # perhaps where it is re-exported
        if isinstance(spec, dict) and isinstance(cls, type):
            named[slot] = {**spec, "class_path": parts.class_path(cls)}
    plans = _plans({"class_path": parts.class_path(MixtureDenoiser), "init_args": named}, trust)
    skeleton = _skeleton(plans) if all(plan.ours for plan in plans.values()) else None
    count = 0 if skeleton is None else sum(value.numel() for value in skeleton.parameters())
    if count > parts.LARGEST:
        raise ModelError(f"the model would have {count:,} parameters; at most {parts.LARGEST:,} are made")


def _plans(spec: Any, trust: Collection[str]) -> dict[str, parts.Plan]:
    """The parts of a model before they are made."""
    path, given = (spec.get(name) if isinstance(spec, dict) else None for name in ("class_path", "init_args"))
    if not isinstance(path, str) or renames.current(path) != parts.class_path(MixtureDenoiser):
        raise ModelError(f"the model is {parts.brief(path, 80)!r}, not MixtureDenoiser")
    if not isinstance(given, dict) or set(given) != set(parts.PARTS):
        raise ModelError(f"a model is described by {', '.join(parts.PARTS)}")
    return {slot: parts.plan(given[slot], slot, trust) for slot in parts.PARTS}


def _skeleton(plans: dict[str, parts.Plan]) -> MixtureDenoiser | None:
    """The model without memory for its weights; ``None`` where code of other packages has a say."""
    representation = plans["representation"].make()
    parts.check_sizes(representation, plans["network"], plans["head"])
    if not all(plan.ours for plan in plans.values()):
        return None
    with torch.device("meta"):
        return _composed(representation, plans)


def _composed(representation: Any, plans: dict[str, parts.Plan]) -> MixtureDenoiser:
    network, head, process = (plans[slot].make() for slot in ("network", "head", "process"))
    try:
        return MixtureDenoiser(representation, network, head, process)
    except parts.REFUSALS as error:
        raise ModelError(f"the parts of the model do not fit each other: {parts.brief(error)}") from error


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
    description = describe_file(model, sampler, card=card)
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    for suffix, content in ((".safetensors", save(state)), (".json", text.encode())):
        with replacing(stem.with_name(stem.name + suffix)) as part:
            part.write_bytes(content)


def load_model(path: str | Path, trust: Collection[str] = ()) -> tuple[MixtureDenoiser, dict[str, Any]]:
    """Model in evaluation mode and its description (``sampler``, ``card``, of a checkpoint ``steps``...).

    A file from a stranger runs no code: it names registered parts (:data:`diffgmm.diffusion.parts.PARTS`), nothing is
    allocated that its weights don't fill, and checkpoints are read without unpickling objects.

    Args:
        path: ``STEM``, ``STEM.json`` or ``STEM.safetensors`` written by :func:`save_model`, or a Lightning
            checkpoint (``.ckpt``) of :class:`diffgmm.training.module.DiffGMM`.
        trust: packages whose classes the file may name beside this one's, e.g. ``("my_package",)``. They are imported,
            with all that doing so runs.

    Raises:
        ModelError: if a file is missing, is not a model, names code that is not trusted, or does not fit this version.
    """
    path = Path(path)
    description, state = _read(path)
    try:
        model = build(description["model"], trust, state)
        if model.sample_rate != description["sample_rate"]:
            raise ModelError(f"sample_rate {description['sample_rate']}, its parts have {model.sample_rate}")
        _compare(model.state_dict(), state)
        model.load_state_dict(state)
    except (ModelError, RuntimeError) as error:
        raise ModelError(f"{path}: {parts.brief(error, 400)}") from error
    return model.eval(), description


def load_weights(path: str | Path, model: MixtureDenoiser, of: Collection[str] = parts.PARTS) -> None:
    """Give a model the weights of a file that was saved from one of the same description; no class is made.

    Args:
        path: as :func:`load_model` takes it.
        model: which gets them.
        of: the parts that get them (``("network",)``); the others stay as they are, whatever the file has for them.

    Raises:
        ModelError: if a file is missing, is not a model, or has other weights, or there is no such part.
    """
    if unknown := [part for part in of if part not in parts.PARTS]:
        raise ModelError(f"a model has no part {unknown[0]!r}; its parts are {', '.join(parts.PARTS)}")
    _, state = _read(Path(path))
    own = model.state_dict()
    wanted, state = ({k: v for k, v in d.items() if k.partition(".")[0] in of} for d in (own, state))
    _compare(wanted, state, f"{path}: weights of another network than the one described: ")
    model.load_state_dict({**own, **state})


def check_checkpoint(path: str | Path, model: MixtureDenoiser) -> dict[str, Any]:
    """What a checkpoint holds, if a model of this description can go on from it.

    Raises:
        ModelError: it is missing, damaged, not one of this project, or of another model.
    """
    checkpoint = read_checkpoint(Path(path))
    _, state = _contents(checkpoint, Path(path))
    _compare(model.state_dict(), state, f"{path}: a checkpoint of another model than the one described: ")
    return checkpoint


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Checked description and weights of a file."""
    if path.suffix == ".ckpt":
        return _contents(read_checkpoint(path), path)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    weights = stem.with_name(stem.name + ".safetensors")
    check_file(weights, PAIR)
    description = read_description(stem.with_name(stem.name + ".json"))
    try:
        return description, load_file(weights)
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{weights}: not a diffgmm model: {parts.brief(error)}") from error


def _compare(wanted: dict[str, Tensor], state: dict[str, Tensor], where: str = "") -> None:
    """Refuse weights that aren't exactly those of a model, by name, shape and kind of number."""
    problems = []
    if missing := [name for name in wanted if name not in state]:
        problems.append(f"{len(missing)} missing ({missing[0]})")
    if extra := [name for name in state if name not in wanted]:
        problems.append(f"{len(extra)} too many ({parts.brief(extra[0], 60)})")
    for name, tensor in wanted.items():
        other = state.get(name, tensor)
        if other.shape != tensor.shape:
            problems.append(f"{name} is {list(other.shape)} and not {list(tensor.shape)}")
        elif other.is_floating_point() != tensor.is_floating_point() or other.is_complex():
            problems.append(f"{name} is {other.dtype} and not {tensor.dtype}")
        if len(problems) > 2:
            break
    if problems:
        raise ModelError(f"{where}weights do not fit their description: {'; '.join(problems)}")


def _contents(checkpoint: dict[Any, Any], path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if "diffgmm" not in checkpoint:
        raise ModelError(f"{path}: a checkpoint, but not one of diffgmm's")
    steps, tensors = checkpoint.get("global_step"), checkpoint.get("state_dict")
    if not isinstance(tensors, dict) or not isinstance(steps, (int, NoneType)):
        raise ModelError(f"{path}: a checkpoint without the state_dict and global_step of a training")
    prefix = "model."
    named = {name: value for name, value in tensors.items() if isinstance(name, str)}
    state = {name[len(prefix) :]: value for name, value in named.items() if name.startswith(prefix)}
    for name, value in state.items():
        # A tensor may be a view that repeats one number a billion times, or have no memory at all.
        plain = type(value) is Tensor and value.layout is torch.strided and value.device.type == "cpu"
        if not plain or value.is_quantized or value.numel() * value.element_size() > path.stat().st_size:
            raise ModelError(f"{path}: {parts.brief(name, 60)} is not a tensor of stored numbers")
    return {**checked(checkpoint["diffgmm"], path), "steps": steps}, state


def read_checkpoint(path: Path) -> dict[Any, Any]:
    """What a ``.ckpt`` file holds, tensors and plain values alone: no object in it is unpickled, no code runs.

    Its tensors are read from the file when they are used.

    Raises:
        ModelError: there is no such file, it is damaged, or it holds anything else.
    """
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise ModelError(f"{path}: not a checkpoint that loads safely: {parts.brief(error)}") from error
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ModelError(f"{path}: not a checkpoint that loads safely: its entries are compressed")
    try:
        # Mapped, a tensor can't reach beyond the file, whatever size it claims.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except MemoryError:
        raise
    except Exception as error:  # what damaged bytes make the reader raise is not foreseeable
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: not a checkpoint that loads safely: {parts.brief(reason)}") from error
    if not isinstance(checkpoint, dict):
        raise ModelError(f"{path}: holds {type(checkpoint).__name__}, not a checkpoint")
    return checkpoint
