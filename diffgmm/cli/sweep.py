"""``diffgmm sweep``: many trainings whose settings are searched, by any number of workers."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from diffgmm.cli.options import at_least, setting
from diffgmm.utils.errors import FAILED, UsageError
from diffgmm.utils.interrupts import Interrupts

HELP = "search an experiment's settings with many trainings"
_CONFIG = "YAML of the experiment; given again, each is laid over those before it, as in fit"
_STORAGE = (
    "sqlite:///FILE, postgresql+psycopg://..., mysql+pymysql://..., journal:FILE (default: study.db in --out)"
)
_HEARTBEAT = "seconds between signs of life; a trial without any for twice as long is begun anew (60)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("--config", required=True, action="append", metavar="FILE", help=_CONFIG)
    add("--space", required=True, type=Path, metavar="FILE", help="what varies (see experiments/sweeps)")
    add("--study", metavar="NAME", help="workers of one name share one study (the space's name)")
    add("--out", type=Path, metavar="DIR", help="trials, report and best.yaml (runs/sweeps/STUDY)")
    add("--storage", metavar="URL", help=_STORAGE)
    add("--trials", type=at_least(1), metavar="N", help="in all, those of all workers (the space's)")
    add("--minutes", type=float, metavar="M", help="take no more trials after this time")
    fixed = "a setting of every trial"
    add("--set", type=setting, action="append", default=[], metavar="KEY=VALUE", help=fixed)
    add("--heartbeat", type=at_least(1), default=60, metavar="S", help=_HEARTBEAT)
    add("--retries", type=int, default=3, metavar="N", help="how often a killed trial is begun anew (3)")
    requeue = "first give back all running trials: no other worker may be alive"
    add("--requeue", action="store_true", help=requeue)
    add("--report", action="store_true", help="train nothing, only write report and best.yaml")


def run(args: argparse.Namespace) -> int:
    """Be one worker, until the sweep is done; returns 1 if trials failed for good."""
    from filelock import FileLock

    from diffgmm.training.files import experiment_file
    from diffgmm.utils.files import sha256_of
    from diffgmm.workflows.sweep import study as studies
    from diffgmm.workflows.sweep.outputs import write_best, write_page
    from diffgmm.workflows.sweep.space import read_space
    from diffgmm.workflows.sweep.worker import Sweep, requeue, work

    configs = tuple(Path(experiment_file(name)) for name in args.config)
    space = read_space(args.space)
    space = replace(space, fixed={**space.fixed, **dict(args.set)})
    for parameter in space.parameters:
        if parameter.key in space.fixed:
            raise UsageError(f"--set {parameter.key}: is a parameter of the space; take it out there")
    name = args.study or args.space.stem
    folder = args.out or Path("runs", "sweeps", name)
    folder.mkdir(parents=True, exist_ok=True)
    address = args.storage or studies.default_storage(folder)
    identity = {
        # One file's checksum as before there could be more: a study that was begun then goes on.
        "config": sha256_of(configs[0]) if len(configs) == 1 else [sha256_of(path) for path in configs],
        "space": sha256_of(args.space),
        "fixed": dict(space.fixed),
    }
    with FileLock(folder / ".open.lock"):  # two workers must not both make the tables
        storage = studies.open_storage(address, args.heartbeat, args.retries)
        study = studies.open_study(storage, name, space, identity)
    if args.requeue:
        for number in requeue(study, args.retries):
            print(f"trial {number}: given back", flush=True)
    if not args.report:
        sweep = Sweep(
            study, address, space, configs, folder, args.trials or space.trials, args.retries,
            lambda line: print(line, flush=True),
        )  # fmt: skip
        with Interrupts(at_once=True):
            work(sweep, None if args.minutes is None else 60 * args.minutes)
    with FileLock(folder / ".write.lock"):
        best = write_best(study, space, configs, folder)
        page = write_page(study, space, folder)
    numbers = studies.counts(study)
    print(", ".join(f"{number} {state}" for state, number in numbers.items() if number) or "no trials yet")
    if best is not None:
        trial = study.best_trial
        print(f"best: trial {trial.number}, {space.monitor} {trial.value:.6g}: diffgmm fit --config {best}")
    print(f"report: {page}")
    return FAILED if numbers["failed"] else 0
