"""``diffgmm report``: results and training runs in, one page to look at and listen to out."""

from __future__ import annotations

import argparse
from pathlib import Path

from diffgmm.cli.options import check_output_file
from diffgmm.utils.errors import UsageError


def run(args: argparse.Namespace) -> int:
    """Make the report; returns 0."""
    from diffgmm.report import render, render_markdown

    page = args.out or (None if args.markdown else Path("report.html"))
    for path in filter(None, (page, args.markdown)):
        check_output_file(path, args.overwrite)
    if page and args.markdown and page.absolute() == args.markdown.absolute():
        raise UsageError(f"{page}: would hold both the page and the Markdown; choose another name")
    if page:
        render(
            args.runs, page, examples=args.examples, title=args.title, codec=args.audio, model=args.model,
            overwrite=args.overwrite,
        )  # fmt: skip
        print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)")
    if args.markdown:
        render_markdown(args.runs, args.markdown, overwrite=args.overwrite)
        print(f"wrote {args.markdown}")
    return 0
