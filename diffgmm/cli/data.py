"""``diffgmm data``: look at a corpus before anything is trained on it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from diffgmm.cli.options import add_shared, at_least, check_output_file
from diffgmm.utils.errors import FAILED, UsageError, complain

HELP = "look at a corpus: what is in it, how loud and clean it is, whether its splits are apart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("corpus", nargs="?", metavar="CORPUS", help="mini, a prepared corpus's name, a folder or a manifest")
    add("--speech", nargs="+", metavar="DIR", help="instead of a corpus: folders of voices")
    add("--noise", nargs="+", metavar="DIR", help="and folders of noises, split as training would split them")
    add("--check", action="store_true", help="read every clip; exit code 1 if anything is in two splits")
    add("--json", metavar="FILE", help="write all figures as JSON (- for stdout, without tables)")
    clips = "without --check: how many clips of each split and kind to measure (400; 0: all)"
    add("--clips", type=at_least(0), default=400, metavar="N", help=clips)
    add("--strict", action="store_true", help="stop at unreadable files and at a speaker in two splits")
    add_shared(parser, "--workers", "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Survey the corpus; returns 1 if the check finds a leak."""
    if bool(args.corpus) == bool(args.speech or args.noise) or bool(args.speech) != bool(args.noise):
        raise UsageError("give a corpus, or folders with --speech and --noise")
    file = Path(args.json) if args.json and args.json != "-" else None
    if file:
        check_output_file(file, args.overwrite)
    from data_modules.corpora.records import of_corpus, of_items
    from data_modules.inspect.survey import render, survey
    from data_modules.pools.collection import Collection, resolve_corpus
    from diffgmm.utils.files import write_text

    if args.corpus:
        place = resolve_corpus(args.corpus)
        name, root = args.corpus, str(place if place.is_dir() else place.parent)
        records = of_corpus(args.corpus, args.strict)
    else:
        name, root = f"{' '.join(args.speech)} with {' '.join(args.noise)}", ""
        records = of_items(Collection(speech=args.speech, noise=args.noise).items(args.strict))
    report = survey(name, records, args.clips, args.check, args.workers)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    print(text if args.json == "-" else render(report, root))
    if file:
        write_text(file, text + "\n")
    if args.strict and report["unreadable"]:
        complain(f"{name}: {len(report['unreadable'])} file(s) can't be read, and --strict was given")
        return FAILED
    return FAILED if report["leaks"] else 0
