"""Options that several verbs share; nothing heavy is imported for ``--help``."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffgmm.utils.errors import UsageError, warn


def at_least(lowest: int) -> Callable[[str], int]:
    """Type of an option that is a whole number from ``lowest`` on."""

    def number(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number from {lowest}, got {text!r}")
        return int(text)

    return number


def fraction(text: str) -> float:
    """Type of an option that is a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"must be a number in 0..1, got {text!r}")
    return value


def add_renamed(parser: argparse.ArgumentParser, names: Mapping[str, str]) -> None:
    """Accept options by the names of an earlier version, with a warning; ``--help`` leaves them out.

    Args:
        parser: has the options by their new names.
        names: new name by old name.
    """

    class Renamed(argparse.Action):
        """Stores the value for the new option."""

        def __call__(
            self,
            parser: argparse.ArgumentParser,
            namespace: argparse.Namespace,
            values: Any,
            option: str | None = None,
        ) -> None:
            warn(f"{option} is now {names[str(option)]}")
            setattr(namespace, self.dest, values)

    for old, new in names.items():
        dest = new.lstrip("-").replace("-", "_")
        parser.add_argument(old, action=Renamed, dest=dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare ``--model``, to be read by :func:`model_file`."""
    parser.add_argument(
        "--model",
        default="base",
        metavar="NAME",
        help="shipped model, or .ckpt/.json/.safetensors file (base)",
    )
    add_trust(parser)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Declare ``--trust``, a list of packages."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="import this package if the model or an option names a part of it, which runs its code; may be repeated",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare ``--device``."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help="cpu, cuda, cuda:N or auto: a GPU if there is one (auto)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Declare ``--threads``."""
    parser.add_argument(
        "--threads",
        type=at_least(1),
        metavar="N",
        help="CPU threads in all (default: OMP_NUM_THREADS, or all cores)",
    )


def add_strength(parser: argparse.ArgumentParser) -> None:
    """Declare ``--strength``, a number from 0 to 1."""
    parser.add_argument(
        "--strength",
        type=fraction,
        default=1.0,
        metavar="S",
        help="0 changes nothing, 1 is the model's result (1)",
    )


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
