"""Class paths and arguments of earlier versions, which descriptions, checkpoints and configurations still name."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

MODULES = {
    "data_modules.augment_base": "data_modules.augment.base",
    "data_modules.codecs": "data_modules.augment.codecs",
    "data_modules.distortions": "data_modules.augment.distortions",
    "data_modules.filters": "data_modules.augment.filters",
    "data_modules.formants": "data_modules.augment.formants",
    "data_modules.mixing_options": "data_modules.mixing.options",
    "data_modules.rooms": "data_modules.augment.reverb",
    "diffgmm.callbacks.checkpoints": "diffgmm.training.callbacks.checkpoints",
    "diffgmm.callbacks.config_file": "diffgmm.training.callbacks.run_files",
    "diffgmm.callbacks.constants": "diffgmm.training.callbacks.averaging",
    "diffgmm.callbacks.diagnostics": "diffgmm.training.callbacks.diagnostics",
    "diffgmm.callbacks.effective_batch": "diffgmm.training.callbacks.effective_batch",
    "diffgmm.callbacks.examples": "diffgmm.training.callbacks.examples",
    "diffgmm.callbacks.gradients": "diffgmm.training.callbacks.gradients",
    "diffgmm.callbacks.loggers": "diffgmm.training.callbacks.loggers",
    "diffgmm.callbacks.metrics_file": "diffgmm.training.callbacks.run_files",
    "diffgmm.callbacks.nonfinite": "diffgmm.training.callbacks.nonfinite",
    "diffgmm.callbacks.preemption": "diffgmm.training.callbacks.preemption",
    "diffgmm.callbacks.quality": "diffgmm.training.callbacks.quality",
    "diffgmm.callbacks.random_state": "diffgmm.training.callbacks.checkpoints",
    "diffgmm.callbacks.record": "diffgmm.training.callbacks.record",
    "diffgmm.callbacks.running_means": "diffgmm.training.callbacks.averaging",
    "diffgmm.callbacks.sharding": "diffgmm.training.callbacks.sharding",
    "diffgmm.callbacks.tally": "diffgmm.training.callbacks.quality",
    "diffgmm.callbacks.throughput": "diffgmm.training.callbacks.throughput",
    "diffgmm.callbacks.trial": "diffgmm.workflows.sweep.trial",
    "diffgmm.callbacks.wandb_run": "diffgmm.training.callbacks.loggers",
    "diffgmm.denoiser": "diffgmm.training.module",
    "diffgmm.metrics.modules": "diffgmm.metrics.torch_modules",
    "diffgmm.model": "diffgmm.diffusion.model",
    "diffgmm.networks.dual": "diffgmm.networks.bottleneck",
    "diffgmm.networks.dual_path": "diffgmm.networks.bottleneck",
    "diffgmm.networks.fine": "diffgmm.networks.unet",
    "diffgmm.networks.fine_band": "diffgmm.networks.unet",
    "diffgmm.networks.heads": "diffgmm.diffusion.head",
    "diffgmm.process": "diffgmm.diffusion.process",
    "diffgmm.representation": "diffgmm.diffusion.representation",
    "diffgmm.schedules": "diffgmm.training.schedules",
    "diffgmm.training.callbacks.wandb": "diffgmm.training.callbacks.loggers",
    "diffgmm.workflows.sweep.outcome": "diffgmm.workflows.sweep.trial",
}
"""Module of an earlier version -> where its classes are now."""

_CLASSES = {"diffgmm.networks.MixtureHead": "diffgmm.diffusion.head.MixtureHead"}
_OLD = re.compile(
    r"(?<![\w./-])(?:"
    + "|".join(map(re.escape, [*_CLASSES, *(f"{module}." for module in MODULES)]))
    + r")(?![a-z_])"
)


def current(class_path: str) -> str:
    """The path by which a class is known now; other paths come back unchanged."""
    module, _, name = class_path.rpartition(".")
    return _CLASSES.get(class_path) or (f"{MODULES[module]}.{name}" if module in MODULES else class_path)


def in_text(text: str) -> str:
    """A configuration's text, or a word of the command line, by the names of now; warns of those that were renamed."""
    renamed: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        old = match[0]
        new = _CLASSES.get(old) or MODULES[old[:-1]] + "."
        renamed[old.rstrip(".")] = new.rstrip(".")
        return new

    text = _OLD.sub(replace, text)
    if option := _OPTION.match(text):
        (name,) = module_arguments({option[1]: None})
        text = f"--model.{name}{text[option.end() :]}"
    if renamed:
        moves = ", ".join(f"{old} is now {new}" for old, new in sorted(renamed.items()))
        warnings.warn(f"class paths of an earlier version: {moves}", FutureWarning, stacklevel=2)
    return text


