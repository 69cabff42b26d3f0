"""``diffgmm data``: look at a corpus before anything is trained on it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.utils.errors import FAILED, UsageError, complain

if TYPE_CHECKING:
    from data_modules.corpora.records import Record, Records
    from data_modules.inspect import report as report
    from data_modules.inspect.measure import Measured

HELP = "look at a corpus: what is in it, how loud and noisy it is, whether its splits are apart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("corpus", nargs="?", metavar="CORPUS", help="mini, a prepared corpus's name, a folder or a manifest")
    add("--config", metavar="FILE.yaml", help="an experiment: its corpus, and mixtures as it would train on")
    add("--speech", nargs="+", metavar="DIR", help="instead of a corpus: folders of voices")
    add("--noise", nargs="+", metavar="DIR", help="and folders of noises, split as training would split them")
    add("--check", action="store_true", help="read every clip; exit code 1 if anything is in two splits")
    add("--out", metavar="DIR", help="write tables, histograms, a sheet of spectrograms and mixtures to hear")
    add(
        "--json",
        metavar="FILE",
        help="write all figures as JSON (- for standard output, instead of the tables)",
    )
    add(
        "--clips",
        type=int,
        default=400,
        metavar="N",
        help="without --check: how many clips of each split and kind to measure (default 400; 0: all)",
    )
    add("--mixtures", type=int, default=8, metavar="N", help="mixtures to write (default 8)")
    add("--seed", type=int, default=0, metavar="N", help="of the mixtures (default 0)")
    add("--workers", type=int, metavar="N", help="processes (default: one per core)")
    add("--strict", action="store_true", help="stop at unreadable files and at a speaker in two splits")
    add("--overwrite", action="store_true", help="replace what an earlier look wrote")
    lhotse = parser.add_argument_group("lhotse manifests (needs `pip install lhotse`)")
    lhotse.add_argument(
        "--export-lhotse", metavar="DIR", help="write recordings, supervisions and cuts of the corpus"
    )
    lhotse.add_argument(
        "--import-lhotse",
        nargs="+",
        metavar="SPLIT/KIND=FILE",
        help="make a corpus of cuts, or of recordings with supervisions: train/speech=cuts.jsonl.gz "
        "test/speech=recordings.jsonl,supervisions.jsonl; --out DIR gets its manifest, the audio stays where it is",
    )


def run(args: argparse.Namespace) -> int:
    """Survey the corpus; returns 1 if the check finds a leak."""
    if args.import_lhotse:
        return _import(args)
    sources = [bool(args.corpus or args.config), bool(args.speech or args.noise)]
    if sum(sources) != 1 or bool(args.speech) != bool(args.noise):
        raise UsageError(
            "give a corpus (or an experiment with --config), or folders with --speech and --noise"
        )
    for name, least in (("clips", 0), ("mixtures", 0), ("seed", 0), ("workers", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} must be at least {least}, got {value}")
    _check_outputs(args)
    if args.export_lhotse:
        return _export(args)
    from data_modules.inspect import report as report

    settings = _settings(args)
    measured, leaks, compared = _measure(settings.records, args)
    survey = report.survey(settings, measured, leaks, compared)
    survey["mixtures"], drawn = report.mixtures(settings, args.mixtures, args.seed)
    text = report.as_text(survey, settings.root)
    if args.json == "-":
        print(json.dumps(survey, indent=1, ensure_ascii=False))
    else:
        print(text)
    if args.json and args.json != "-":
        report.write_json(Path(args.json), survey)
    if args.out:
        report.write(Path(args.out), settings, survey, drawn, text)
        print(f"written to {args.out}", file=sys.stderr)
    if args.strict and survey["unreadable"]:
        complain(
            f"{settings.name}: {len(survey['unreadable'])} file(s) can't be read, and --strict was given"
        )
        return FAILED
    return FAILED if leaks else 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse to replace anything before hours are spent."""
    from data_modules.inspect import report as data_report

    for name in (args.out, args.export_lhotse):
        path = Path(name) if name else None
        if path is None or not path.exists() or (path.is_dir() and not any(path.iterdir())):
            continue
        if not args.overwrite:
            raise UsageError(f"{path}: exists already; choose another folder or give --overwrite")
        if not data_report.replaceable(path) and name == args.out:
            raise UsageError(
                f"{path}: was not written by `diffgmm data`, and is not replaced; choose another"
            )
    if args.json and args.json != "-" and Path(args.json).exists() and not args.overwrite:
        raise UsageError(f"{args.json}: exists already; choose another name or give --overwrite")


