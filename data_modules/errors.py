"""The one error that a user of the data modules can cause."""

from __future__ import annotations

__all__ = ["DataError"]


class DataError(ValueError):
    """Something about the user's data is wrong; the message is one line: what, where, what to do."""
