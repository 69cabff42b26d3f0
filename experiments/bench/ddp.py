"""Scaling of training over processes: ``make bench-ddp``, or ``python -m experiments.bench.ddp``.

Steps of ``base_16k.yaml`` on real windows, in 1, 2 ... processes with the same number of threads each: windows per
second, efficiency against one process, and the share of a step that waits for gradients of other processes (steps with
and without exchanging them, in turn). Every process has its own batch of the same size: efficiency is weak scaling.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.utils.text_table import aligned

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

CONFIG = Path(__file__).parents[1] / "base_16k.yaml"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


def experiment(**changes: Any) -> Any:
    """Data module and model of ``base_16k.yaml`` as ``data`` and ``model``, with some settings of the data changed."""
    import lightning as L
    import yaml
    from lightning.pytorch.cli import LightningArgumentParser

    from diffgmm.training.lightning_cli import USUAL
    from diffgmm.training.module import DiffGMM
    from diffgmm.training.perceptual import NEEDED

    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["data"]["init_args"] |= changes
    for loss, packages in NEEDED.items():
        if any(importlib.util.find_spec(name) is None for name in packages):
            config["model"]["losses"].pop(loss, None)
    parser = LightningArgumentParser()
    parser.add_subclass_arguments(L.LightningDataModule, "data")
    parser.add_lightning_class_args(DiffGMM, "model")
    parser.set_defaults(USUAL)
    return parser.instantiate_classes(parser.parse_object({name: config[name] for name in ("data", "model")}))


def _process(rank: int, ranks: int, port: int, args: argparse.Namespace, results: Queue[Any]) -> None:
    """One process of a measurement; rank zero reports seconds of steps that exchange gradients and that don't."""
    import torch
    from torch import nn

    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    torch.set_num_threads(args.threads)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", rank) if cuda else torch.device("cpu")
    torch.distributed.init_process_group("nccl" if cuda else "gloo", rank=rank, world_size=ranks)
    made = experiment(corpus=args.corpus, batch_size=args.batch, epoch_size=args.batch, num_workers=0)
    made.data.setup("fit")
    batch = next(iter(made.data.train_dataloader()))
    batch = {name: batch[name].to(device) for name in ("noisy", "clean")}

    class Loss(nn.Module):
        """What DDP wraps: the loss of a batch as a forward pass."""

        def __init__(self) -> None:
            super().__init__()
            self.module = made.model.to(device)

        def forward(self, place: int) -> torch.Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=args.bf16):
                return self.module.training_loss(batch, 0, 0, place * ranks + rank)[0]

    loss = nn.parallel.DistributedDataParallel(Loss(), gradient_as_bucket_view=True)
    optimizer = torch.optim.AdamW(loss.parameters(), lr=1e-4)
    seconds: tuple[list[float], list[float]] = ([], [])
    for step in range(2 * (args.steps + args.warmup)):
        alone = step % 2 == 1
        torch.distributed.barrier()
        start = time.perf_counter()
        if alone:
            with loss.no_sync():
                loss(step).backward()
        else:
            loss(step).backward()
        optimizer.step()
        optimizer.zero_grad()
        if cuda:
            torch.cuda.synchronize()
        if step >= 2 * args.warmup:
            seconds[alone].append(time.perf_counter() - start)
    if rank == 0:
        results.put(seconds)
    torch.distributed.destroy_process_group()


def measure(ranks: int, args: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step with and without exchange, and what follows from them."""
    import torch.multiprocessing

    results: Queue[Any] = torch.multiprocessing.get_context("spawn").Queue()
    context = torch.multiprocessing.spawn(
        _process, (ranks, free_port(), args, results), nprocs=ranks, join=False
    )
    step, alone = map(statistics.median, results.get(timeout=args.timeout))
    while not context.join(timeout=args.timeout):
        pass
    return {
        "processes": ranks,
        "step_s": step,
        "windows_per_s": ranks * args.batch / step,
        "communication_percent": 100.0 * max(0.0, step - alone) / step,
    }


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns 0."""
    parser = argparse.ArgumentParser(description="Measure how training scales over processes.")
    add = parser.add_argument
    add("--processes", type=int, nargs="+", default=[1, 2], help="to compare (default: 1 2)")
    add("--threads", type=int, default=1, help="of a process (default: 1)")
    add("--batch", type=int, default=4, help="windows of a process (default: 4)")
    add("--steps", type=int, default=10, help="measured, of each kind (default: 10)")
    add("--warmup", type=int, default=2, help="steps before that (default: 2)")
    add("--corpus", default="mini", help="to mix from (default: mini)")
    add("--bf16", action="store_true", help="in bfloat16, as the GPU recipe has it")
    add("--timeout", type=float, default=600, help="seconds for one measurement (default: 600)")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    rows = [measure(ranks, args) for ranks in args.processes]
    lines = [["processes", "s a step", "windows/s", "efficiency", "communication"]]
    for row in rows:
        each = [entry["windows_per_s"] / entry["processes"] for entry in (row, rows[0])]
        row["efficiency_percent"] = 100.0 * each[0] / each[1]
        percent = [f"{row[f'{name}_percent']:.1f} %" for name in ("efficiency", "communication")]
        lines.append([f"{row['processes']}", f"{row['step_s']:.3f}", f"{row['windows_per_s']:.2f}", *percent])
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; base_16k.yaml, {args.batch} windows and "
        f"{args.threads} threads a process"
    )
    print("\n".join(aligned(lines, left=())))
    if args.json:
        args.json.write_text(json.dumps({"load": os.getloadavg()[0], "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
