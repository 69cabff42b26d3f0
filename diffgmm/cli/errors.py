"""How errors reach the user: one line on stderr and an exit code, in this one place."""

from __future__ import annotations

import os
import sys

FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
DEBUG = "DIFFGMM_DEBUG"

# Errors of the library that are the user's to solve. Looked up only if their module is loaded: none can be
# raised before, and loading them here would pull torch into `diffgmm --help`.
_FOR_USERS = {
    "diffgmm.audio": "AudioError",
    "diffgmm.shipped": "ModelError",
    "data_modules.errors": "DataError",
    "diffgmm.results": "ResultsError",
    "diffgmm.benchmark": "BenchmarkError",
    "diffgmm.export.errors": "ExportError",
    "diffgmm.callbacks.errors": "TrainingError",
}


class UsageError(ValueError):
    """The command line asks for something that cannot be: exit code 2, nothing was done."""


def for_users() -> tuple[type[Exception], ...]:
    """Exception classes whose message is meant for the user and names the file and the way out."""
    loaded = ((sys.modules.get(module), name) for module, name in _FOR_USERS.items())
    return (OSError, *(getattr(module, name) for module, name in loaded if hasattr(module, name)))


def complain(error: BaseException | str) -> None:
    """Print ``diffgmm: error: ...`` on stderr, always one line."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    print("diffgmm: error:", " ".join(text.split()), file=sys.stderr)


def exit_code(error: Exception) -> int:
    """Report an error that ended a verb and return the exit code; bugs are raised again."""
    if os.environ.get(DEBUG) == "1" or not isinstance(error, (UsageError, *for_users())):
        raise error
    complain(error)
    return USAGE if isinstance(error, UsageError) else FAILED
