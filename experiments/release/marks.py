"""Measured tables inside a page that is otherwise written by hand, between two marks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from diffgmm.utils.errors import UsageError, UserError, exit_code
from diffgmm.utils.files import write_text


def marks(name: str = "measured") -> tuple[str, str]:
    """The lines before and after a measured part."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def check(page: Path | None, name: str = "measured") -> None:
    """Look before measuring; without a page there is nothing to look at.

    Raises:
        UsageError: the page lacks a mark.
    """
    if page is not None and any(mark not in page.read_text(encoding="utf-8") for mark in marks(name)):
        raise UsageError(f"{page}: lacks the marks {' and '.join(marks(name))}")


def measured(page: Path | None, measure: Callable[[], str]) -> int:
    """Measure, print, and write between the marks of a page, which is looked at first; returns the exit code."""
    try:
        check(page)
        body = measure()
    except UserError as error:
        return exit_code(error)
    print(body)
    fill(page, body)
    return 0


def fill(page: Path | None, body: str, name: str = "measured") -> None:
    """Put ``body`` between the marks of a page, where there is one."""
    if page is None:
        return
    text, (begin, end) = page.read_text(encoding="utf-8"), marks(name)
    before, after = text.split(begin)[0], text.split(end)[1]
    write_text(page, f"{before}{begin}\n{body}\n{end}{after}")
