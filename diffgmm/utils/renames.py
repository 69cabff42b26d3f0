"""Class paths and arguments of earlier versions, which descriptions, checkpoints and configurations still name."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_TABLES: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
MODULES: dict[str, str] = _TABLES["modules"]
"""Module of an earlier version -> where its classes are now."""
_CLASSES: dict[str, str] = _TABLES["classes"]
ARGUMENTS: dict[str, str] = _TABLES["arguments"]
"""Arguments of :class:`diffgmm.training.module.DiffGMM` by the names of an earlier version -> as they are now."""
UNET, BELZ = "diffgmm.networks.unet.UNet", "diffgmm.networks.belz_unet.BelzUNet"
_EITHER: dict[str, tuple[Any, Any]] = _TABLES["either"]
"""Arguments by which one class was either U-Net, with what each of the two has for them."""

_NAMES = "|".join(map(re.escape, [*_CLASSES, *(f"{module}." for module in MODULES)]))
_OLD = re.compile(rf"(?<![\w./-])(?:{_NAMES})(?![a-z_])")


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
        _warn_of([option[1]])
        text = f"--model.{ARGUMENTS[option[1]]}{text[option.end() :]}"
    if renamed:
        moves = ", ".join(f"{old} is now {new}" for old, new in sorted(renamed.items()))
        warnings.warn(f"class paths of an earlier version: {moves}", FutureWarning, stacklevel=2)
    return text


_OPTION = re.compile(rf"^--model\.({'|'.join(ARGUMENTS)})(?![\w.])")


def module_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """The module's arguments by their names of now; warns of those that were renamed.

    Renamed arguments without a value (``null``), as saved configurations have them, are left out.

    Raises:
        ValueError: one argument by both of its names.
    """
    arguments = {name: value for name, value in given.items() if name not in ARGUMENTS}
    old = [name for name in given if name in ARGUMENTS and given[name] is not None]
    for name in old:
        part, _, leaf = ARGUMENTS[name].rpartition(".")
        values = arguments
        if part:
            values = arguments[part] = dict(arguments.get(part) or {})
        if leaf in values:
            raise ValueError(f"{name} is now {ARGUMENTS[name]}: give it once")
        values[leaf] = given[name]
    if old:
        _warn_of(old)
    return arguments


def _warn_of(old: Sequence[str]) -> None:
    moves = ", ".join(f"model.{name} is now model.{ARGUMENTS[name]}" for name in old)
    warnings.warn(f"options of an earlier version: {moves}", FutureWarning, stacklevel=4)


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
    # Trained weights do not depend on the initialisation.
    belz = all(values[name] == other for name, (_, other) in _EITHER.items() if name != "initialisation")
    usual = {"embedding": 64, "position": True, "bottleneck": "none", "dilations": [], "input_layers": 0}
    # What Belz's has no argument for was switched off.
    off = {name: (usual | own).get(name) in (None, False, 0, [], (), "none") for name in _TABLES["without"]}
    if not belz or not all(off.values()):
        mixed = [f"{name}: {value}" for name, value in given.items()]
        mixed += [f"{name}: {own[name]}" for name, fits in off.items() if not fits and name in own]
        raise ValueError(f"no network of this version has all of {', '.join(mixed)}: choose UNet or BelzUNet")
    kept = _TABLES["belz_usual"] | own  # the one class had other defaults
    return BELZ, {name: value for name, value in kept.items() if name in _TABLES["belz_keeps"]}


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
