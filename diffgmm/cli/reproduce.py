"""``diffgmm reproduce``: a benchmark from raw data to the final table, each step kept by what went into it."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from diffgmm.cli.options import add_renamed

HELP = "do a whole benchmark: data, models, scores, table, and compare with what is expected"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add(
        "benchmark",
        nargs="?",
        metavar="NAME",
        help="see --list, or a YAML of your own like experiments/benchmarks/*",
    )
    add("--list", action="store_true", help="show the benchmarks")
    add(
        "--train",
        action="store_true",
        help="train the benchmark's experiment first, and measure that model too",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="with --train: a setting of the training",
    )
    add("--downloads", metavar="DIR", help="folder with files of the corpus that are there already")
    add("--mirror", metavar="URL", help="address of a folder with all files of the corpus")
    add(
        "--baselines",
        metavar="NAME,...",
        help="also measure other denoisers, as `diffgmm benchmark` does (none)",
    )
    add(
        "--baselines-python",
        metavar="PYTHON",
        help="interpreter that has the other denoisers (`make baselines`)",
    )
    add_renamed(parser, {"--peers": "--baselines", "--peers-python": "--baselines-python"})
    add("--out", metavar="DIR", help="folder of results, table, report (default: runs/reproduce/NAME)")
    add(
        "--again",
        default="",
        metavar="STEP,...",
        help="do these again: prepare, set, train, benchmark, report, all",
    )
    add(
        "--timing",
        choices=("auto", "skip"),
        default="skip",
        help="auto: also measure speed and memory (skip)",
    )
    add("--jobs", type=int, metavar="N", help="processes (default: all cores)")
    add(
        "--record",
        action="store_true",
        help="write the measured figures into the benchmark's YAML as expected ones",
    )


def run(args: argparse.Namespace) -> int:
    """Run what is not done yet, print the table; returns 1 if a figure is not the expected one."""
    from diffgmm.utils.errors import UsageError
    from diffgmm.utils.interrupts import leaving_on_sigterm
    from diffgmm.workflows.reproduce.plan import ReproduceError, find_plan, read_plan

    folder = Path(str(files("experiments"))) / "benchmarks"
    try:
        if args.list:
            plans = [read_plan(path) for path in sorted(folder.glob("*.yaml"))]
            width = max(len(plan.name) for plan in plans)
            print("\n".join(f"{plan.name:<{width}}  {plan.title}" for plan in plans))
            return 0
        if args.benchmark is None:
            raise UsageError("which benchmark? `diffgmm reproduce --list` shows what there is")
        if args.jobs is not None and args.jobs < 1:
            raise UsageError(f"--jobs must be at least 1, got {args.jobs}")
        if args.set and not args.train:
            raise UsageError("--set goes with --train")
        plan = read_plan(find_plan(args.benchmark, folder))
        out = Path(args.out or Path("runs", "reproduce", plan.name))
        with leaving_on_sigterm():
            return _run(args, plan, out)
    except ReproduceError as error:
        raise UsageError(str(error)) from error


def _run(args: argparse.Namespace, plan: object, out: Path) -> int:
    from diffgmm.evaluation.benchmark import BenchmarkError
    from diffgmm.evaluation.results import read_results
    from diffgmm.utils.errors import FAILED, UsageError, complain
    from diffgmm.workflows.reproduce.job import STEPS, Job
    from diffgmm.workflows.reproduce.plan import Plan, ReproduceError, record_expected
    from diffgmm.workflows.reproduce.steps import Steps
    from diffgmm.workflows.reproduce.table import checks, expectations, render, write_markdown

    assert isinstance(plan, Plan)
    names = tuple(name for name in STEPS if name != "train" or args.train)
    anew = frozenset(names) if args.again == "all" else frozenset(filter(None, args.again.split(",")))
    unknown = sorted(anew - set(STEPS))
    if unknown:
        raise ReproduceError(f"--again: no step {unknown[0]}; there are {', '.join(STEPS)}")
    job = Job(plan, out, args, Steps(out, names, lambda line: print(line, flush=True), anew))
    try:
        results = read_results(job.run())
    except BenchmarkError as error:
        raise UsageError(str(error)) from error
    checked = checks(plan, results)
    if args.record:
        record = results.record
        figures = expectations(plan, results)
        kept = {name: plan.expected[name] for name in plan.expected if name not in figures}
        record_expected(
            plan, {**kept, **figures},
            {
                "created": results.created, "set": results.set.checksum, "git_revision": record.get("git_revision"),
                "processor": record.get("machine", {}).get("processor"), "versions": record.get("versions"),
            },
        )  # fmt: skip
        print(f"recorded the figures of {', '.join(figures)} in {plan.path}")
        return 0
    print("\n" + render(plan, results, checked))
    write_markdown(out / "table.md", plan, results, checked, results.record)
    print(f"\ntable: {out / 'table.md'}, report: {out / 'report.html'}, scores: {out / 'results.json'}")
    wrong = [check for check in checked if not check.ok]
    for check in wrong:
        complain(check.text())
    return FAILED if wrong else 0
