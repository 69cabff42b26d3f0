"""Errors of a training run that are the user's to solve."""

from __future__ import annotations

from diffgmm.utils.errors import UserError


class TrainingError(UserError):
    """Training cannot go on: what happened, where, and what to do, in one line."""
