"""The error of a benchmark that is the user's to solve."""

from __future__ import annotations

from diffgmm.utils.errors import UserError


class BenchmarkError(UserError):
    """One line: what is wrong, where, and what to do."""
