"""A denoiser in a process of its own: loaded once, fed over pipes, timed where nothing else runs.

Started by path (``python worker.py BASELINE THREADS``) it needs numpy and the baseline's package only. Requests and
replies are lines of JSON, arrays travel as ``.npy`` files. diffgmm's own models are served by the same :func:`serve`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import numpy as np

Denoise = Callable[[np.ndarray, int], np.ndarray]
"""Float32 ``[samples]`` and its rate in Hz to the same without noise."""
Load = Callable[[], tuple[Denoise, Callable[[np.ndarray, int], dict[str, Any]]]]
"""Returns the denoiser, and what counts its parameters and operations (nothing for those who don't tell)."""


def memory_mb() -> tuple[float, float]:
    """Resident memory now and at its highest, in 2^20 bytes; NaN where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return float("nan"), float("nan")
    status = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(status["VmRSS"]) / 1024, int(status["VmHWM"]) / 1024


def claim_stdout() -> TextIO:
    """A private copy of stdout; what libraries print goes to stderr from now on."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def serve(load: Load, replies: TextIO) -> int:
    """Load, report ``ready``, then answer ``enhance`` and ``time`` until stdin ends."""
    before = memory_mb()[0]
    try:
        denoise, count = load()
    except Exception as error:  # whatever a foreign package raises goes to the parent, which names it
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=replies)
        return 1
    print(json.dumps({"ready": True}), file=replies)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            x, rate = np.load(request["in"]), request["rate"]
            if request["do"] == "enhance":
                np.save(request["out"], denoise(x, rate))
                reply: dict[str, Any] = {}
            else:
                reply = _timed(denoise, x, rate, request["repeats"])
                reply |= count(x, rate) if request["count"] else {}
        except Exception as error:  # as above: one file that fails is no end
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({**reply, "before_mb": before}), file=replies)
    return 0


def _timed(denoise: Denoise, x: np.ndarray, rate: int, repeats: int) -> dict[str, Any]:
    denoise(x, rate)  # first calls allocate and compile
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        denoise(x, rate)
        spent.append(time.perf_counter() - start)
    return {"seconds": spent, "peak_mb": memory_mb()[1]}


def _package() -> ModuleType:
    """The package that this file lies in, under a name of its own: its parent must not become importable."""
    start, name = Path(__file__).resolve().with_name("__init__.py"), "_baselines_of_diffgmm"
    spec = importlib.util.spec_from_file_location(name, start)  # of a package, by the file's name
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {start}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _list() -> dict[str, Any]:
    """By baseline: all that is known about it, with versions and fingerprint if it is installed."""
    descriptions = {}
    for name, baseline in _package().BASELINES.items():
        versions = baseline.versions()
        fingerprint = baseline.fingerprint() if versions else None
        descriptions[name] = {**asdict(baseline), "versions": versions, "fingerprint": fingerprint}
    return descriptions


def main(argv: list[str]) -> int:
    """``list``, or the name of a baseline and a number of threads."""
    replies = claim_stdout()
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).resolve().parent)]
    if argv == ["list"]:
        print(json.dumps(_list()), file=replies)
        return 0
    name, threads = argv[0], int(argv[1])

    def load() -> tuple[Denoise, Callable[[np.ndarray, int], dict[str, Any]]]:
        baseline = _package().BASELINES[name]
        denoise = baseline.load(threads)
        return lambda x, rate: baseline.aligned(denoise, x), lambda x, rate: {}

    return serve(load, replies)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
