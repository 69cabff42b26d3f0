"""``diffgmm report``: results and training runs in, one page to look at and listen to out."""

from __future__ import annotations

import argparse
from pathlib import Path

from diffgmm.cli.options import check_output_file

HELP = "make one HTML page of benchmark, evaluation and training runs"
_CODECS = ("auto", "flac", "ogg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder with results.json (of benchmark) or metrics.csv (of training), or a results file of evaluate",
    )
    add("-o", "--out", metavar="FILE.html", help="the page (default: report.html)")
    add(
        "--markdown",
        metavar="FILE.md",
        help="write the tables as Markdown; without -o nothing else is written",
    )
    add("--examples", type=int, default=3, metavar="N", help="pairs to listen to, from worst to best (3)")
    add(
        "--audio",
        choices=_CODECS,
        default="auto",
        help="auto: lossless FLAC while the page stays small (auto)",
    )
    add("--model", metavar="NAME", help="show this model's uncertainty (default: of the run's own models)")
    add("--title", metavar="TEXT", help="of the page")
    add("--overwrite", action="store_true", help="replace existing files")


def run(args: argparse.Namespace) -> int:
    """Make the report; returns 0."""
    from diffgmm.report import render, render_markdown
    from diffgmm.utils.errors import UsageError

    if args.examples < 0:
        raise UsageError(f"--examples must be at least 0, got {args.examples}")
    page = Path(args.out or "report.html") if args.out or not args.markdown else None
    text = Path(args.markdown) if args.markdown else None
    for path in (page, text):
        if path is not None:
            check_output_file(path, args.overwrite)
    if page is not None and text is not None and page.absolute() == text.absolute():
        raise UsageError(f"{page}: would hold both the page and the Markdown; choose another name")
    if page is not None:
        render(
            args.runs, page, examples=args.examples, title=args.title, codec=args.audio, model=args.model,
            overwrite=args.overwrite,
        )  # fmt: skip
        print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)")
    if text is not None:
        render_markdown(args.runs, text, overwrite=args.overwrite)
        print(f"wrote {text}")
    return 0
