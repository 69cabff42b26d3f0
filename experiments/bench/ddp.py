"""Scaling of training over processes: ``make bench-ddp``, or ``python -m experiments.bench.ddp``.

Short trainings of ``base_16k.yaml`` by ``diffgmm fit`` in 1, 2 ... processes with the same number of threads each:
windows per second, as training logs them, and efficiency against one process. Every process has its own batch of the
same size: efficiency is weak scaling.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from diffgmm.training.files import arguments, in_folder
from diffgmm.training.run_folders import CURVES, read_curves
from diffgmm.utils.text_table import aligned

CONFIG, SHORT = Path(__file__).parents[1] / "base_16k.yaml", Path(__file__).with_suffix(".yaml")


def measure(processes: int, args: argparse.Namespace) -> float:
    """Windows per second of the last steps of a training."""
    with tempfile.TemporaryDirectory() as folder:
        throughput = {"steps": args.steps}
        settings: dict[str, Any] = {
            "data.corpus": args.corpus,
            "data.batch_size": args.batch,
            "data.epoch_size": processes * args.batch * (args.warmup + args.steps),
            "trainer.devices": processes,
            "trainer.strategy": "ddp" if processes > 1 else "auto",
            **in_folder(Path(folder), version=""),
            "trainer.callbacks": [
                {"class_path": "diffgmm.training.callbacks.throughput.Throughput", "init_args": throughput}
            ],
        }
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        fit = ["-m", "diffgmm.cli.main", "fit", "--config", str(CONFIG), "--config", str(SHORT)]
        words = [sys.executable, *fit, *arguments(settings), *args.options]
        subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL, timeout=args.timeout)
        return read_curves(Path(folder, CURVES))["train/windows_per_s"].values[-1]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns 0."""
    parser = argparse.ArgumentParser(description="Measure how training scales over processes.")
    add = parser.add_argument
    add("--processes", type=int, nargs="+", default=[1, 2], help="to compare (default: 1 2)")
    add("--threads", type=int, default=1, help="of a process (default: 1)")
    add("--batch", type=int, default=4, help="windows of a process (default: 4)")
    add("--steps", type=int, default=10, help="measured (default: 10)")
    add("--warmup", type=int, default=2, help="steps before that (default: 2)")
    add("--corpus", default="mini", help="to mix from (default: mini)")
    add("--timeout", type=float, default=600, help="seconds for one training (default: 600)")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    further = "further options of `diffgmm fit`, after --: --trainer.precision=bf16-mixed"
    add("options", nargs="*", help=further)
    args = parser.parse_args(argv)
    print(f"base_16k.yaml, {args.batch} windows and {args.threads} threads a process")
    rows = [["processes", "windows/s", "efficiency"]]
    figures: list[dict[str, float]] = []
    for processes in args.processes:
        figure = {"processes": processes, "windows_per_s": measure(processes, args)}
        each = [entry["windows_per_s"] / entry["processes"] for entry in (figure, (figures or [figure])[0])]
        figures.append({**figure, "efficiency_percent": 100.0 * each[0] / each[1]})
        rows.append([f"{processes}", f"{figure['windows_per_s']:.2f}", f"{100.0 * each[0] / each[1]:.0f} %"])
    print("\n".join(aligned(rows, left=())))
    if args.json:
        args.json.write_text(json.dumps({"load": os.getloadavg()[0], "rows": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
