"""``diffgmm reproduce``: a benchmark from raw data to the final table, each step kept by what went into it."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from diffgmm.cli.options import add_renamed, add_shared, names, setting
from diffgmm.utils.errors import FAILED, UsageError, complain
from diffgmm.utils.interrupts import Interrupts
from diffgmm.utils.text_table import aligned

if TYPE_CHECKING:
    from diffgmm.workflows.reproduce.plan import Plan

HELP = "do a whole benchmark: data, models, scores, table, and compare with what is expected"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    yours = "see --list, or a YAML of your own like experiments/benchmarks/*"
    add("benchmark", nargs="?", metavar="NAME", help=yours)
    add("--list", action="store_true", help="show the benchmarks")
    train = "train the benchmark's experiment first, and measure that model too"
    add("--train", action="store_true", help=train)
    changes = "with --train: a setting of the training"
    add("--set", type=setting, action="append", default=[], metavar="KEY=VALUE", help=changes)
    others = "also measure other denoisers, as `diffgmm benchmark` does (none)"
    add("--baselines", type=names, metavar="NAME,...", help=others)
    add("--out", type=Path, metavar="DIR", help="results, table, report (runs/reproduce/NAME)")
    again = "do these again: prepare, set, train, benchmark, report, all"
    add("--again", type=names, default=(), metavar="STEP,...", help=again)
    add("--timing", choices=("auto", "skip"), default="skip", help="auto: measure speed and memory (skip)")
    record = "write the measured figures into the benchmark's YAML as expected ones"
    add("--record", action="store_true", help=record)
    add_shared(parser, "--jobs", "--downloads", "--mirror", "--baselines-python")
    add_renamed(parser, peers=("baselines", names), peers_python=("baselines_python", str))


def run(args: argparse.Namespace) -> int:
    """Run what is not done yet, print the table; returns 1 if a figure is not the expected one."""
    from diffgmm.workflows.reproduce.plan import find_plan, read_plan

    folder = Path(str(files("experiments"))) / "benchmarks"
    if args.list:
        plans = [read_plan(path) for path in sorted(folder.glob("*.yaml"))]
        print("\n".join(aligned([[plan.name, plan.title] for plan in plans], left=range(2))))
        return 0
    if args.benchmark is None:
        raise UsageError("which benchmark? `diffgmm reproduce --list` shows what there is")
    if args.set and not args.train:
        raise UsageError("--set goes with --train")
    plan = read_plan(find_plan(args.benchmark, folder))
    with Interrupts(at_once=True):
        return _run(args, plan, args.out or Path("runs", "reproduce", plan.name))


def _run(args: argparse.Namespace, plan: Plan, out: Path) -> int:
    from diffgmm.evaluation.results import read_results
    from diffgmm.workflows.reproduce.job import STEPS, Job
    from diffgmm.workflows.reproduce.plan import record_expected
    from diffgmm.workflows.reproduce.steps import Steps
    from diffgmm.workflows.reproduce.table import checks, expectations, render, write_markdown

    steps = tuple(name for name in STEPS if name != "train" or args.train)
    anew = frozenset(steps if args.again == ("all",) else args.again)
    if unknown := sorted(anew - set(STEPS)):
        raise UsageError(f"--again: no step {unknown[0]}; there are {', '.join(STEPS)}")
    job = Job(plan, out, args, Steps(out, steps, lambda line: print(line, flush=True), anew))
    results = read_results(job.run())
    if args.record:
        figures = expectations(plan, results)
        record_expected(plan, {**plan.expected, **figures}, results)
        print(f"recorded the figures of {', '.join(figures)} in {plan.path}")
        return 0
    checked = checks(plan, results)
    print("\n" + render(plan, results, checked))
    write_markdown(out / "table.md", plan, results, checked)
    print(f"\ntable: {out / 'table.md'}, report: {out / 'report.html'}, scores: {out / 'results.json'}")
    wrong = [check for check in checked if not check.ok]
    for check in wrong:
        complain(check.text())
    return FAILED if wrong else 0
