"""``diffgmm evaluate``: folders of clean and enhanced speech in, a table of scores out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffgmm.cli.options import add_shared, check_metrics, check_output_file
from diffgmm.utils.errors import FAILED, UsageError, complain

if TYPE_CHECKING:
    from diffgmm.evaluation.pairing import Pair, Pairing

HELP = "score enhanced speech against clean speech"
_MANIFEST = (
    "instead of --clean and --noisy: a table with columns clean, enhanced (or give --enhanced DIR), and optionally "
    "noisy, name, snr, speaker, noise; paths relative to it"
)
_METRICS = (
    "default: pesq_wb (pesq_nb below 16 kHz) stoi estoi si_sdr; also snr segmental_snr sdr lsd llr wss csig cbak covl "
    "dnsmos_sig dnsmos_bak dnsmos_ovrl dnsmos_p808 distillmos wer_moonshine_tiny residual_noise iou f1 dice, or "
    "all; or PACKAGE.MODULE:FUNCTION of a package that you --trust"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("--clean", metavar="DIR", help="folder of clean speech")
    add("--enhanced", metavar="DIR", help="folder of enhanced files of the same names")
    add("--noisy", metavar="DIR", help="folder of noisy files of the same names, to show the improvement")
    add("--manifest", metavar="FILE.csv", help=_MANIFEST)
    add("--vs", metavar="DIR", help="compare with another system's files of the same names, with a test")
    add("-o", "--output", type=Path, metavar="FILE.csv", help="write the scores of every file")
    add("--results", type=Path, metavar="FILE.json", help="write what `diffgmm report` reads")
    add("--metrics", nargs="+", metavar="NAME", help=_METRICS)
    add("--resample", action="store_true", help="bring differing sample rates together instead of refusing")
    add("--align", action="store_true", help="shift files that lag their clean ones back before scoring")
    add_shared(parser, "--trust", "--jobs", "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns 1 if any file failed or has no counterpart (the others are scored all the same)."""
    from tqdm import tqdm

    from diffgmm.audio import AudioError
    from diffgmm.evaluation import evaluate, pairing, results, scores
    from diffgmm.utils.cores import usable_cores

    if args.output is not None and args.output.suffix.lower() != ".csv" and not args.output.is_dir():
        raise UsageError(f"{args.output}: the name must end in .csv")
    for path in filter(None, (args.output, args.results)):
        check_output_file(path, args.overwrite)
    try:
        paired = _paired(args)
        other = pairing.beside(paired, args.vs) if args.vs is not None else pairing.Pairing(())
    except AudioError as error:
        raise UsageError(str(error)) from error
    if args.vs is not None and not other.pairs:
        raise UsageError(f"no file in {args.vs} has the name of a pair (endings may differ)")
    names = _metrics(args.metrics, paired.pairs, args.trust)
    pairs = [*paired.pairs, *other.pairs]
    jobs = args.jobs or max(1, min(usable_cores(), len(pairs) // 4))  # starting a process costs a few files
    with tqdm(total=len(pairs), unit="file", disable=None, leave=False) as bar:
        rows = evaluate.evaluate(
            pairs, names, resample=args.resample, align=args.align, jobs=jobs, on_row=lambda _: bar.update()
        )
    mine, theirs = rows[: len(paired.pairs)], rows[len(paired.pairs) :]
    print(scores.render(mine, names, args.align))
    if args.vs is not None:
        print("\n" + scores.render_comparison(scores.comparisons(mine, theirs, names), args.vs))
    unmatched = [*paired.unmatched, *other.unmatched]
    bad = [error for row in rows for error in row.errors]
    for lines in (unmatched, bad):
        for line in lines[: scores.LINES]:
            complain(line)
        if len(lines) > scores.LINES:
            complain(f"... and {len(lines) - scores.LINES} more")
    if args.output is not None:
        scores.write_table(args.output, mine, names)
        print(f"wrote {args.output}")
    if args.results is not None:
        systems = {Path(args.enhanced or "enhanced").name or "enhanced": mine}
        if args.vs is not None:
            name = Path(args.vs).name
            systems[name if name and name not in systems else str(args.vs)] = theirs
        config = {"metrics": list(names), "resample": args.resample, "align": args.align}
        outcome = scores.to_results(paired.pairs, systems, names, args.results.parent, config)
        results.write_results(args.results, outcome)
        print(f"wrote {args.results}")
    return FAILED if bad or unmatched else 0


def _paired(args: argparse.Namespace) -> Pairing:
    from diffgmm.evaluation import pairing

    if args.manifest is not None:
        if args.clean is not None or args.noisy is not None:
            raise UsageError("--manifest names the clean and noisy files: leave out --clean and --noisy")
        paired = pairing.pair_manifest(args.manifest, args.enhanced)
        empty = f"{args.manifest}: no pair to score"
    elif args.clean is None or args.enhanced is None:
        raise UsageError("give --clean and --enhanced, or --manifest (see diffgmm evaluate --help)")
    else:
        paired = pairing.pair_folders(args.clean, args.enhanced, args.noisy)
        empty = f"no file in {args.enhanced} has the name of one in {args.clean} (endings may differ)"
    if not paired.pairs:
        raise UsageError(empty)
    return paired


def _metrics(asked: Sequence[str] | None, pairs: Sequence[Pair], trust: Sequence[str]) -> tuple[str, ...]:
    from diffgmm import audio, metrics

    if asked:
        names = [name for entry in asked for name in entry.split(",") if name]
        if names == ["all"]:
            return metrics.NAMES
        check_metrics(names, trust)
        return tuple(dict.fromkeys(names))
    for pair in pairs:
        try:
            return metrics.default_names(audio.probe(pair.clean).sample_rate)
        except audio.AudioError:
            continue  # will be named when it is scored
    return metrics.default_names(16000)
