"""``diffgmm benchmark``: models and other denoisers on a fixed set of pairs, in one table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from diffgmm.cli.options import add_renamed, add_shared, check_metrics, names, numbers, steps
from diffgmm.utils.errors import FAILED, UsageError
from diffgmm.utils.interrupts import Interrupts

if TYPE_CHECKING:
    from diffgmm.evaluation.benchmark.pairset import PairSet

HELP = "measure models and other denoisers on a fixed set of pairs"
_SETS = (
    "cross-test, cross-valid, real-valid, dsn-test, dsn-valid, voicebank-demand, voicebank-demand-valid, or a folder "
    "with clean/ and noisy/"
)
_SUBSETS = (
    "only these pairs: main, snr-5 snr0 snr5 snr10 snr15 snr20, several_loud, narrow_8k (of dsn: alarm_8k), noise_48k, "
    "clean"
)
_BASELINES = (
    "noisereduce-stationary noisereduce speex webrtc webrtc-noise-gain rnnoise nsnet2 dtln gtcrn dfn3 hush, all, "
    "installed, none (installed)"
)
_COMMAND = "any program: NAME='prog {in} {out}' with WAV files; NAME@RATE+LAG=... resamples and aligns"
_METRICS = (
    "default: pesq_wb (pesq_nb at 8 kHz), stoi, estoi, si_sdr; or PACKAGE.MODULE:FUNCTION that you --trust"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("--set", required=True, metavar="NAME", help=_SETS)
    add("--subset", type=names, default=(), metavar="NAME,...", help=_SUBSETS)
    models = "shipped or file, NAME=FILE (base)"
    add("--models", type=names, default=("base",), metavar="NAME,...", help=models)
    add("--nfe", type=numbers, default=(), metavar="N,...", help="network calls (each model's own)")
    add("--estimate", type=names, default=("mean",), metavar="E,...", help="mean, sample, mode (mean)")
    add("--samples", type=steps, default=1, metavar="N", help="sampled results that are averaged (1)")
    add("--baselines", type=names, default=("installed",), metavar="NAME,...", help=_BASELINES)
    add("--command", action="append", default=[], metavar="NAME=CMD", help=_COMMAND)
    add("--metrics", type=names, default=(), metavar="NAME,...", help=_METRICS)
    timing = "speed and memory: of what is not known yet (auto), of everything, or none"
    add("--timing", choices=("auto", "again", "skip"), default="auto", help=timing)
    add("--corpus", metavar="DIR", help="where the set's corpus is (where `diffgmm prepare` puts it)")
    add("-o", "--out", type=Path, metavar="DIR", help="results.json, scores.csv, audio/ (benchmark-SET)")
    add_shared(parser, "--trust", "--seed", "--baselines-python", "--jobs", "--overwrite")
    add_renamed(parser, peers=("baselines", names), peers_python=("baselines_python", str))


def run(args: argparse.Namespace) -> int:
    """Run the benchmark; returns 1 if a system failed on some file (the others are measured all the same)."""
    from data_modules import home
    from diffgmm.evaluation.benchmark import systems
    from diffgmm.evaluation.benchmark.run import run, write
    from diffgmm.report.tables import as_text

    check_metrics(args.metrics, args.trust)
    out = args.out or Path(f"benchmark-{Path(args.set).name}")
    candidates = [
        *systems.baseline_systems(args.baselines, args.baselines_python),
        *map(systems.command_system, args.command),
        *systems.models(args.models, args.nfe, args.estimate, args.samples, args.seed, args.trust),
    ]
    pairs = open_pairs(args.set, args.corpus).only(args.subset)
    _check_out(out, pairs.info.name, args.overwrite)
    cache = home() / "benchmark"
    with Interrupts(at_once=True):
        outcome = run(pairs, candidates, cache, args.metrics, args.jobs, args.timing)
    config = {key: value for key, value in vars(args).items() if key not in ("out", "overwrite")}
    results = write(out, pairs, outcome, command=["diffgmm", *sys.argv[1:]], config=config)
    print(as_text(results, bold=sys.stdout.isatty()))
    print(f"\nwrote {out / 'results.json'} and scores.csv; enhanced audio is in {out / 'audio'}")
    return FAILED if outcome.problems else 0


def open_pairs(name: str, corpus: str | None = None) -> PairSet:
    """A benchmark set by name, mixed or checked from its corpus, or a folder with ``clean`` and ``noisy``.

    Raises:
        BenchmarkError: there is none.
        DataError, AudioError: its corpus or a file can't be used.
    """
    from data_modules import benchmarks
    from diffgmm.evaluation.benchmark import BenchmarkError
    from diffgmm.evaluation.benchmark.pairset import load_set

    if name in benchmarks.NAMES:
        return load_set(benchmarks.open_set(name, corpus))
    if not Path(name).exists():
        raise BenchmarkError(f"no set or folder {name!r}; sets: {', '.join(benchmarks.NAMES)}")
    return load_set(Path(name))


def _check_out(out: Path, name: str, overwrite: bool) -> None:
    """A folder of results of the same set is brought up to date; anything else is left alone."""
    from diffgmm.evaluation.results import FILE, ResultsError, read_results

    if overwrite or not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        same = (out / FILE).is_file() and read_results(out).set.name == name
    except ResultsError:
        same = False
    if not same:
        raise UsageError(f"{out}: exists and holds no results of {name}; choose another --out or --overwrite")
