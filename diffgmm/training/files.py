"""Configurations by the names that the documentation gives them."""

from __future__ import annotations

from pathlib import Path

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
