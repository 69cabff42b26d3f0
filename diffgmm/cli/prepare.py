"""``diffgmm prepare``: a corpus by its name, from download to manifest."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    add("--root", metavar="DIR", help="folder of corpora (default: where `corpus:` in a YAML looks)")
    add("--variant", metavar="NAME", help="one of the corpus's variants (default: its first)")
    add("--name", metavar="NAME", help="what to call the result (default: the corpus's name)")
    add(
        "--downloads",
        metavar="DIR",
        help="folder with files that are there already (archives, .deb packages; your own recordings for the "
        "corpora made of those); nothing is written into it",
    )
    add("--speech", nargs="+", metavar="DIR", help="your own voices, for the corpus `folders`")
    add("--noise", nargs="+", metavar="DIR", help="your own noises, for the corpus `folders`")
    add("--mirror", metavar="URL", help="address of a folder with all the files, to fetch them from there")
    add("--overwrite", action="store_true", help="replace a corpus (with --pairs: the pairs) that is there")
    add("--workers", type=int, metavar="N", help="processes (default: one per core)")
    add(
        "--pairs",
        type=int,
        metavar="N",
        help="also write N training pairs to disk, N/10 for validation and test",
    )
    add("--preset", metavar="NAME", help="of the pairs: belz (8 kHz, default) or plain (16 kHz)")
    add("--seconds", type=float, metavar="S", help="length of each pair (default: the preset's, about 1)")
    add(
        "--pairs-out",
        metavar="DIR",
        help="folder of the pairs (default: pairs/CORPUS-PRESET-N in $DIFFGMM_HOME)",
    )
    add("--strict", action="store_true", help="stop at the first unusable file instead of leaving it out")


def run(args: argparse.Namespace) -> int:
    """Prepare the corpus and print its table of hours, speakers and categories."""
    from data_modules import home
    from data_modules.corpora.build.engine import prepare
    from diffgmm.utils.errors import UsageError
    from diffgmm.utils.interrupts import leaving_on_sigterm

    if args.list:
        print(_listing(as_json=args.json))
        return 0
    if args.corpus is None:
        raise UsageError("which corpus? `diffgmm prepare --list` shows what there is")
    if args.json:
        raise UsageError("--json goes with --list")
    if args.workers is not None and args.workers < 1:
        raise UsageError(f"--workers must be at least 1, got {args.workers}")
    _check_pairs(args)
    root = Path(args.root).expanduser() if args.root else home() / "corpora"
    there = "mini" if args.corpus == "mini" else str(root / (args.name or args.corpus))
    if args.pairs is not None and (there == "mini" or Path(there).is_dir()):
        return _write_pairs(args, there)
    with leaving_on_sigterm():
        corpus = prepare(
            _recipe(args),
            root,
            args.variant,
            name=args.name,
            downloads=Path(args.downloads).expanduser() if args.downloads else None,
            mirror=args.mirror,
            overwrite=args.overwrite,
            workers=args.workers,
            strict=args.strict,
        )
    _report(corpus)
    return 0 if args.pairs is None else _write_pairs(args, str(corpus))


def _check_pairs(args: argparse.Namespace) -> None:
    from diffgmm.utils.errors import UsageError

    for name in ("preset", "seconds", "pairs_out"):
        if args.pairs is None and getattr(args, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} goes with --pairs N")
    if args.pairs is not None and args.pairs < 1:
        raise UsageError(f"--pairs must be at least 1, got {args.pairs}")


def _write_pairs(args: argparse.Namespace, corpus: str) -> int:
    """Write pairs of a corpus that is there (and leave that as it is), and say where and what they are."""
    from data_modules import home
    from data_modules.offline.run import create_pairs, describe

    preset = args.preset or "belz"
    name = f"{args.name or args.corpus}-{preset}-{args.pairs}"
    folder = Path(args.pairs_out).expanduser() if args.pairs_out else home() / "pairs" / name
    create_pairs(
        folder, args.pairs, corpus=corpus, preset=preset, seconds=args.seconds, workers=args.workers,
        strict=args.strict, overwrite=args.overwrite,
    )  # fmt: skip
    print(describe(folder))
    print(f"written to: {folder}")
    return 0


def _recipe(args: argparse.Namespace) -> Recipe:
    from data_modules.corpora.index import recipe
    from diffgmm.utils.errors import UsageError

    chosen = recipe(args.corpus)
    if not (args.speech or args.noise):
        return chosen
    if args.corpus != "folders":
        raise UsageError(f"--speech and --noise go with the corpus `folders`, not with {args.corpus}")
    if not (args.speech and args.noise):
        raise UsageError(f"give {'--noise' if args.speech else '--speech'} DIR too; a corpus needs both")
    if args.downloads:
        raise UsageError("give --speech and --noise, or --downloads with one folder of both")
    from data_modules.corpora.recipes.folders import with_options

    return with_options(speech=args.speech, noise=args.noise)


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


def _left_out(refused: list[dict[str, Any]]) -> list[str]:
    """A line on what the corpus's own rules left out, and one for each other reason, with names."""
    by_rule: dict[str, int] = {}
    lines = []
    for entry in refused:
        if entry["by_rule"]:
            by_rule[entry["reason"]] = by_rule.get(entry["reason"], 0) + entry["count"]
        else:
            names = ", ".join(entry["members"][:_NAMED]) + (" ..." if entry["count"] > _NAMED else "")
            lines.append(f"left out {entry['count']} {entry['reason']}: {entry['source']}: {names}")
    if by_rule:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(by_rule.items()))
        lines.append(f"left out by the corpus's rules: {counts}")
    return lines


def _facts(recipe: Recipe) -> list[dict[str, Any]]:
    return [
        {
            "name": recipe.name,
            "variant": variant,
            "what": recipe.title,
            "hours": recipe.hours.get(variant),
            "download_bytes": recipe.download_bytes.get(variant),
            "licence": recipe.licence,
            "from": recipe.homepage,
            "citation": recipe.citation,
            "sample_rate": recipe.sample_rate,
            "notes": list(recipe.notes),
        }
        for variant in recipe.variants
    ]


def _listing(*, as_json: bool) -> str:
    from data_modules.corpora.fetch.space import human
    from data_modules.corpora.index import RECIPES, recipe
    from diffgmm.utils.text_table import aligned

    facts = [row for name in RECIPES for row in _facts(recipe(name))]
    if as_json:
        return json.dumps(facts, indent=2, ensure_ascii=False)
    rows: list[tuple[str, ...]] = [("name", "variant", "hours", "download", "what", "licence", "from")]
    for row in facts:
        first = row["name"] != rows[-1][0]
        hours = f"{row['hours']:.1f}" if row["hours"] else "-"
        size = human(row["download_bytes"]) if row["download_bytes"] else "-"
        texts = (row["name"], row["variant"] or "-", hours, size)
        about = (row["what"], row["licence"], row["from"] or "-") if first else ("", "", "")  # once a corpus
        rows.append((*texts, *about))
    return "\n".join(aligned(rows, left={0, 1, 4, 5, 6}))
