"""The one error that a user of the data modules can cause."""

from __future__ import annotations

from collections.abc import Sequence

from diffgmm.utils.errors import UserError


class DataError(UserError):
    """Something about the user's data is wrong; the message is one line: what, where, what to do."""


MOST_WINDOWS = 10**9
"""Of an epoch."""

MOST_SAMPLES = 2**28
"""Of a batch: 1 GiB of noisy sound."""


def require_between(prefix: str = "data.", **limits: tuple[float, float, float]) -> None:
    """Check settings, each given as ``name=(value, least, most)``; the upper limits are wide, against sizes beyond use.

    Raises:
        DataError: naming the first value that is out of its limits, or not a number.
    """
    for name, (value, least, most) in limits.items():
        if not value >= least:
            raise DataError(f"{prefix}{name} is {value!r:.40}, must be at least {least}")
        if value > most:
            raise DataError(f"{prefix}{name} is {value!r:.40}, must be at most {most}")


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
