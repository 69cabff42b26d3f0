"""The error of a benchmark that is the user's to solve."""

from __future__ import annotations


class BenchmarkError(ValueError):
    """One line: what is wrong, where, and what to do."""
