"""The one error of exporting."""

from __future__ import annotations

from diffgmm.utils.errors import UserError


class ExportError(UserError):
    """A model cannot be exported as asked; the message says why and what to do."""
