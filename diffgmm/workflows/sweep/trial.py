"""A trial of a sweep: a training in a process of its own (``python -m diffgmm.workflows.sweep.trial fit ...``)."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from pathlib import Path

import lightning as L

from diffgmm.utils.errors import FAILED, UsageError, complain, exit_code
from diffgmm.utils.files import write_text
from diffgmm.workflows.sweep.space import load_optuna
from diffgmm.workflows.sweep.study import make_pruner, open_storage
from diffgmm.workflows.sweep.worker import VARIABLE


class Outcome(L.Callback):
    """Keeps the values of a logged quantity over the validations, of which the last or the best counts.

    Args:
        monitor: name that is logged.
        best: result is the best value instead of the last.
        maximize: more is better.
    """

    def __init__(self, monitor: str, best: bool = False, maximize: bool = False) -> None:
        self.monitor, self.best, self.maximize = monitor, best, maximize
        self.values: list[float] = []
        self.epoch = 0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        self.values.append(float(trainer.callback_metrics[self.monitor]))
        self.epoch = trainer.current_epoch

    def result(self) -> float:
        """Of the training so far; NaN if the quantity was never logged or has no finite value."""
        finite = [value for value in self.values if math.isfinite(value)]
        if not self.best:
            return self.values[-1] if self.values else math.nan
        return (max if self.maximize else min)(finite, default=math.nan)


def end_with_parent() -> None:
    """End this process and its group once standard input is closed, which it is when the worker is gone."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def run(argv: list[str]) -> int:
    """Train, report every validation, stop when the pruner says so, write the result."""
    from optuna_integration import PyTorchLightningPruningCallback

    from diffgmm.training.lightning_cli import run as train

    optuna = load_optuna()
    task = json.loads(os.environ[VARIABLE])
    monitor = task["monitor"]
    # Values were drawn already: the sampler here has nothing to do.
    study = optuna.load_study(
        study_name=task["study"], storage=open_storage(task["storage"]), sampler=optuna.samplers.RandomSampler(),
        pruner=make_pruner(task["pruner"]),
    )  # fmt: skip
    outcome = Outcome(monitor, task["value"] == "best", task["direction"] == "maximize")
    reporting = PyTorchLightningPruningCallback(optuna.Trial(study, task["trial_id"]), monitor)
    try:
        train(argv, [outcome, reporting])
        reporting.check_pruned()  # with several processes it stops them and says so only here
        pruned = False
    except optuna.TrialPruned:
        pruned = True
    if int(os.environ.get("LOCAL_RANK", 0)) or int(os.environ.get("NODE_RANK", 0)):
        return 0
    value = outcome.result() if math.isfinite(outcome.result()) else None
    if value is None and not pruned:
        complain(f"{monitor} has no value at the end of the training; the sweep's monitor must be logged")
        return FAILED
    contents = {"value": value, "pruned": pruned, "epoch": outcome.epoch}
    write_text(Path(task["outcome"]), json.dumps(contents) + "\n")
    return 0


def main() -> int:
    """Entry point; ends with the worker that started it."""
    if VARIABLE not in os.environ:
        complain(UsageError(f"{VARIABLE} is not set; `diffgmm sweep` starts this"))
        return 2
    end_with_parent()
    try:
        return run(sys.argv[1:])
    except Exception as error:
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