ARGUMENTS = {"noisy_end": "p_t1", "own_estimate": "self_conditioning"}
"""Arguments of :class:`diffgmm.training.module.DiffGMM` by the names of an earlier version -> as they are now."""

_OPTION = re.compile(rf"^--model\.({'|'.join(ARGUMENTS)})(?![\w.])")


def module_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """The module's arguments by their names of now; warns of those that were renamed.

    Raises:
        ValueError: one argument by both of its names.
    """
    old = [name for name in given if name in ARGUMENTS]
    if twice := [name for name in old if ARGUMENTS[name] in given]:
        raise ValueError(f"{twice[0]} is now {ARGUMENTS[twice[0]]}: give it once")
    if old:
        moves = ", ".join(f"model.{name} is now model.{ARGUMENTS[name]}" for name in old)
        warnings.warn(f"options of an earlier version: {moves}", FutureWarning, stacklevel=3)
    return {ARGUMENTS.get(name, name): value for name, value in given.items()}


UNET, BELZ = "diffgmm.networks.unet.UNet", "diffgmm.networks.belz_unet.BelzUNet"
#: Arguments by which one class was either U-Net, with what each of the two has for them.
_EITHER: dict[str, tuple[Any, Any]] = {
    "pooling": ("stride", "max"), "skips": ("add", "concat"), "residual": (True, False),
    "initialisation": ("torch", "he"),
}  # fmt: skip
#: What Belz's has no argument for: it goes without.
_WITHOUT: dict[str, tuple[Any, ...]] = {
    "embedding": (0,), "position": (False,), "bottleneck": ("none",), "dilations": ([], ()), "input_layers": (0,),
    "fine": (0,), "dual": (0,),
}  # fmt: skip
_BELZ_KEEPS = ("channels", "strides", "features", "blocks", "kernel", "norm_kind", "slope", "dropout")
#: Where the one class had another default.
_BELZ_USUAL = {
    "channels": [32, 48, 64, 96], "strides": [[4, 1], [2, 1], [2, 1], [2, 1]], "features": 24, "norm_kind": "batch",
    "slope": 0.1, "dropout": 0.0,
}  # fmt: skip


def network(class_path: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Class path and arguments of a network as they are now; others come back unchanged.

    Args:
        class_path: of the network, as it is now.
        arguments: by name.

    Raises:
        ValueError: a mixture of both U-Nets, which no class is any more.
    """
    own = dict(arguments)
    given = {name: own.pop(name) for name in _EITHER if name in own}
    if class_path not in (UNET, "diffgmm.networks.UNet") or not given:
        return class_path, dict(arguments)
    values = {name: given.get(name, usual) for name, (usual, _) in _EITHER.items()}
    if all(values[name] == usual for name, (usual, _) in _EITHER.items()):
        return class_path, own
    # How it is initialised no trained weights tell.
    belz = all(values[name] == other for name, (_, other) in _EITHER.items() if name != "initialisation")
    usual = {"embedding": 64, "position": True, "bottleneck": "none", "dilations": [], "input_layers": 0}
    off = {name: (usual | own).get(name, 0) in values for name, values in _WITHOUT.items()}
    if not belz or not all(off.values()):
        mixed = [f"{name}: {value}" for name, value in given.items()]
        mixed += [f"{name}: {own[name]}" for name, fits in off.items() if not fits and name in own]
        raise ValueError(f"no network of this version has all of {', '.join(mixed)}: choose UNet or BelzUNet")
    return BELZ, {name: value for name, value in (_BELZ_USUAL | own).items() if name in _BELZ_KEEPS}


def in_configuration(config: Any) -> Any:
    """A configuration, as read from YAML, with the arguments of model and network as they are now; warns of changes.

    Raises:
        ValueError: as :func:`network` and :func:`module_arguments`.
    """
    model = config.get("model") if isinstance(config, dict) else None
    if not isinstance(model, dict):
        return config
    if ARGUMENTS.keys() & model.keys():
        model = module_arguments(model)
        config = {**config, "model": model}
    part = model.get("network")
    if not isinstance(part, dict):
        return config
    short = "class_path" not in part
    path, given = part.get("class_path", UNET), part if short else part.get("init_args") or {}
    if not isinstance(path, str) or not isinstance(given, dict):
        return config
    new, arguments = network(current(path), given)
    if arguments == given:
        return config
    gone = ", ".join(name for name in _EITHER if name in given)
    warnings.warn(
        f"arguments of an earlier version: the network {new} goes without {gone}", FutureWarning, stacklevel=2
    )
    changed = arguments if short and new == UNET else {"class_path": new, "init_args": arguments}
    return {**config, "model": {**model, "network": changed}}
