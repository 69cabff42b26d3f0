"""``diffgmm evaluate``: folders of clean and enhanced speech in, a table of scores out."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffgmm.cli.options import add_trust, check_output_file

if TYPE_CHECKING:
    from diffgmm.evaluation.pairing import Pair, Pairing

HELP = "score enhanced speech against clean speech"
_FORMATS = (".csv", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("--clean", metavar="DIR", help="folder of clean speech")
    add("--enhanced", metavar="DIR", help="folder of enhanced files of the same names")
    add("--noisy", metavar="DIR", help="folder of noisy files of the same names, to show the improvement")
    add(
        "--manifest",
        metavar="FILE.csv",
        help="instead of --clean and --noisy: a table with columns clean, enhanced (or give --enhanced DIR), and "
        "optionally noisy, name, snr, speaker, noise; paths relative to it",
    )
    add("--vs", metavar="DIR", help="compare with another system's files of the same names, with a test")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="write the scores of every file as .csv or .parquet, and beside it a summary of the same name as .json",
    )
    add("--results", metavar="FILE.json", help="write what `diffgmm report` reads")
    add(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="default: pesq_wb (pesq_nb below 16 kHz) stoi estoi si_sdr; also snr segmental_snr sdr lsd llr wss csig "
        "cbak covl dnsmos_sig dnsmos_bak dnsmos_ovrl dnsmos_p808 distillmos residual_noise iou f1 dice, or all; or "
        "PACKAGE.MODULE:FUNCTION of a package that you --trust",
    )
    add_trust(parser)
    add("--jobs", type=int, metavar="N", help="processes (default: as many as there are cores)")
    add("--resample", action="store_true", help="bring differing sample rates together instead of refusing")
    add("--align", action="store_true", help="shift files that lag their clean ones back before scoring")
    add("--overwrite", action="store_true", help="replace existing files")


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns 1 if any file failed or has no counterpart (the others are scored all the same)."""
    from tqdm import tqdm

    from diffgmm.audio import AudioError
    from diffgmm.evaluation import evaluate, pairing, results, scores, tables
    from diffgmm.utils.cores import usable_cores
    from diffgmm.utils.errors import FAILED, UsageError, complain

    table, summary_file, results_file = _outputs(args)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {args.jobs}")
    try:
        paired = _paired(args)
        other = pairing.beside(paired, args.vs) if args.vs is not None else pairing.Pairing(())
    except AudioError as error:
        raise UsageError(str(error)) from error
    if args.vs is not None and not other.pairs:
        raise UsageError(f"no file in {args.vs} has the name of a pair (endings may differ)")
    names = _metrics(args.metrics, paired.pairs, args.trust)
    everything = [*paired.pairs, *other.pairs]
    jobs = args.jobs or max(
        1, min(usable_cores(), len(everything) // 4)
    )  # starting a process costs a few files
    with tqdm(total=len(everything), unit="file", disable=None, leave=False) as bar:
        rows = evaluate.evaluate(
            everything,
            names,
            resample=args.resample,
            align=args.align,
            jobs=jobs,
            on_row=lambda _: bar.update(),
        )
    mine, theirs = rows[: len(paired.pairs)], rows[len(paired.pairs) :]
    print(tables.render(mine, names, args.align))
    compared = {}
    if args.vs is not None:
        compared = {str(args.vs): scores.comparisons(mine, theirs, names)}
        print("\n" + tables.render_comparison(compared[str(args.vs)], args.vs))
    unmatched = [*paired.unmatched, *other.unmatched]
    bad = [error for row in rows for error in row.errors]
    for lines in (unmatched, bad):
        for line in lines[: tables.LINES]:
            complain(line)
        if len(lines) > tables.LINES:
            complain(f"... and {len(lines) - tables.LINES} more")
    if table is not None and summary_file is not None:
        scores.write_table(table, mine, names)
        scores.write_summary(summary_file, scores.summary(mine, names, unmatched, compared))
        print(f"wrote {table} and {summary_file}")
    if results_file is not None:
        systems = {"enhanced" if args.enhanced is None else Path(args.enhanced).name or "enhanced": mine}
        if args.vs is not None:
            name = Path(args.vs).name
            systems[name if name and name not in systems else str(args.vs)] = theirs
        config = {"metrics": list(names), "resample": args.resample, "align": args.align}
        outcome = scores.to_results(paired.pairs, systems, names, results_file.parent, config)
        results.write_results(results_file, outcome)
        print(f"wrote {results_file}")
    return FAILED if bad or unmatched else 0


def _paired(args: argparse.Namespace) -> Pairing:
    from diffgmm.evaluation import pairing
    from diffgmm.utils.errors import UsageError

    if args.manifest is not None:
        if args.clean is not None or args.noisy is not None:
            raise UsageError("--manifest names the clean and noisy files: leave out --clean and --noisy")
        paired = pairing.pair_manifest(args.manifest, args.enhanced)
        if not paired.pairs:
            raise UsageError(f"{args.manifest}: no pair to score")
        return paired
    if args.clean is None or args.enhanced is None:
        raise UsageError("give --clean and --enhanced, or --manifest (see diffgmm evaluate --help)")
    paired = pairing.pair_folders(args.clean, args.enhanced, args.noisy)
    if not paired.pairs:
        raise UsageError(
            f"no file in {args.enhanced} has the name of one in {args.clean} (endings may differ)"
        )
    return paired


def _outputs(args: argparse.Namespace) -> tuple[Path | None, Path | None, Path | None]:
    """Files for the table, its summary and the results, each checked before any work."""
    from diffgmm.utils.errors import UsageError

    table = summary = None
    if args.output is not None:
        table = Path(args.output)
        if table.is_dir():
            raise UsageError(f"{table}: is a directory, give a file name for the scores")
        if table.suffix.lower() not in _FORMATS:
            raise UsageError(f"{table}: the name must end in {' or '.join(_FORMATS)}")
        if table.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
            raise UsageError(f"{table}: Parquet needs pyarrow: pip install diffgmm[parquet], or write .csv")
        summary = table.with_suffix(".json")
    results_file = None if args.results is None else Path(args.results)
    if results_file is not None and results_file == summary:
        raise UsageError(f"{results_file}: would hold both the summary and the results; choose another name")
    for path in (table, summary, results_file):
        if path is not None:
            check_output_file(path, args.overwrite)
    return table, summary, results_file


def _metrics(asked: Sequence[str] | None, pairs: Sequence[Pair], trust: Sequence[str]) -> tuple[str, ...]:
    from diffgmm import audio, metrics
    from diffgmm.utils.errors import UsageError

    if asked:
        names = [name for entry in asked for name in entry.split(",") if name]
        if names == ["all"]:
            return metrics.NAMES
        try:
            for name in names:
                metrics.get_metric(name, trust)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return tuple(dict.fromkeys(names))
    for pair in pairs:
        try:
            return metrics.default_names(audio.probe(pair.clean).sample_rate)
        except audio.AudioError:
            continue  # will be named when it is scored
    return metrics.default_names(16000)
