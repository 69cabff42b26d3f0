"""``diffgmm data``: look at a corpus before anything is trained on it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from diffgmm.cli.options import check_output_file
from diffgmm.utils.errors import FAILED, UsageError, complain


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
