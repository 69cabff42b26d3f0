"""Systems in processes of their own: started, fed, timed, ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from diffgmm import audio
from diffgmm.evaluation.benchmark.systems import Candidate

_LIBRARIES = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMEXPR_NUM", "RAYON_NUM", "VECLIB_MAXIMUM")
_COMMAND_SECONDS = 3600  # longest that a command may take for one file
# Runs a command and tells seconds and the most memory it held (KiB on Linux); its own few megabytes are the floor.
_MEASURE = """
import json, os, sys, time
start = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
                     file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
spent = time.perf_counter() - start
print(json.dumps([os.waitstatus_to_exitcode(status), spent, usage.ru_maxrss]))
"""


class SystemFailed(Exception):
    """A system did not start, died, or could not do a file; the message is one line."""


def thread_environment(threads: int) -> dict[str, str]:
    """The environment with every library held to so many threads."""
    limits = {f"{library}_THREADS": str(threads) for library in _LIBRARIES}
    return {**os.environ, **limits, "PYTHONWARNINGS": "ignore"}


class Runner:
    """A system that is ready to be fed; a context manager that ends it.

    Args:
        candidate: what to run.
        threads: that it may use.
    """

    def __init__(self, candidate: Candidate, threads: int = 1) -> None:
        self.candidate, self.threads = candidate, threads
        self._folder = tempfile.TemporaryDirectory(prefix="diffgmm-")
        self._in, self._out = (Path(self._folder.name) / name for name in ("in.npy", "out.npy"))
        self._log = Path(self._folder.name) / "log"
        self._process: subprocess.Popen[str] | None = None
        self._running: subprocess.Popen[str] | None = None  # a command, while it works on a file

    @property
    def alive(self) -> bool:
        """Whether it can be fed again."""
        return self._process is None or self._process.poll() is None

    def kill(self) -> None:
        """End what runs, from another thread; whoever waits for it gets a :class:`SystemFailed`."""
        for process in (self._process, self._running):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # each has a group of its own

    def __enter__(self) -> Runner:
        if self.candidate.kind != "command":
            try:
                self._process = self._start([*self.candidate.argv, str(self.threads)], subprocess.PIPE)
                self._reply()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            if error and error[0] is not None:
                self._process.kill()
            assert self._process.stdin and self._process.stdout
            try:
                self._process.stdin.close()
                self._process.wait(20)
            except (OSError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None
        self._folder.cleanup()

    def _start(self, words: list[str], stdin: int) -> subprocess.Popen[str]:
        """A process with a group of its own, since Ctrl-C is dealt with here."""
        with self._log.open("wb") as log:
            return subprocess.Popen(
                words, stdin=stdin, stdout=subprocess.PIPE, stderr=log, text=True,
                env=thread_environment(self.threads), start_new_session=True,
            )  # fmt: skip

    def _last_words(self) -> str:
        """The end of what a process wrote to stderr."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def enhance(self, x: np.ndarray, sample_rate: int) -> np.ndarray:
        """The enhanced signal, aligned, in the length of ``x``: float32 ``[samples]``.

        Raises:
            SystemFailed: no usable reply.
        """
        rate = self.candidate.sample_rate or sample_rate
        given = audio.resample(x, sample_rate, rate)
        if self.candidate.kind == "command":
            y = self._command(given, rate)
        else:
            np.save(self._in, given)
            self._ask(do="enhance", rate=rate, out=str(self._out))
            y = np.load(self._out)
        if y.shape != given.shape:
            raise SystemFailed(f"returned an array {list(y.shape)} for {list(given.shape)}")
        if not np.isfinite(y).all():
            raise SystemFailed("returned NaN or Inf")
        return audio.fit_length(audio.resample(y, rate, sample_rate), len(x))

    def time(self, x: np.ndarray, sample_rate: int, repeats: int) -> dict[str, Any]:
        """``seconds`` of every repetition after a warm-up, ``peak_mb``, ``before_mb``: nothing else is timed.

        With one thread also ``parameters`` and ``macs_per_s``, as far as the system tells.
        """
        rate = self.candidate.sample_rate or sample_rate
        given = audio.resample(x, sample_rate, rate)
        if self.candidate.kind != "command":
            np.save(self._in, given)
            return self._ask(do="time", rate=rate, repeats=repeats, count=self.threads == 1)
        seconds, megabytes = zip(*(self._run_command(given, rate) for _ in range(repeats + 1)), strict=True)
        return {"seconds": seconds[1:], "peak_mb": max(megabytes[1:]), "before_mb": 0.0}

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process and self._process.stdin
        with suppress(OSError):  # it died: said by the reply that does not come
            self._process.stdin.write(json.dumps({"in": str(self._in), **request}) + "\n")
            self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process and self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemFailed(f"its process ended with code {self._process.wait()}{self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise SystemFailed(" ".join(str(reply["error"]).split()))
        return reply

    def _command(self, x: np.ndarray, rate: int) -> np.ndarray:
        self._run_command(np.pad(x, (0, self.candidate.lag)), rate)
        try:
            y, info = audio.read(Path(self._folder.name) / "out.wav", mono=True)
        except audio.AudioError as error:
            raise SystemFailed(f"left no audio: {error}") from error
        y = audio.resample(y[0], info.sample_rate, rate)[self.candidate.lag :]
        return audio.fit_length(y, len(x))

    def _run_command(self, x: np.ndarray, rate: int) -> tuple[float, float]:
        """Seconds and megabytes of one run."""
        source, target = (Path(self._folder.name) / name for name in ("in.wav", "out.wav"))
        target.unlink(missing_ok=True)
        audio.write(source, x[None], rate, subtype="PCM_16", overwrite=True)
        words = [w.replace("{in}", str(source)).replace("{out}", str(target)) for w in self.candidate.argv]
        program = shutil.which(words[0])
        if program is None:
            raise SystemFailed(f"{words[0]}: no such program")
        measured = [sys.executable, "-S", "-E", "-c", _MEASURE, program, *words[1:]]
        process = self._running = self._start(measured, subprocess.DEVNULL)
        try:
            usage, _ = process.communicate(timeout=_COMMAND_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # the command is in the group of the one that measures it
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise SystemFailed(f"took longer than {_COMMAND_SECONDS} s for one file") from error
            raise
        finally:
            self._running = None
        if process.returncode:
            raise SystemFailed(f"{words[0]}: could not be run")
        code, spent, kilobytes = json.loads(usage)
        if code:
            raise SystemFailed(f"exit code {code}{self._last_words()}")
        return spent, kilobytes / 1024
