"""Train and judge runs, each in processes of its own; what is finished is skipped, what was stopped goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import yaml

from data_modules.errors import DataError
from diffgmm.utils.files import write_text
from diffgmm.utils.interrupts import Interrupts
from experiments.ablations.plan import CHECKPOINT, PLAN, RESULT, Run


def state(run: Run) -> str:
    """``finished``, ``stopped`` (there is something to go on from), ``new`` or ``other`` (made for another plan)."""
    if not (run.folder / PLAN).is_file():
        return "new"
    plan = yaml.safe_load((run.folder / PLAN).read_text(encoding="utf-8"))
    if plan["fingerprint"] != run.fingerprint:
        return "other"
    if (run.folder / RESULT).is_file():
        return "finished"
    return "stopped" if (run.folder / CHECKPOINT).is_file() else "new"


class Runner:
    """Runs in processes that end with this object.

    Args:
        jobs: how many at once.
        threads: of each.
    """

    def __init__(self, jobs: int, threads: int) -> None:
        self.jobs, self.threads = jobs, threads
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def all(self, runs: Iterable[Run]) -> list[Run]:
        """Do everything that is not done; the runs that failed. SIGTERM and Ctrl-C stop all processes."""
        waiting = [run for run in runs if not self._done(run)]
        failed: list[Run] = []
        with Interrupts(at_once=True), ThreadPoolExecutor(self.jobs) as pool:
            busy = {pool.submit(self._train_and_judge, run): run for run in waiting}
            try:
                for future in as_completed(busy):
                    if problem := future.result():
                        failed.append(busy[future])
                        print(f"{busy[future]}: {problem}", flush=True)
            except (KeyboardInterrupt, SystemExit):
                self._ended = True
                for process in list(self._alive):
                    process.terminate()
                raise KeyboardInterrupt from None
        return failed

    def _done(self, run: Run) -> bool:
        status = state(run)
        if status == "other":
            raise DataError(
                f"{run.folder}: holds a run of another configuration; remove it or choose another --home"
            )
        if status == "finished":
            print(f"{run}: finished already", flush=True)
        return status == "finished"

    def _train_and_judge(self, run: Run) -> str:
        """A line about what went wrong, or nothing."""
        if self._ended:
            return "stopped"
        goes_on = state(run) == "stopped"
        run.folder.mkdir(parents=True, exist_ok=True)
        plan = {"fingerprint": run.fingerprint, "config": run.config, "settings": run.settings}
        for name, contents in ((PLAN, plan), ("fit.yaml", run.config)):
            write_text(run.folder / name, yaml.safe_dump(contents, sort_keys=False))
        print(f"{run}: {'goes on' if goes_on else 'trains'}", flush=True)
        fit = ["diffgmm.cli.main", "fit", "--config", str(run.folder / "fit.yaml")]
        fit += ["--ckpt_path", str(run.folder / CHECKPOINT)] if goes_on else []
        began = time.monotonic()
        if self._call(log := run.folder / "train.log", *fit):
            return f"training failed, see {log}"
        trained = time.monotonic() - began
        if self._call(log := run.folder / "judge.log", "experiments.ablations", "judge", str(run.folder)):
            return f"judging failed, see {log}"
        nll = json.loads((run.folder / RESULT).read_text(encoding="utf-8"))["mixture"]["nll"]
        print(f"{run}: trained in {trained:.0f} s, NLL {nll:.4f}", flush=True)
        return ""

    def _call(self, log: Path, *words: str) -> int:
        """The exit code of ``python -m``, which writes into a log."""
        if self._ended:
            return 1
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
            )
            self._alive.add(process)
            try:
                return process.wait()
            finally:
                self._alive.discard(process)
