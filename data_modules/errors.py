"""The one error that a user of the data modules can cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffgmm.utils.errors import UserError


class DataError(UserError):
    """Something about the user's data is wrong; the message is one line: what, where, what to do."""


def require_at_least(settings: Mapping[str, Any], **limits: float) -> None:
    """Check settings of a DataModule, the arguments of its constructor by name.

    Raises:
        DataError: naming the first value that is below its limit, or not a number.
    """
    for name, least in limits.items():
        if not settings[name] >= least:
            raise DataError(f"data.{name} is {settings[name]}, must be at least {least}")


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
