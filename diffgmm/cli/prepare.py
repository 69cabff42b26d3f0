"""``diffgmm prepare``: a corpus by its name, from download to manifest."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.cli.options import add_shared
from diffgmm.utils.errors import UsageError
from diffgmm.utils.interrupts import Interrupts
from diffgmm.utils.text_table import aligned

if TYPE_CHECKING:
    from data_modules.corpora.recipe import Recipe

HELP = "fetch a corpus and prepare it for training"
_NAMED = 3  # files left out that are named for each reason; corpus.json has them all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("corpus", nargs="?", metavar="CORPUS", help="name of the corpus, see --list")
    add("--list", action="store_true", help="show the corpora: what, hours, size, licence, where from")
    add("--json", action="store_true", help="with --list: as JSON")
    add("--root", type=Path, metavar="DIR", help="folder of corpora (where `corpus:` in a YAML looks)")
    add("--variant", metavar="NAME", help="one of the corpus's variants (default: its first)")
    add("--name", metavar="NAME", help="what to call the result (default: the corpus's name)")
    add("--speech", nargs="+", metavar="DIR", help="your own voices, for the corpus `folders`")
    add("--noise", nargs="+", metavar="DIR", help="your own noises, for the corpus `folders`")
    add("--strict", action="store_true", help="stop at the first unusable file instead of leaving it out")
    add_shared(parser, "--downloads", "--mirror", "--workers", "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Prepare the corpus and print its table of hours, speakers and categories."""
    from data_modules import home
    from data_modules.corpora.build.engine import prepare

    if args.list:
        print(_listing(as_json=args.json))
        return 0
    if args.corpus is None:
        raise UsageError("which corpus? `diffgmm prepare --list` shows what there is")
    if args.json:
        raise UsageError("--json goes with --list")
    root = args.root.expanduser() if args.root else home() / "corpora"
    with Interrupts(at_once=True):
        corpus = prepare(
            _recipe(args), root, args.variant, name=args.name, mirror=args.mirror, overwrite=args.overwrite,
            downloads=args.downloads.expanduser() if args.downloads else None, workers=args.workers,
            strict=args.strict,
        )  # fmt: skip
    _report(corpus)
    return 0


def _recipe(args: argparse.Namespace) -> Recipe:
    from data_modules.corpora.index import recipe

    chosen = recipe(args.corpus)
    if not (args.speech or args.noise):
        return chosen
    if args.corpus != "folders":
        raise UsageError(f"--speech and --noise go with the corpus `folders`, not with {args.corpus}")
    if not (args.speech and args.noise):
        raise UsageError(f"give {'--noise' if args.speech else '--speech'} DIR too; a corpus needs both")
    if args.downloads:
        raise UsageError("give --speech and --noise, or --downloads with one folder of both")
    from data_modules.corpora.recipes.folders import of_folders

    return of_folders(args.speech, args.noise)


def _report(corpus: Path) -> None:
    """Say what is in the corpus, what was left out, and where everything is."""
    from data_modules.corpora.fetch.space import human, used
    from data_modules.corpora.records import of_corpus
    from data_modules.inspect.survey import overview, render

    about = json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))
    for line in [*about["notes"], *_left_out(about["refused"])]:
        print(line, file=sys.stderr)
    print(render(overview(corpus.name, of_corpus(str(corpus)))), end="\n\n")
    print(f"corpus: {corpus} ({human(used(corpus))}; details in {corpus / 'corpus.json'})")
    downloads = corpus.parent / "downloads"
    kept = [downloads / name for name in about["sources"] if (downloads / name).is_file()]
    if kept:
        size = human(sum(path.stat().st_size for path in kept))
        print(f"downloads: {downloads} ({size} for this corpus; may be deleted)")


def _left_out(refused: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each reason, with names, and one on what the corpus's own rules left out."""
    by_rule: Counter[str] = Counter()
    for entry in refused:
        if entry["by_rule"]:
            by_rule[entry["reason"]] += entry["count"]
        else:
            names = ", ".join(entry["members"][:_NAMED]) + (" ..." if entry["count"] > _NAMED else "")
            yield f"left out {entry['count']} {entry['reason']}: {entry['source']}: {names}"
    if by_rule:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(by_rule.items()))
        yield f"left out by the corpus's rules: {counts}"


def _facts(recipe: Recipe) -> Iterator[dict[str, Any]]:
    """A row for each variant."""
    about = {"what": recipe.title, "licence": recipe.licence, "from": recipe.homepage}
    about |= {name: getattr(recipe, name) for name in ("citation", "sample_rate", "notes")}
    for variant in recipe.variants:
        size = {"hours": recipe.hours.get(variant), "download_bytes": recipe.download_bytes.get(variant)}
        yield {"name": recipe.name, "variant": variant, **size, **about}


def _listing(*, as_json: bool) -> str:
    from data_modules.corpora.fetch.space import human
    from data_modules.corpora.index import RECIPES, recipe

    facts = [variant for name in RECIPES for variant in _facts(recipe(name))]
    if as_json:
        return json.dumps(facts, indent=2, ensure_ascii=False)
    rows: list[tuple[str, ...]] = [("name", "variant", "hours", "download", "what", "licence", "from")]
    for entry in facts:
        hours = f"{entry['hours']:.1f}" if entry["hours"] else "-"
        size = human(entry["download_bytes"]) if entry["download_bytes"] else "-"
        first = entry["name"] != rows[-1][0]  # the rest is said once a corpus
        about = (entry["what"], entry["licence"], entry["from"] or "-") if first else ("", "", "")
        rows.append((entry["name"], entry["variant"] or "-", hours, size, *about))
    return "\n".join(aligned(rows, left={0, 1, 4, 5, 6}))