def _settings(args: argparse.Namespace) -> report.Settings:
    from data_modules.corpora.records import of_collection, of_corpus
    from data_modules.inspect.report import Settings
    from data_modules.mixing.options import Mixing
    from data_modules.pools.collection import Collection, resolve_corpus

    if args.config:
        return _of_experiment(args)
    if args.corpus:
        where = resolve_corpus(args.corpus)
        root = str(where if where.is_dir() else where.parent)
        return Settings(args.corpus, root, of_corpus(args.corpus, args.strict), Mixing(), (), 16000, 16384)
    records = of_collection(Collection(speech=args.speech, noise=args.noise), args.strict)
    name = f"{' '.join(args.speech)} with {' '.join(args.noise)}"
    return Settings(name, "", records, Mixing(), (), 16000, 16384)


def _of_experiment(args: argparse.Namespace) -> report.Settings:
    """Corpus, mixing and augmentations as an experiment's YAML has them."""
    from data_modules.corpora.records import of_collection, of_corpus
    from data_modules.inspect.experiment import data_of
    from data_modules.inspect.report import Settings

    data = data_of(args.config)
    records = (
        of_corpus(args.corpus, args.strict) if args.corpus else of_collection(data.collection, args.strict)
    )
    name = args.corpus or f"corpus of {args.config}"
    return Settings(name, "", records, data.mixing, data.augmentations, data.sample_rate, data.window)


def _measure(
    records: Records, args: argparse.Namespace
) -> tuple[dict[Record, Measured], list[dict[str, Any]] | None, int]:
    """Levels of a sample of the clips, or of all of them with the leak check."""
    from data_modules.corpora.records import sample
    from data_modules.inspect.leaks import check
    from data_modules.inspect.measure import measure_all
    from data_modules.inspect.survey import leak_rows

    if args.check:
        checked = check([clip.item for clip in records.clips], args.workers)
        records.unreadable.extend(checked.unreadable)
        pairs = zip(records.clips, checked.measured, strict=True)
        measured = {clip: result for clip, result in pairs if result is not None}
        return measured, leak_rows(checked.leaks), checked.compared
    parts = records.by_part().values()
    chosen = [clip for clips in parts for clip in (sample(clips, args.clips) if args.clips else clips)]
    results = measure_all([clip.item for clip in chosen], workers=args.workers)
    measured = {}
    for clip, result in zip(chosen, results, strict=True):
        if isinstance(result, str):
            records.unreadable.append((clip.item.name, result))
        else:
            measured[clip] = result
    return measured, None, 0


def _export(args: argparse.Namespace) -> int:
    from data_modules.corpora.lhotse import export_manifests
    from data_modules.corpora.records import of_corpus

    if not args.corpus:
        raise UsageError("--export-lhotse needs a corpus")
    count = export_manifests(
        of_corpus(args.corpus, args.strict), Path(args.export_lhotse), overwrite=args.overwrite
    )
    print(f"{count} clips as lhotse manifests in {args.export_lhotse}")
    return 0


def _import(args: argparse.Namespace) -> int:
    from data_modules.corpora.lhotse import import_manifests

    if not args.out or args.corpus or args.config or args.speech or args.noise:
        raise UsageError("--import-lhotse makes a corpus: it needs --out DIR and no other corpus")
    sources: dict[tuple[str, str], list[Path]] = {}
    for text in args.import_lhotse:
        part, _, file = text.partition("=")
        split, _, kind = part.partition("/")
        if not (split and kind and file):
            raise UsageError(
                f"--import-lhotse {text}: must be SPLIT/KIND=FILE, such as train/speech=cuts.jsonl.gz"
            )
        sources.setdefault((split, kind), []).extend(Path(name) for name in file.split(","))
    manifest, left_out = import_manifests(sources, Path(args.out), overwrite=args.overwrite)
    for reason, names in left_out.items():
        print(
            f"left out {len(names)} {reason}: {', '.join(names[:3])}{' ...' if names[3:] else ''}",
            file=sys.stderr,
        )
    print(f"corpus: {manifest.parent}; look at it with `diffgmm data {manifest.parent}`")
    return 0
