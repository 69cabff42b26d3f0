"""Train and judge runs, each in processes of its own; what is finished is skipped, what was stopped goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import yaml

from data_modules.errors import DataError
from diffgmm.utils.files import replacing
from experiments.ablations.plan import Run

Say = Callable[[str], object]


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

    def __init__(self, jobs: int, threads: int, say: Say) -> None:
        self.jobs, self.threads, self.say = jobs, threads, say
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def all(self, runs: Iterable[Run]) -> list[Run]:
        """Do everything that is not done; the runs that failed."""
        waiting = [run for run in runs if not self._done(run)]
        failed: list[Run] = []
        with _ending(self), ThreadPoolExecutor(self.jobs) as pool:
            busy: dict[Future[str], Run] = {}
            while (waiting or busy) and not self._ended:
                while waiting and len(busy) < self.jobs:
                    run = waiting.pop(0)
                    busy[pool.submit(self._one, run)] = run
                ready, _ = wait(busy, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in ready:
                    run, problem = busy.pop(future), future.result()
                    if problem and not self._ended:
                        failed.append(run)
                        self.say(f"{run}: {problem}")
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

    def _one(self, run: Run) -> str:
        """Train, then judge; a line about what went wrong, or nothing."""
        goes_on = state(run) == "stopped"
        run.folder.mkdir(parents=True, exist_ok=True)
        with replacing(run.plan) as part:
            part.write_text(
                yaml.safe_dump({"fingerprint": run.fingerprint, "config": run.config}, sort_keys=False),
                encoding="utf-8",
            )
        config = run.folder / "fit.yaml"
        config.write_text(yaml.safe_dump(run.config, sort_keys=False), encoding="utf-8")
        self.say(f"{run}: {'goes on' if goes_on else 'trains'}")
        more = ["--ckpt_path", str(run.checkpoint)] if goes_on else []
        began = time.monotonic()
        if self._call("train.log", run, "diffgmm.cli.main", "fit", "--config", str(config), *more):
            return f"training failed, see {run.folder / 'train.log'}"
        trained = time.monotonic() - began
        if self._call("judge.log", run, "experiments.ablations", "judge", str(run.folder)):
            return f"judging failed, see {run.folder / 'judge.log'}"
        nll = json.loads(run.result.read_text(encoding="utf-8"))["mixture"]["nll"]
        self.say(f"{run}: trained in {trained:.0f} s, NLL {nll:.4f}")
        return ""

    def _call(self, log: str, run: Run, module: str, *arguments: str) -> int:
        if self._ended:
            return 1
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        with (run.folder / log).open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment,
            )  # fmt: skip
            self._alive.add(process)
            try:
                return process.wait()
            finally:
                self._alive.discard(process)

    def end(self) -> None:
        """Stop the processes; nothing new is started."""
        self._ended = True
        for process in list(self._alive):
            process.terminate()


@contextmanager
def _ending(runner: Runner) -> Iterator[None]:
    """SIGTERM and Ctrl-C stop the processes, then raise KeyboardInterrupt."""

    def stop(_number: int, _frame: Any) -> None:
        runner.end()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
