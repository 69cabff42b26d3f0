"""``diffgmm sweep``: many trainings whose settings are searched, by any number of workers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

    from diffgmm.workflows.sweep.space import Space

HELP = "search an experiment's settings with many trainings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add(
        "--config",
        required=True,
        action="append",
        metavar="FILE",
        help="YAML of the experiment; given again, each is laid over those before it, as in fit",
    )
    add("--space", required=True, metavar="FILE", help="YAML of what varies (see experiments/sweeps)")
    add("--study", metavar="NAME", help="workers of one name share one study (default: the space's name)")
    add("--out", metavar="DIR", help="folder of trials, report and best.yaml (default: runs/sweeps/STUDY)")
    add(
        "--storage",
        metavar="URL",
        help="sqlite:///FILE, postgresql+psycopg://..., mysql+pymysql://..., journal:FILE (default: study.db in --out)",
    )
    add(
        "--trials", type=int, metavar="N", help="in all, those of all workers together (default: the space's)"
    )
    add("--minutes", type=float, metavar="M", help="take no more trials after this time")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of every trial, e.g. trainer.max_epochs=2",
    )
    add(
        "--heartbeat",
        type=int,
        default=60,
        metavar="S",
        help="seconds between signs of life; a trial without any for twice as long is begun anew (60)",
    )
    add("--retries", type=int, default=3, metavar="N", help="how often a killed trial is begun anew (3)")
    add(
        "--requeue",
        action="store_true",
        help="first give back all running trials: no other worker may be alive",
    )
    add("--report", action="store_true", help="train nothing, only write report, best.yaml and wandb.yaml")
    add(
        "--values",
        metavar="JSON",
        help="train once with these values and W&B's logger: what a W&B agent starts",
    )


def run(args: argparse.Namespace) -> int:
    """Be one worker, until the sweep is done; returns 1 if trials failed for good."""
    from diffgmm.training.files import experiment_file
    from diffgmm.utils.errors import UsageError
    from diffgmm.workflows.sweep.space import SweepError, read_space

    for name in ("trials", "heartbeat"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UsageError(f"--{name} must be at least 1, got {getattr(args, name)}")
    args.config = [Path(experiment_file(name)) for name in args.config]
    try:
        space = _with_changes(read_space(args.space), args.set)
        if args.values is not None:
            return _once(args, space)
        return _sweep(args, space)
    except SweepError as error:
        raise UsageError(str(error)) from error


def _with_changes(space: Space, changes: list[str]) -> Space:
    """With the settings of ``--set``, read as YAML as ``fit`` does."""
    from dataclasses import replace

    from diffgmm.workflows.sweep.space import SweepError, setting

    fixed: dict[str, Any] = dict(space.fixed)
    for change in changes:
        key, value = setting(change)
        if any(parameter.key == key for parameter in space.parameters):
            raise SweepError(f"--set {key}: is a parameter of the space; take it out there")
        fixed[key] = value
    return replace(space, fixed=fixed)


def _sweep(args: argparse.Namespace, space: Space) -> int:
    from filelock import FileLock

    from diffgmm.utils.errors import FAILED
    from diffgmm.utils.files import sha256_of
    from diffgmm.utils.interrupts import leaving_on_sigterm
    from diffgmm.workflows.sweep import study as studies
    from diffgmm.workflows.sweep.worker import Sweep, requeue, work

    configs, space_file = tuple(args.config), Path(args.space)
    name = args.study or space_file.stem
    folder = Path(args.out or Path("runs", "sweeps", name))
    folder.mkdir(parents=True, exist_ok=True)
    address = args.storage or studies.default_storage(folder)
    identity = {
        # One file's checksum as before there could be more: a study that was begun then goes on.
        "config": sha256_of(configs[0]) if len(configs) == 1 else [sha256_of(path) for path in configs],
        "space": sha256_of(space_file),
        "fixed": dict(space.fixed),
    }
    with FileLock(folder / ".open.lock"):  # two workers must not both make the tables
        storage = studies.open_storage(address, args.heartbeat, args.retries)
        study = studies.open_study(storage, name, space, identity)
    if args.requeue:
        for number in requeue(study, args.retries):
            print(f"trial {number}: given back", flush=True)
    sweep = Sweep(
        study, address, space, configs, folder, args.trials or space.trials, args.retries,
        lambda line: print(line, flush=True),
    )  # fmt: skip
    if not args.report:
        with leaving_on_sigterm():
            work(sweep, None if args.minutes is None else 60 * args.minutes)
    lost = _write(args, space, study, folder)
    return FAILED if lost else 0


def _write(args: argparse.Namespace, space: Space, study: optuna.Study, folder: Path) -> int:
    """Everything that is made of the study, under a lock; returns how many trials failed for good."""
    from filelock import FileLock

    from diffgmm.workflows.sweep import wandb_yaml
    from diffgmm.workflows.sweep.best import write_best
    from diffgmm.workflows.sweep.page import counts, write_page

    with FileLock(folder / ".write.lock"):
        best = write_best(study, space, args.config, folder)
        page = write_page(study, space, folder)
        data = wandb_yaml.configuration(space, args.config, Path(args.space), study.study_name, args.set)
        wandb_yaml.write(folder / "wandb.yaml", data)
    numbers = counts(study)
    print(", ".join(f"{number} {state}" for state, number in numbers.items() if number) or "no trials yet")
    if best is not None:
        trial = study.best_trial
        print(f"best: trial {trial.number}, {space.monitor} {trial.value:.6g}: diffgmm fit --config {best}")
    print(f"report: {page}")
    return numbers["failed"]


def _once(args: argparse.Namespace, space: Space) -> int:
    """One training with given values, logged to W&B; run and sweep are told by the agent's variables."""
    import json

    from diffgmm.workflows.sweep.space import SweepError, arguments, layers, settings

    try:
        values = json.loads(args.values)
    except ValueError as error:
        raise SweepError(f"--values: not JSON ({error})") from error
    known = {parameter.key for parameter in space.parameters}
    unknown = sorted(set(values) - known) if isinstance(values, dict) else ["anything but an object"]
    if unknown:
        raise SweepError(f"--values: {unknown[0]} is no parameter of {args.space}")
    chosen = settings(space, values)
    if "trainer.logger" not in chosen:
        logger = {"project": "diffgmm", "save_dir": args.out or "runs/wandb"}
        place = "lightning.pytorch.loggers"
        csv = {"save_dir": logger["save_dir"], "name": ""}
        chosen["trainer.logger"] = [
            {"class_path": f"{place}.WandbLogger", "init_args": logger},
            {"class_path": f"{place}.CSVLogger", "init_args": csv},
        ]
        Path(logger["save_dir"]).mkdir(parents=True, exist_ok=True)
    from diffgmm.training.lightning_cli import run as train

    return train(["fit", *layers(args.config), *arguments(chosen)])
