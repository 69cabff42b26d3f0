"""Errors for users: one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
DEBUG = "DIFFGMM_DEBUG"
_LONGEST = 900  # characters


class UserError(ValueError):
    """Base of the errors that are the user's to solve: one line that says what, where, and what to do."""


class UsageError(UserError):
    """The command line asks for something that cannot be: exit code 2, nothing was done."""


class AudioError(UserError):
    """A file of sound that cannot be read or written as asked: which file, what, what to do."""


FOR_USERS = (OSError, UserError)
"""What a command reports in one line; anything else is a bug and keeps its traceback."""


def one_line(error: BaseException | str) -> str:
    """What an error says, on one line; of the operating system's errors, the file and the reason."""
    text = str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        text = (
            f"this needs the package {error.name.partition('.')[0]}, which is not installed; a light install leaves it "
            "out, `pip install -e .` in the repository installs everything"
        )
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = " ".join(text.split())
    # It may quote an argument or what a file holds.
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 300]} ... {text[-200:]}"


def complain(error: BaseException | str) -> None:
    """Print ``diffgmm: error: ...`` on stderr, always one line."""
    print("diffgmm: error:", one_line(error), file=sys.stderr)


def warn(text: str) -> None:
    """Print ``diffgmm: warning: ...`` on stderr, always one line."""
    print("diffgmm: warning:", " ".join(text.split()), file=sys.stderr)


def lacks_package(error: BaseException) -> bool:
    """Whether a package of others is not installed, as in a light install."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return bool(name) and name not in ("diffgmm", "data_modules", "experiments")


def exit_code(error: Exception) -> int:
    """Report an error that ended a verb and return the exit code; bugs are raised again."""
    for_users = isinstance(error, FOR_USERS) or lacks_package(error)
    if os.environ.get(DEBUG) == "1" or not for_users:
        raise error
    complain(error)
    return USAGE if isinstance(error, UsageError) else FAILED


def one_of(name: str, value: object, choices: Collection[str]) -> None:
    """Check that ``value`` is one of the names that an option may have.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r:.40}")
