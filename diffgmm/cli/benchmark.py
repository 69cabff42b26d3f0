"""``diffgmm benchmark``: models and other denoisers on a fixed set of pairs, in one table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffgmm.evaluation.benchmark.pairset import PairSet
    from diffgmm.evaluation.benchmark.systems import Candidate
from diffgmm.cli.options import add_renamed, add_trust
from diffgmm.utils.progress import Bars

HELP = "measure models and other denoisers on a fixed set of pairs"

_BASELINES = (
    "noisereduce-stationary noisereduce speex webrtc webrtc-noise-gain rnnoise nsnet2 dtln gtcrn dfn3 hush"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add(
        "--set",
        required=True,
        metavar="NAME",
        help="cross-test, cross-valid, real-valid, dsn-test, dsn-valid, voicebank-demand, voicebank-demand-valid, or a "
        "folder with clean/ and noisy/",
    )
    add(
        "--subset",
        metavar="NAME,...",
        help="only these pairs: main, snr-5 snr0 snr5 snr10 snr15 snr20, several_loud, narrow_8k (of dsn: alarm_8k), "
        "noise_48k, clean",
    )
    add(
        "--models", default="base", metavar="NAME,...", help="shipped names, files, NAME=FILE, or none (base)"
    )
    add_trust(parser)
    add("--nfe", default="1", metavar="N,...", help="network calls (1)")
    add("--estimate", default="mean", metavar="E,...", help="mean, sample, mode; each with every nfe (mean)")
    add("--samples", type=int, default=1, metavar="N", help="sampled results that are averaged (1)")
    add("--seed", type=int, default=0, metavar="N", help="of the sampling noise (0)")
    add(
        "--baselines",
        default="installed",
        metavar="NAME,...",
        help=f"{_BASELINES}, all, installed, none (installed)",
    )
    add(
        "--baselines-python",
        metavar="PYTHON",
        help="interpreter that has the baselines, if it is not this one",
    )
    add_renamed(parser, {"--peers": "--baselines", "--peers-python": "--baselines-python"})
    add(
        "--command",
        action="append",
        default=[],
        metavar="NAME=CMD",
        help="any program: NAME='prog {in} {out}' with WAV files; NAME@RATE+LAG=... resamples and aligns",
    )
    add(
        "--metrics",
        metavar="NAME,...",
        help="default: pesq_wb (pesq_nb at 8 kHz), stoi, estoi, si_sdr; or PACKAGE.MODULE:FUNCTION of a package that "
        "you --trust",
    )
    add(
        "--timing",
        choices=("auto", "again", "skip"),
        default="auto",
        help="auto: what is not known yet (auto)",
    )
    add("--jobs", type=int, metavar="N", help="processes for enhancing and scoring (default: all cores)")
    add(
        "--corpus", metavar="DIR", help="where the set's corpus is (default: where `diffgmm prepare` puts it)"
    )
    add("-o", "--out", metavar="DIR", help="folder for results.json, scores.csv, audio/ (benchmark-SET)")
    add("--overwrite", action="store_true", help="replace other results in the folder")


def run(args: argparse.Namespace) -> int:
    """Run the benchmark; returns 1 if a system failed on some file (the others are measured all the same)."""
    from data_modules import home
    from diffgmm.evaluation.benchmark.errors import BenchmarkError
    from diffgmm.evaluation.benchmark.run import Options, write
    from diffgmm.evaluation.benchmark.run import run as measure
    from diffgmm.report.text import render
    from diffgmm.utils.cores import usable_cores
    from diffgmm.utils.errors import FAILED, UsageError, complain
    from diffgmm.utils.interrupts import leaving_on_sigterm

    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {args.jobs}")
    out = Path(args.out or f"benchmark-{Path(args.set).name}")
    problems: list[str] = []
    with leaving_on_sigterm(), Bars() as bars:

        def note(line: str) -> None:
            problems.append(line)
            bars.above(lambda: complain(line))

        try:
            candidates = _candidates(args)
            pairs = _pairs(args).only(_names(args.subset))
            _check_out(out, pairs.info.name, args.overwrite)
            systems, names = measure(
                pairs,
                candidates,
                home() / "benchmark",
                Options(_names(args.metrics), args.jobs or usable_cores(), args.timing, tuple(args.trust)),
                bars.begin,
                note,
            )
        except BenchmarkError as error:
            raise UsageError(str(error)) from error
    config = {key: value for key, value in vars(args).items() if key not in ("out", "overwrite", "verb")}
    results = write(out, pairs, systems, names, command=_command(), config=config)
    print(render(results, bold=sys.stdout.isatty()))
    print(f"\nwrote {out / 'results.json'} and scores.csv; enhanced audio is in {out / 'audio'}")
    return FAILED if problems else 0


def _names(text: str | None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for name in (text or "").split(",") if name))
    return () if names == ("none",) else names


def _numbers(text: str) -> list[int]:
    from diffgmm.utils.errors import UsageError

    try:
        return [int(number) for number in _names(text)]
    except ValueError as error:
        raise UsageError(f"--nfe takes whole numbers with commas between, got {text!r}") from error


def _command() -> list[str]:
    return ["diffgmm", *sys.argv[1:]]


def _candidates(args: argparse.Namespace) -> list[Candidate]:
    from diffgmm.evaluation.benchmark import systems

    return [
        *systems.baseline_systems(_names(args.baselines), args.baselines_python),
        *(systems.command_system(text) for text in args.command),
        *systems.models(
            _names(args.models),
            _numbers(args.nfe),
            _names(args.estimate),
            args.samples,
            args.seed,
            args.trust,
        ),
    ]


def _pairs(args: argparse.Namespace) -> PairSet:
    from data_modules import benchmarks
    from data_modules.errors import DataError
    from diffgmm.evaluation.benchmark.errors import BenchmarkError
    from diffgmm.evaluation.benchmark.pairset import load_set

    if args.set in benchmarks.NAMES:
        return load_set(benchmarks.open_set(args.set, args.corpus))
    if not Path(args.set).exists():
        raise BenchmarkError(f"no set or folder {args.set!r}; sets: {', '.join(benchmarks.NAMES)}")
    try:
        return load_set(Path(args.set))
    except DataError as error:
        raise BenchmarkError(str(error)) from error


def _check_out(out: Path, name: str, overwrite: bool) -> None:
    """A folder of results of the same set is brought up to date; anything else is left alone."""
    from diffgmm.evaluation.benchmark.errors import BenchmarkError
    from diffgmm.evaluation.results import FILE, ResultsError, read_results

    if overwrite or not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        same = out.is_dir() and (out / FILE).is_file() and read_results(out).set.name == name
    except ResultsError:
        same = False
    if not same:
        raise BenchmarkError(
            f"{out}: exists and holds no results of {name}; choose another --out or --overwrite"
        )
