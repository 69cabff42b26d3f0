"""Configurations by the names that the documentation gives them, and settings as words of `diffgmm fit`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffgmm.utils.errors import UsageError

FOLDER = "experiments"


def experiment_file(name: str) -> str:
    """A configuration's path; one that is called ``experiments/...`` and isn't there is the one that was installed.

    Raises:
        UsageError: there is none, or it is no text.
    """
    if Path(name).is_file():
        try:
            Path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"{name}: no YAML, its text is not UTF-8") from error
        return name
    installed = Path(__file__).parents[2] / name
    parts = Path(name).parts
    if parts[:1] == (FOLDER,) and ".." not in parts and installed.is_file():
        return str(installed)
    raise UsageError(f"no such configuration: {name} (see the folder {FOLDER}/)")


def in_folder(folder: Path, **logger: str) -> dict[str, Any]:
    """Settings of a training that writes everything into a folder, its curves by a CSVLogger with these options."""
    logger = {"save_dir": str(folder), "name": "", **logger}
    return {
        "trainer.default_root_dir": str(folder),
        "trainer.logger": [{"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": logger}],
    }


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Settings as words of a command line.

    >>> arguments({"trainer.max_epochs": 2, "data.corpus": "mini"})
    ['--trainer.max_epochs=2', '--data.corpus=mini']
    """
    return [
        f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()
    ]
