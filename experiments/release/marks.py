"""Measured tables inside a page that is otherwise written by hand, between two marks."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from diffgmm.utils.errors import UsageError, UserError, exit_code
from diffgmm.utils.files import write_text


def marks(name: str = "measured") -> tuple[str, str]:
    """The lines before and after a measured part."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def check(page: Path, name: str = "measured") -> None:
    """Look for the marks.

    Raises:
        UsageError: the page lacks a mark.
    """
    if any(mark not in page.read_text(encoding="utf-8") for mark in marks(name)):
        raise UsageError(f"{page}: lacks the marks {' and '.join(marks(name))}")


def measured(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, measure: Callable[[argparse.Namespace], str]
) -> int:
    """The command line of a measurement; returns the exit code: 0 done, 1 something can't be used, 2 wrong usage.

    It measures, prints, and writes between the marks of a page, if one is given, which is looked at first.
    """
    page = "put what is measured between the marks of this page"
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help=page)
    args = parser.parse_args(argv)
    try:
        if args.markdown:
            check(args.markdown)
        body = measure(args)
    except UserError as error:
        return exit_code(error)
    print(body)
    if args.markdown:
        fill(args.markdown, body)
    return 0


def fill(page: Path, body: str, name: str = "measured") -> None:
    """Put ``body`` between the marks of a page.

    Raises:
        UsageError: the page lacks a mark.
    """
    check(page, name)
    text, (begin, end) = page.read_text(encoding="utf-8"), marks(name)
    before, after = text.split(begin)[0], text.split(end)[1]
    write_text(page, f"{before}{begin}\n{body}\n{end}{after}")
