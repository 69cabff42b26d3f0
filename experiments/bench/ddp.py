"""Scaling of training over processes: ``make bench-ddp``, or ``python -m experiments.bench.ddp``.

Steps of ``base_16k.yaml`` on real windows, in 1, 2 ... processes with the same number of threads each: windows per
second, efficiency against one process, and the share of a step that waits for gradients of other processes (steps with
and without exchanging them, in turn). Every process has its own batch of the same size: efficiency is weak scaling.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.queues import Queue


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


def _process(rank: int, ranks: int, port: int, args: argparse.Namespace, results: Queue[Any]) -> None:
    """One process of a measurement; rank zero reports medians in seconds."""
    import torch
    from torch import nn

    from experiments.bench.training import experiment

    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    torch.set_num_threads(args.threads)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", rank) if cuda else torch.device("cpu")
    torch.distributed.init_process_group("nccl" if cuda else "gloo", rank=rank, world_size=ranks)
    data, module = experiment(corpus=args.corpus, batch_size=args.batch, epoch_size=args.batch, num_workers=0)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    batch = {name: batch[name].to(device) for name in ("noisy", "clean")}
    module.to(device)

    class Loss(nn.Module):
        """What DDP wraps: the loss of a batch as a forward pass."""

        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, place: int) -> torch.Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=args.bf16):
                return self.module.training_loss(batch, 0, 0, place * ranks + rank)[0]

    loss = nn.parallel.DistributedDataParallel(Loss(), gradient_as_bucket_view=True)
    optimizer = torch.optim.AdamW(loss.parameters(), lr=1e-4)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for step in range(2 * (args.steps + args.warmup)):
        exchange = step % 2 == 0
        torch.distributed.barrier()
        start = time.perf_counter()
        if exchange:
            loss(step).backward()
        else:
            with loss.no_sync():
                loss(step).backward()
        optimizer.step()
        optimizer.zero_grad()
        if cuda:
            torch.cuda.synchronize()
        if step >= 2 * args.warmup:
            seconds[exchange].append(time.perf_counter() - start)
    if rank == 0:
        weights = sum(p.numel() for p in module.parameters())
        results.put({"exchange": seconds[True], "alone": seconds[False], "parameters": weights})
    torch.distributed.destroy_process_group()


def measure(ranks: int, args: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step with and without exchange, and what follows from them."""
    import torch.multiprocessing

    results: Queue[Any] = torch.multiprocessing.get_context("spawn").Queue()
    context = torch.multiprocessing.spawn(
        _process, (ranks, free_port(), args, results), nprocs=ranks, join=False
    )
    times = results.get(timeout=args.timeout)
    while not context.join(timeout=args.timeout):
        pass
    step, alone = statistics.median(times["exchange"]), statistics.median(times["alone"])
    return {
        "processes": ranks,
        "threads": args.threads,
        "step_s": step,
        "windows_per_s": ranks * args.batch / step,
        "communication_percent": 100.0 * max(0.0, step - alone) / step,
        "parameters": times["parameters"],
    }


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns 0."""
    parser = argparse.ArgumentParser(description="Measure how training scales over processes.")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="to compare (default: 1 2)")
    parser.add_argument("--threads", type=int, default=1, help="of a process (default: 1)")
    parser.add_argument("--batch", type=int, default=4, help="windows of a process (default: 4)")
    parser.add_argument("--steps", type=int, default=10, help="measured, of each kind (default: 10)")
    parser.add_argument("--warmup", type=int, default=2, help="steps before that (default: 2)")
    parser.add_argument("--corpus", default="mini", help="to mix from (default: mini)")
    parser.add_argument("--bf16", action="store_true", help="in bfloat16, as the GPU recipe has it")
    parser.add_argument(
        "--timeout", type=float, default=600, help="seconds for one measurement (default: 600)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; base_16k.yaml, {args.batch} windows a process"
    )
    print(
        f"{'processes x threads':>20}{'s a step':>12}{'windows/s':>12}{'efficiency':>12}{'communication':>15}"
    )
    rows: list[dict[str, float]] = []
    for ranks in args.processes:
        row = measure(ranks, args)
        first = (rows or [row])[0]
        each = row["windows_per_s"] / ranks
        row["efficiency_percent"] = 100.0 * each / (first["windows_per_s"] / first["processes"])
        rows.append(row)
        print(
            f"{f'{ranks} x {args.threads}':>20}{row['step_s']:>12.3f}{row['windows_per_s']:>12.2f}"
            f"{row['efficiency_percent']:>11.0f}%{row['communication_percent']:>14.1f}%",
            flush=True,
        )
    if args.json:
        Path(args.json).write_text(json.dumps({"load": os.getloadavg()[0], "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
