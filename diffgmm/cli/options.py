"""Options that several verbs share; nothing heavy is imported for ``--help``."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffgmm.diffusion.sampler_options import MOST_STEPS
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


def add_shared(parser: argparse.ArgumentParser, *wanted: str) -> None:
    """Declare those of the options that several verbs have; ``--model`` is read by :func:`model_file`."""

    def add(name: str, **settings: Any) -> None:
        if name in wanted:
            parser.add_argument(name, **settings)

    trust = (
        "import this package if the model or an option names a part of it, which runs its code; repeatable"
    )
    add("--model", default="base", metavar="NAME", help="shipped model, .ckpt, .json or .safetensors (base)")
    add("--trust", action="append", default=[], metavar="PACKAGE", help=trust)
    add("--device", default="auto", metavar="D", help="cpu, cuda, cuda:N, or auto: a GPU if there is one")
    add("--threads", type=processes, metavar="N", help="CPU threads in all (OMP_NUM_THREADS, or all cores)")
    add("--strength", type=fraction, default=1.0, metavar="S", help="0: no change, 1: the model's result (1)")
    add("--seed", type=at_least(0, 2**63 - 1), default=0, metavar="N", help="of what is drawn at random (0)")
    add("--jobs", type=processes, metavar="N", help="processes (default: all cores)")
    add("--workers", type=processes, metavar="N", help="processes (default: one per core)")
    add("--downloads", type=Path, metavar="DIR", help="folder of files that you have already; only read")
    add("--mirror", metavar="URL", help="address of a folder with all files of the corpus")
    add("--baselines-python", metavar="PYTHON", help="interpreter that has the baselines, if not this one")
    add("--overwrite", action="store_true", help="replace what exists")
    add("--json", action="store_true", help="print everything as JSON")


def add_renamed(parser: argparse.ArgumentParser, **renamed: tuple[str, Callable[[str], Any]]) -> None:
    """Accept options by the names of an earlier version, with a warning; ``--help`` leaves them out.

    Args:
        parser: has the options by their new names.
        renamed: by the old name, the new one (both as attributes) and the type.
    """

    class Renamed(argparse.Action):
        """Stores the value for the new option."""

        def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
            warn(f"{option} is now --{self.dest.replace('_', '-')}")
            setattr(namespace, self.dest, values)

    for old, (new, kind) in renamed.items():
        hidden: dict[str, Any] = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
        parser.add_argument(f"--{old.replace('_', '-')}", action=Renamed, dest=new, type=kind, **hidden)


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
