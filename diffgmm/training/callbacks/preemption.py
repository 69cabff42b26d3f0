"""Leaving in good order when the cluster asks to, and never leaving a process behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import types
from typing import Any, NoReturn

import lightning as L
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from diffgmm.training.callbacks.checkpoints import LastCheckpoint
from diffgmm.training.resume import say

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_PR_SET_PDEATHSIG = 1


def _requeue() -> None:
    """Have SLURM start this job again, as ``sbatch --requeue`` allows."""
    job = os.environ["SLURM_JOB_ID"]
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if array and task:
        job = f"{array}_{task}"
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        outcome = done.stderr.strip() if done.returncode else "requeued"
    except OSError as error:
        outcome = f"{error.strerror}; requeue it by hand"
    say(f"job {job}: {outcome}")


def _started_by_rank_zero(trainer: L.Trainer) -> bool:
    """Whether Lightning started this process from the first one, and no launcher of a cluster did."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return trainer.global_rank > 0 and isinstance(environment, LightningEnvironment)


class Preemption(L.Callback):
    """Saves ``last.ckpt`` and leaves at the end of the present step when SIGTERM, SIGUSR1 or Ctrl-C comes in.

    Clusters send them before they take a machine away: SLURM with ``--signal`` (SIGUSR1; the job is then
    requeued), Kubernetes SIGTERM. One process getting the signal is enough; all agree at the end of a step and leave
    with the exit code 128 + signal (143, 138, 130), which Kubeflow takes as a reason to start again. A second signal
    ends at once.

    Also ends all processes that Lightning started when one of them fails or dies, also the first.

    Args:
        enabled: ``false`` leaves signals to Lightning.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self._before: dict[int, Any] = {}
        self._received, self._process = 0, os.getpid()

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked helper: it ends as it would have without us
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        if self._received:
            sys.exit(128 + number)
        self._received = number
        if number == signal.SIGINT:
            os.write(2, b"\ndiffgmm: saving at the end of this step; Ctrl-C again leaves at once\n")

    def _install(self) -> None:
        for number in _SIGNALS:
            if number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started in the background: Ctrl-C is for another program
            with contextlib.suppress(ValueError):  # not the main thread: whoever called us deals with signals
                before = signal.signal(number, self._note)
                self._before.setdefault(number, before)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if _started_by_rank_zero(trainer) and sys.platform == "linux":  # and of no use without it
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if stage == "fit" and self.enabled:
            self._install()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.enabled:
            self._install()  # Lightning has put its own first, which talk to other processes from within a step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if not self.enabled:
            return
        stop = bool(self._received)
        if trainer.world_size > 1:  # any of them may have got the signal
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if not stop:
            return
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, LastCheckpoint):
                callback.then = self._leave
                return
        self._leave(trainer)

    def _leave(self, trainer: L.Trainer) -> NoReturn:
        number = self._received or signal.SIGTERM
        if trainer.is_global_zero:
            name = signal.Signals(number).name
            say(f"{name} after step {trainer.global_step}; continue with --ckpt_path auto")
            if number == signal.SIGUSR1 and "SLURM_JOB_ID" in os.environ:
                _requeue()
        # Lightning kills all when a process that it started ends with a code; the first one's is what counts.
        raise SystemExit(0 if _started_by_rank_zero(trainer) else 128 + number)

    def on_exception(self, trainer: L.Trainer, *_: Any) -> None:
        self._restore()
        launcher = trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher):
            until = time.monotonic() + 10  # they may have something to write, too
            while any(process.poll() is None for process in launcher.procs) and time.monotonic() < until:
                time.sleep(0.1)
            launcher.kill(signal.SIGKILL)

    def teardown(self, *_: Any, **__: Any) -> None:
        self._restore()
