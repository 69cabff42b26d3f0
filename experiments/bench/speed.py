"""Speed of the default setting per back end: ``make bench-speed``, or ``python -m experiments.bench.speed``.

Prints a table and, with ``--markdown docs/speed.md``, puts it between that file's marks. Times are processor times,
least and median of many runs, so that they hold on a busy machine; with one thread on an idle one they are what a clock
shows. The least of the clock stands beside them. Whole commands start anew and are measured first: a process starts
with the memory of the one that started it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffgmm.evaluation.benchmark.model import macs
from diffgmm.utils.text_table import markdown
from experiments.release import marks

GOALS = {"1-s window": 8.0, "5-s recording": 150.0, "whole command, 5-s file": 2500.0}  # ms


class Times(NamedTuple):
    """Milliseconds: least and median of the processor's time, least of the clock's."""

    least: float
    median: float
    clock: float

    @classmethod
    def of(cls, runs: Sequence[tuple[float, float]]) -> Times:
        """Of processor's and clock's seconds of several runs."""
        busy, wall = ([1e3 * value for value in column] for column in zip(*runs, strict=True))
        return cls(min(busy), statistics.median(busy), min(wall))


def timed(function: Callable[[], object], seconds: float) -> Times:
    """Of calls for about ``seconds``, after two to warm up."""
    function(), function()
    runs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(runs) < 5:
        start, used = time.perf_counter(), time.process_time()
        function()
        runs.append((time.process_time() - used, time.perf_counter() - start))
    return Times.of(runs)


def peaks(seconds: float) -> dict[str, float]:
    """GFLOP/s that PyTorch reaches here: a product of large matrices, and a 3 x 3 convolution of 32 channels."""
    import torch

    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    layer = torch.nn.Conv2d(32, 32, 3, padding=1)
    x = torch.randn(1, 32, 128, 128).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        product = 2 * 1024**3 / timed(lambda: a @ b, seconds).least
        convolution = 2 * 32 * 32 * 9 * 128**2 / timed(lambda: layer(x), seconds).least
    return {"matrix product": product / 1e6, "convolution": convolution / 1e6}


def in_process(name: str, backend: str, threads: int, seconds: float) -> dict[str, Times]:
    """Milliseconds for windows of 1 s and 4 s and a recording of 5 s."""
    from diffgmm.inference import Denoiser

    denoiser = Denoiser.from_pretrained(name, backend=backend, threads=threads)
    x = np.random.default_rng(0).standard_normal(5 * denoiser.sample_rate).astype(np.float32) * 0.1
    run = denoiser.enhancer()
    times = {}
    for length in (1, 4):
        rows = x[None, : length * denoiser.sample_rate]
        times[f"{length}-s window"] = timed(lambda rows=rows: run(rows, [(0, 0)]), seconds)  # type: ignore[misc]
    times["5-s recording"] = timed(lambda: denoiser.denoise(x, denoiser.sample_rate), seconds)
    return times


def command(name: str, backend: str, threads: int, repeats: int) -> tuple[Times, float]:
    """``diffgmm denoise`` on a file of 5 s, and its peak memory in MB."""
    from diffgmm.audio import write

    runs, peak = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        noisy = Path(folder, "noisy.wav")
        write(noisy, np.random.default_rng(0).standard_normal(80000).astype(np.float32) * 0.1, 16000)
        line = [
            sys.executable, "-m", "diffgmm.cli.main", "denoise", str(noisy), "-o", str(Path(folder, "clean.wav")),
            "--model", name, "--device", "cpu", "--overwrite", "--backend", backend, "--threads", str(threads),
        ]  # fmt: skip
        for _ in range(repeats):
            start = time.perf_counter()
            process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise RuntimeError(f"{' '.join(line)} failed")
            runs.append((usage.ru_utime + usage.ru_stime, time.perf_counter() - start))
            peak = max(peak, usage.ru_maxrss / 1e3)
    return Times.of(runs), peak


def measure(args: argparse.Namespace) -> str:
    """A table for each model, as Markdown."""
    backends = [backend for backend in args.backends if backend == "torch" or find_spec(backend)]
    commands = {
        name: {backend: command(name, backend, args.threads, args.repeats) for backend in backends}
        for name in args.model
    }
    import torch

    torch.set_num_threads(args.threads)
    best = peaks(args.seconds / 4)
    return "\n\n".join(_table(name, commands[name], best, args) for name in args.model)


def _table(
    name: str, commands: dict[str, tuple[Times, float]], best: dict[str, float], args: argparse.Namespace
) -> str:
    """One model's, from whole commands by back end and PyTorch's peaks."""
    import torch

    from diffgmm.diffusion.pretrained import model_path
    from diffgmm.diffusion.saving import load_model
    from diffgmm.utils.provenance import processor

    model, _ = load_model(model_path(name))
    second = torch.zeros(1, 1, model.sample_rate)
    work = macs(lambda: model.enhance(second))
    times_of = ("processor time, least", "median", "clock, least")
    rows = [["back end", "what", *times_of, "goal", "share of the peak"]]
    for backend in args.backends:
        if backend not in commands:
            rows.append([backend, "not installed", *[""] * 5])
            continue
        command_times, memory = commands[backend]
        times = in_process(name, backend, args.threads, args.seconds)
        for what, figures in {**times, f"whole command, 5-s file ({memory:.0f} MB)": command_times}.items():
            goal = next((f"{value:g} ms" for key, value in GOALS.items() if what.startswith(key)), "")
            reached = 2e-4 * work / figures.least / max(best.values())  # by a second of sound, in percent
            share = f"{float(what[0]) * reached:.0f} %" if what in times else ""
            rows.append([backend, what, *(f"{value:.1f} ms" for value in figures), goal, share])
    head = (
        f"`{name}`, {work / 1e6:.0f} million multiply-adds per second of sound, on {args.threads} of "
        f"{os.cpu_count()} threads of {processor()}; load {os.getloadavg()[0]:.1f} with other work. "
        "PyTorch's peak here: " + ", ".join(f"{what} {value:.0f} GFLOP/s" for what, value in best.items())
    )
    return "\n".join([f"{head}.", "", *markdown(rows, left=range(7))])


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write between the marks; returns 0, or 2 for a file without marks."""
    parser = argparse.ArgumentParser(description="Measure the default setting's speed per back end.")
    add = parser.add_argument
    add("--model", nargs="+", default=["base"], help="shipped models or files (default: base)")
    add("--threads", type=int, default=1, help="of everything (default: 1)")
    add("--seconds", type=float, default=3.0, help="for each figure (default: 3)")
    add("--repeats", type=int, default=3, help="starts of the whole command (default: 3)")
    add("--backends", nargs="+", default=["torch", "onnxruntime"], help="(default: both)")
    return marks.measured(parser, argv, measure)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
