"""A trial of a sweep: a training in a process of its own (``python -m diffgmm.workflows.sweep.trial fit ...``)."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

from diffgmm.utils.errors import FAILED, UsageError, complain, exit_code
from diffgmm.workflows.sweep.outcome import Outcome, end_with_parent
from diffgmm.workflows.sweep.study import load_optuna, make_pruner, open_storage
from diffgmm.workflows.sweep.worker import VARIABLE, Task


def run(argv: list[str]) -> int:
    """Train, report every validation, stop when the pruner says so, write the result."""
    from optuna_integration import PyTorchLightningPruningCallback

    from diffgmm.training.lightning_cli import run as train

    optuna = load_optuna()
    task = Task(**json.loads(os.environ[VARIABLE]))
    # Values were drawn already: the sampler here has nothing to do.
    study = optuna.load_study(
        study_name=task.study,
        storage=open_storage(task.storage),
        sampler=optuna.samplers.RandomSampler(),
        pruner=make_pruner(task.pruner),
    )
    trial = optuna.Trial(study, task.trial_id)
    outcome = Outcome(task.monitor, task.value == "best", task.direction == "maximize")
    reporting = PyTorchLightningPruningCallback(trial, task.monitor)
    try:
        train(argv, [outcome, reporting])
        reporting.check_pruned()  # with several processes it stops them and says so only here
        pruned = False
    except optuna.TrialPruned:
        pruned = True
    if int(os.environ.get("LOCAL_RANK", 0)) or int(os.environ.get("NODE_RANK", 0)):
        return 0
    if not math.isfinite(outcome.result()) and not pruned:
        complain(
            f"{task.monitor} has no value at the end of the training; the sweep's monitor must be logged"
        )
        return FAILED
    outcome.write(Path(task.outcome), pruned)
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
