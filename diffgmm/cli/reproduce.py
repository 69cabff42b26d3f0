"""``diffgmm reproduce``: a benchmark from raw data to the final table, each step kept by what went into it."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from diffgmm.utils.errors import FAILED, UsageError, complain
from diffgmm.utils.interrupts import Interrupts
from diffgmm.utils.text_table import aligned

if TYPE_CHECKING:
    from diffgmm.workflows.reproduce.plan import Plan


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
