"""The verbs' options, listed in ``options.json``, and their types; nothing heavy is imported for ``--help``."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffgmm.diffusion.sampler_options import ESTIMATES, FOREIGN, MOST_STEPS, SOLVERS
from diffgmm.utils.errors import UsageError, warn


def at_least(lowest: int, most: int = 10**9) -> Callable[[str], int]:
    """Type of an option that is a whole number from ``lowest`` to ``most``, which is beyond any use."""

    def number(text: str) -> int:
        if not text.lstrip("-").isdecimal() or len(text) > 20 or not lowest <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {lowest} to {most}, got {text!r:.40}"
            )
        return int(text)

    return number


processes = at_least(1, 1024)
"""Type of a number of processes or threads."""
steps = at_least(1, MOST_STEPS)
"""Type of a number of steps, network calls or samples."""


def fraction(text: str) -> float:
    """Type of an option that is a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"must be a number in 0..1, got {text!r}")
    return value


def setting(text: str) -> tuple[str, Any]:
    """Type of ``--set KEY=VALUE``: the key and the value, read as YAML as ``fit`` does."""
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"must look like KEY=VALUE, got {text!r}")
    return key, yaml.safe_load(value)


def names(text: str) -> tuple[str, ...]:
    """Type of an option that is a list with commas between; ``none`` is an empty one."""
    entries = tuple(dict.fromkeys(name for name in text.split(",") if name))
    return () if entries == ("none",) else entries


def numbers(text: str) -> tuple[int, ...]:
    """Type of an option that is a list of numbers of network calls, with commas between."""
    return tuple(map(steps, names(text)))


def solver(text: str) -> str:
    """Type of a solver's name: one of ours, or a function of another package."""
    if text not in SOLVERS and not FOREIGN.fullmatch(text):
        known = ", ".join(SOLVERS)
        raise argparse.ArgumentTypeError(f"choose from {known}, or PACKAGE.MODULE:FUNCTION, got {text!r}")
    return text


def device(text: str) -> int | str:
    """Type of a sound device: its number, or part of its name."""
    return int(text) if text.isdigit() else text


_TABLE: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
)
_SHARED = _TABLE.pop("shared")
VERBS = _TABLE
"""By verb, in order: its ``help``, and its ``options`` as ``add_argument`` takes them, ``null`` for shared ones."""
#: What types, choices and actions in the table stand for.
_MEANT: dict[str, Any] = {
    "Path": Path, "float": float, "int": int, "processes": processes, "steps": steps, "fraction": fraction,
    "setting": setting, "names": names, "numbers": numbers, "solver": solver, "device": device,
    "ESTIMATES": ESTIMATES, "SOLVERS": SOLVERS, "BooleanOptionalAction": argparse.BooleanOptionalAction,
}  # fmt: skip


def _meant(word: Any) -> Any:
    """What a type, choices or an action of the table is; ``["at_least", 1]`` is a call."""
    if isinstance(word, list):
        return at_least(*word[1:]) if word[0] == "at_least" else word
    return _MEANT.get(word, word)


class _Renamed(argparse.Action):
    """An option by the name of an earlier version: stores the value for the new one, with a warning."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        warn(f"{option} is now --{self.dest.replace('_', '-')}")
        setattr(namespace, self.dest, values)


def declare(parser: argparse.ArgumentParser, verb: str) -> None:
    """Declare a verb's options, and without a help those that were renamed."""
    about, actions = VERBS[verb], dict[str, argparse.Action]()
    group: Any = None  # of options that exclude one another; argparse wants none that is empty
    parser.description = about.get("description", about["help"])
    for option, own in about["options"].items():
        settings = dict(own or _SHARED[option])
        settings |= {key: _meant(settings[key]) for key in ("type", "choices", "action") if key in settings}
        settings["help"] = settings["help"].replace("{SOLVERS}", ", ".join(SOLVERS))
        if exclusive := settings.pop("exclusive", False):
            group = group or parser.add_mutually_exclusive_group()
        place = group if exclusive else parser
        actions[option] = place.add_argument(*option.split(), **settings)
    for old, new in about.get("renamed", {}).items():
        hidden: dict[str, Any] = dict.fromkeys(("default", "help"), argparse.SUPPRESS)
        hidden |= {"dest": actions[new].dest, "type": actions[new].type}
        parser.add_argument(old, action=_Renamed, **hidden)


def model_file(name: str) -> Path:
    """The file of a shipped model or of the user's.

    Raises:
        UsageError: there is none of that name: nothing was tried yet.
    """
    from diffgmm.diffusion.pretrained import ModelError, model_path

    try:
        return model_path(name)
    except ModelError as error:
        raise UsageError(str(error)) from error


def check_metrics(names: Sequence[str], trust: Sequence[str]) -> None:
    """Find out before any work that a metric can't be used.

    Raises:
        UsageError: there is none of that name, or it is of a package that is not trusted.
    """
    from diffgmm.metrics import get_metric

    try:
        for name in names:
            get_metric(name, trust)
    except ValueError as error:
        raise UsageError(str(error)) from error


def check_output_file(path: Path, overwrite: bool) -> None:
    """Find out before any work that a file can't be written.

    Raises:
        UsageError: it exists and is not to be replaced, is a folder, or its folder is missing or read-only.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a directory, give a file name")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists already; choose another name or add --overwrite")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder to write into")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path.parent}: cannot write into this folder")
