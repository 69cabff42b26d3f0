"""``diffgmm report``: results and training runs in, one page to look at and listen to out."""

from __future__ import annotations

import argparse
from pathlib import Path

from diffgmm.cli.options import add_shared, at_least, check_output_file
from diffgmm.utils.errors import UsageError

HELP = "make one HTML page of benchmark, evaluation and training runs"
_RUNS = "folder with results.json (of benchmark) or metrics.csv (of training), or a results file of evaluate"
_CODECS = ("auto", "flac", "ogg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help=_RUNS)
    add("-o", "--out", type=Path, metavar="FILE.html", help="the page (report.html without --markdown)")
    add("--markdown", type=Path, metavar="FILE.md", help="write the tables as Markdown")
    add("--examples", type=at_least(0), default=3, metavar="N", help="pairs to listen to, worst to best (3)")
    add("--audio", choices=_CODECS, default="auto", help="auto: FLAC while the page stays small (auto)")
    add("--model", metavar="NAME", help="show this model's uncertainty (default: of the run's own models)")
    add("--title", metavar="TEXT", help="of the page, and of the Markdown")
    add_shared(parser, "--overwrite")


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
        render_markdown(args.runs, args.markdown, title=args.title, overwrite=args.overwrite)
        print(f"wrote {args.markdown}")
    return 0
