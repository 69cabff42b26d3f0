"""``diffgmm benchmark``: models and other denoisers on a fixed set of pairs, in one table."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from diffgmm.cli.options import check_metrics
from diffgmm.utils.errors import FAILED, UsageError
from diffgmm.utils.interrupts import Interrupts

if TYPE_CHECKING:
    from diffgmm.evaluation.benchmark.pairset import PairSet


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
    with suppress(ResultsError):
        if read_results(out / FILE).set.name == name:
            return
    raise UsageError(f"{out}: exists and holds no results of {name}; choose another --out or --overwrite")
