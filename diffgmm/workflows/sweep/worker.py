"""A worker: takes trials of the study until all are done, and trains each in a process of its own.

A process a trial, because what ends a training (memory, a driver, several ranks) must not end the sweep. It learns
by its standard input that its worker is gone, and ends too; the worker's heartbeat then stops, and another worker
begins the trial anew.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock

from diffgmm.training.files import arguments, in_folder
from diffgmm.workflows.sweep.space import Space, draw, settings
from diffgmm.workflows.sweep.study import counts, make_sampler, suggester

if TYPE_CHECKING:
    import optuna

VARIABLE = "DIFFGMM_TRIAL"
"""Environment variable that tells a training whose trial it is, as JSON: ``storage``, ``study`` and ``trial_id``,
``monitor``, ``direction``, ``value`` and ``pruner`` as in :class:`diffgmm.workflows.sweep.space.Space`, and
``outcome``, the file to write the result into."""
MODULE = "diffgmm.workflows.sweep.trial"
OUTCOME, LOG = "outcome.json", "log.txt"
_POLL = 1.0


class TrialFailed(Exception):
    """A training that ended without a result; the message is its last line."""


@dataclass(frozen=True)
class Sweep:
    """A worker's share of a sweep.

    Args:
        study: from :func:`diffgmm.workflows.sweep.study.open_study`.
        storage: its address.
        space: what varies.
        configs: YAMLs of the experiment, each laid over those before it.
        folder: of the sweep; a trial trains in its subfolder ``trials/NUMBER``.
        trials: how many are wanted in all, those of all workers together.
        retries: times that a training that was killed is begun anew.
        tell: told in one line what happens.
    """

    study: optuna.Study
    storage: str
    space: Space
    configs: Sequence[Path]
    folder: Path
    trials: int
    retries: int
    tell: Callable[[str], object]


def fit_arguments(space: Space, configs: Sequence[Path], drawn: Mapping[str, Any], folder: Path) -> list[str]:
    """Arguments of ``fit`` for a trial: the experiment, what is fixed and drawn, and a folder of its own."""
    values = settings(space, drawn)
    quiet = {"trainer.enable_progress_bar": False, "trainer.enable_model_summary": False}
    own = {**quiet, **in_folder(folder, version=""), **values, "trainer.default_root_dir": str(folder)}
    layers = [word for config in configs for word in ("--config", str(config))]
    return ["fit", *layers, *arguments(own)]


def work(sweep: Sweep, seconds: float | None = None) -> None:
    """Take and run trials until the sweep has as many as are wanted, or the time is up.

    A worker that finds nothing to take while others still train waits, to take over what they might leave.
    """
    import optuna

    end = math.inf if seconds is None else time.monotonic() + seconds
    lock = FileLock(sweep.folder / ".take.lock")  # held while taking one, so that no two take the last one
    while time.monotonic() < end:
        lock.acquire()
        try:
            optuna.storages.fail_stale_trials(sweep.study)  # those of killed workers wait for another now
            if (left := remaining(sweep)) == "take":
                _take(sweep, lock)
        finally:
            lock.release(force=True)
        if left == "done":
            break
        if left == "wait":
            time.sleep(_POLL)


def _take(sweep: Sweep, lock: FileLock) -> None:
    """Ask for a trial and run it; ``lock`` is given back once it has one."""
    lost: list[int] = []

    def objective(trial: optuna.Trial) -> float:
        try:
            return _run(sweep, lock, trial)
        finally:  # before optuna ends the trial itself
            if sweep.study._storage.get_trial(trial._trial_id).state.is_finished():
                lost.append(trial.number)

    try:
        sweep.study.optimize(objective, n_trials=1, catch=(TrialFailed,))
    except Exception:  # optuna's, of several kinds, where a trial has ended already
        # Without signs of life for too long, on a machine that is too busy, it was failed and waits for another worker.
        if not lost:
            raise
        sweep.tell(
            f"trial {lost[0]}: this worker gave no sign of life for so long that the trial was given back; what it "
            "found is not used (a higher --heartbeat waits longer)"
        )


def remaining(sweep: Sweep) -> str:
    """``take`` one, ``wait`` for others, or ``done``."""
    count = counts(sweep.study)
    begun = sum(count[state] for state in ("finished", "pruned", "failed", "running"))
    if count["waiting"] or begun < sweep.trials:
        return "take"
    return "wait" if count["running"] else "done"


def requeue(study: optuna.Study, retries: int) -> list[int]:
    """Give all running trials back, for storages that do not notice killed workers; returns their numbers."""
    import optuna

    again = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=retries)
    running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
    for trial in running:
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        again(study, trial)
    return [trial.number for trial in running]


def _run(sweep: Sweep, lock: FileLock, trial: optuna.Trial) -> float:
    """One trial, from its values to its result."""
    import optuna

    try:
        sweep.study.sampler = make_sampler(sweep.space, trial.number)
        drawn = draw(sweep.space, suggester(trial))
        trial.set_user_attr("worker", f"{os.uname().nodename}:{os.getpid()}")
        folder = sweep.folder / "trials" / f"{trial.number:04d}"
        trial.set_user_attr("folder", folder.relative_to(sweep.folder).as_posix())
    finally:
        lock.release(force=True)
    folder.mkdir(parents=True, exist_ok=True)
    argv = fit_arguments(sweep.space, sweep.configs, drawn, folder)
    about = {"parameters": drawn, "command": argv}
    (folder / "trial.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
    monitor, shared = sweep.space.monitor, ("monitor", "direction", "value", "pruner")
    task = {name: getattr(sweep.space, name) for name in shared}
    task |= {"storage": sweep.storage, "study": sweep.study.study_name, "trial_id": trial._trial_id}
    task["outcome"] = str(folder / OUTCOME)
    sweep.tell(f"trial {trial.number}: {', '.join(f'{key} {value}' for key, value in drawn.items())}")
    try:
        code = _train(argv, task, folder / LOG)
    except (KeyboardInterrupt, SystemExit) as stopped:  # this worker is to leave: another may have the trial
        _again(sweep, trial)
        if isinstance(stopped, SystemExit):
            sweep.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise
    try:
        outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").rstrip().split("\n")
        last = lines[-1] or "no output"
        sweep.tell(f"trial {trial.number}: failed (exit code {code}): {last}")
        trial.set_user_attr("error", last)
        if code < 0:  # killed from outside, for want of memory perhaps: not the fault of its values
            _again(sweep, trial)
        raise TrialFailed(last) from None
    if outcome["pruned"]:
        sweep.tell(f"trial {trial.number}: pruned at epoch {outcome['epoch']}")
        raise optuna.TrialPruned
    sweep.tell(f"trial {trial.number}: {monitor} {outcome['value']:.6g}")
    return float(outcome["value"])


def _again(sweep: Sweep, trial: optuna.Trial) -> None:
    import optuna

    frozen = sweep.study._storage.get_trial(trial._trial_id)
    optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=sweep.retries)(sweep.study, frozen)


def _train(argv: Sequence[str], task: Mapping[str, Any], log: Path) -> int:
    """Run the training; whatever ends this block ends it too, with all of its ranks."""
    environment = os.environ | {VARIABLE: json.dumps(task)}
    with Path(log).open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, *argv],
            stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdin:
            process.stdin.close()
