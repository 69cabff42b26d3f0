"""Measured tables inside a page that is otherwise written by hand, between two marks."""

from __future__ import annotations

from pathlib import Path

from diffgmm.utils.errors import UsageError
from diffgmm.utils.files import replacing

MARKS = ("<!-- measured -->", "<!-- end of measured -->")


def check(page: Path | None) -> None:
    """Look before measuring; without a page there is nothing to look at.

    Raises:
        UsageError: the page lacks a mark.
    """
    if page is not None and any(mark not in page.read_text(encoding="utf-8") for mark in MARKS):
        raise UsageError(f"{page}: lacks the marks {' and '.join(MARKS)}")


def fill(page: Path | None, body: str) -> None:
    """Put ``body`` between the marks of a page, where there is one."""
    if page is None:
        return
    text = page.read_text(encoding="utf-8")
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    with replacing(page) as part:
        part.write_text(f"{before}{MARKS[0]}\n{body}\n{MARKS[1]}{after}", encoding="utf-8")
