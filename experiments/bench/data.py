"""The data path against its goals: ``make bench-data``, or ``python -m experiments.bench.data``.

Prints a table and, with ``--json``, writes the same figures. Rates are medians of five runs, per second of processor
time (windows per core), so that they hold on a busy machine; waiting is measured in wall time and does not.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # rates are per core

GOALS = {"plain": 1000.0, "full": 150.0, "uss_mb": 300.0, "open_s": 1.0, "wait": 0.02}


def _quietly() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(lightning|torch)\b.*")


def _row(what: str, figure: str, note: str = "") -> None:
    print(f"  {what:<54}{figure:>16}  {note}", flush=True)


def _verdict(value: float, goal: float, above: bool) -> str:
    return "goal met" if (value >= goal if above else value <= goal) else "GOAL MISSED"


Figures = dict[str, Any]


def _mixing(args: argparse.Namespace) -> Figures:
    """Windows per second from pools: plain, default and full chain."""
    from experiments.bench import mixing, training

    data, _ = training.experiment(corpus=args.corpus, num_workers=0)
    data.setup("fit")
    print(f"mixing from {args.corpus}, windows of 1.024 s at 16 kHz per second and core")
    rates: Figures = {}
    for name, rate in mixing.mixing_rates(data, args.seconds):
        rates[name] = rate.per_core
        goal = next((goal for key, goal in GOALS.items() if name.startswith(key)), None)
        note = f"goal {goal:g}: {_verdict(rate.per_core, goal, above=True)}" if goal else ""
        _row(name, f"{rate.per_core:.0f}", note)
    return rates


def _step(args: argparse.Namespace) -> Figures:
    """A training step of the default model, and the full chain for the same windows."""
    import torch

    from data_modules.mixing.mixer import Mixer
    from diffgmm.utils.random import window_rng
    from experiments.bench import mixing, training

    data, model = training.experiment(corpus=args.corpus, batch_size=4, epoch_size=4, num_workers=0)
    data.setup("fit")
    mixer = Mixer(*data.pools["train"], data.mixing, data.augmentations)
    chain = mixing.measure(lambda number: mixer.draw(window_rng(3, number), data.window), args.seconds)
    batch = next(iter(data.train_dataloader()))
    torch.set_num_threads(1)  # as the chain: a core against a core
    wall, busy = training.step_seconds(batch, model)
    print(f"a training step of base_16k.yaml on one core, windows of {data.window / data.sample_rate:.3f} s")
    _row("step, milliseconds per window", f"{1e3 * wall:.1f}", f"processor {1e3 * busy:.1f}")
    _row(
        "full chain, milliseconds per window",
        f"{1e3 / chain.per_core:.1f}",
        f"{100 / chain.per_core / busy:.1f} % of it",
    )
    return {"wall": wall, "processor": busy, "chain_processor": 1.0 / chain.per_core}


def _memory(args: argparse.Namespace) -> Figures:
    """Unique memory of workers with a large pool open."""
    from experiments.bench import training

    print(f"two workers on a pool of {args.hours:g} h (a sparse file), full chain")
    figures: Figures = {}
    for method in ("fork", "forkserver", "spawn"):
        figures[method] = worker = training.worker_memory(method, args.hours)
        note = f"goal {GOALS['uss_mb']:g}: {_verdict(worker['uss_mb'], GOALS['uss_mb'], above=False)}"
        _row(f"unique memory per worker, {method}", f"{worker['uss_mb']:.0f} MB", note)
    opened = max(worker["open_s"] for worker in figures.values())
    _row("opening the pool", f"{opened:.3f} s", f"goal 1: {_verdict(opened, GOALS['open_s'], above=False)}")
    return figures


def _wait(args: argparse.Namespace) -> Figures:
    """The share of a short fit that waits for data."""
    import torch

    from experiments.bench import training

    torch.set_num_threads(args.threads)
    fit = training.data_wait(args.corpus, args.steps)
    torch.set_num_threads(1)
    print(f"a fit of base_16k.yaml, {fit['steps']:.0f} steps, one worker")
    note = f"goal 2 %: {_verdict(fit['wait'], GOALS['wait'], above=False)}"
    _row("waiting for data, share of wall time", f"{100 * fit['wait']:.2f} %", note)
    _row("first batch (the worker starts)", f"{fit['first_s']:.1f} s", f"a step takes {fit['step_s']:.2f} s")
    return fit


PARTS = {"mixing": _mixing, "step": _step, "memory": _memory, "wait": _wait}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns 0."""
    parser = argparse.ArgumentParser(description="Measure the data path: mixing, memory, waiting.")
    parser.add_argument("--corpus", default="mini", help="to mix from (default: mini)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each rate (default: 5)")
    parser.add_argument("--hours", type=float, default=500.0, help="of the sparse pool (default: 500)")
    parser.add_argument("--steps", type=int, default=30, help="of the short fit (default: 30)")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="of the short fit (default: all)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some parts of it")
    args = parser.parse_args(argv)
    _quietly()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    figures: Figures = {"corpus": args.corpus, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    figures |= {name: PARTS[name](args) for name in args.only}
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
