"""Train and judge runs, each in processes of its own; what is finished is skipped, what was stopped goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import yaml

from data_modules.errors import DataError
from diffgmm.utils.files import write_text
from diffgmm.utils.interrupts import Interrupts
from experiments.ablations.plan import Run


def state(run: Run) -> str:
    """``finished``, ``stopped`` (there is something to go on from), ``new`` or ``other`` (made for another plan)."""
    if not run.plan.is_file():
        return "new"
    plan = yaml.safe_load(run.plan.read_text(encoding="utf-8"))
    if plan["fingerprint"] != run.fingerprint:
        return "other"
    if run.result.is_file():
        return "finished"
    return "stopped" if run.checkpoint.is_file() else "new"


class Runner:
    """Runs in processes that end with this object.

    Args:
        jobs: how many at once.
        threads: of each.
        say: takes lines about what happens.
    """

    def __init__(self, jobs: int, threads: int, say: Callable[[str], object]) -> None:
        self.jobs, self.threads, self.say = jobs, threads, say
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
                        self.say(f"{busy[future]}: {problem}")
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
            self.say(f"{run}: finished already")
        return status == "finished"

    def _train_and_judge(self, run: Run) -> str:
        """A line about what went wrong, or nothing."""
        if self._ended:
            return "stopped"
        goes_on = state(run) == "stopped"
        run.folder.mkdir(parents=True, exist_ok=True)
        plan = {"fingerprint": run.fingerprint, "config": run.config}
        config = run.folder / "fit.yaml"
        for path, contents in ((run.plan, plan), (config, run.config)):
            write_text(path, yaml.safe_dump(contents, sort_keys=False))
        self.say(f"{run}: {'goes on' if goes_on else 'trains'}")
        more = ["--ckpt_path", str(run.checkpoint)] if goes_on else []
        began = time.monotonic()
        log = run.folder / "train.log"
        if self._call(log, "diffgmm.cli.main", "fit", "--config", str(config), *more):
            return f"training failed, see {log}"
        trained = time.monotonic() - began
        log = run.folder / "judge.log"
        if self._call(log, "experiments.ablations", "judge", str(run.folder)):
            return f"judging failed, see {log}"
        nll = json.loads(run.result.read_text(encoding="utf-8"))["mixture"]["nll"]
        self.say(f"{run}: trained in {trained:.0f} s, NLL {nll:.4f}")
        return ""

    def _call(self, log: Path, module: str, *arguments: str) -> int:
        if self._ended:
            return 1
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment,
            )  # fmt: skip
            self._alive.add(process)
            try:
                return process.wait()
            finally:
                self._alive.discard(process)
