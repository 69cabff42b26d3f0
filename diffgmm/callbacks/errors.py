"""Errors of a training run that are the user's to solve."""

from __future__ import annotations


class TrainingError(ValueError):
    """Training cannot go on: what happened, where, and what to do, in one line."""
