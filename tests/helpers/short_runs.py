"""Short trainings through the command, in processes that may be killed; only the network is small."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import torch
import yaml

from diffgmm.training.callbacks.checkpoints import AtomicCheckpoints

ROOT = Path(__file__).parents[2]


class SlowCheckpoints(AtomicCheckpoints):
    """Checkpoints on a slow disk: real writing, in twenty pieces, with a pause after each."""

    pause = 0.02

    def _write(self, checkpoint: dict[str, Any], part: Path) -> None:
        super()._write(checkpoint, part)
        content = part.read_bytes()
        with part.open("wb") as file:
            for start in range(0, len(content), len(content) // 20 + 1):
                file.write(content[start : start + len(content) // 20 + 1])
                file.flush()
                time.sleep(self.pause)


def configuration(folder: Path, *, slow: bool = False, **trainer: Any) -> Path:
    """Write a configuration for a run in ``folder``/run: epochs of eight steps of four windows, then validation."""
    config = yaml.safe_load((ROOT / "experiments" / "mini.yaml").read_text(encoding="utf-8"))
    config["data"]["init_args"] |= {
        "epoch_size": 32, "batch_size": 4, "valid_pairs": 4, "valid_seconds": 0.5, "window": 4096, "cache": None,
    }  # fmt: skip
    config["model"]["network"] |= {"channels": [4, 6], "strides": [[4, 1], [4, 1]], "hidden": 8}
    config["model"]["lr_scheduler"]["init_args"] |= {"warmup_steps": 4, "total_steps": 60}
    callbacks = [
        {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.9}},
        {
            "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
            "init_args": {"monitor": "val/loss", "save_last": True},
        },
    ]
    run = str(folder / "run")
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": run, "name": ""}}
    config["trainer"] |= {
        "callbacks": callbacks, "logger": [logger], "default_root_dir": run, "log_every_n_steps": 1,
        "accelerator": "cpu", "devices": 1, "enable_progress_bar": False, "enable_model_summary": False,
        "num_sanity_val_steps": 0, "max_epochs": 3,
    } | trainer  # fmt: skip
    if slow:
        config["trainer"]["plugins"] = [{"class_path": "short_runs.SlowCheckpoints"}]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "short.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _train(arguments: list[str], output: Path, code: Any) -> None:
    with Path(output).open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # pytest's own objects, which a fork inherits, write elsewhere.
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(n, "w", closefd=False), line_buffering=True) for n in (1, 2)
    )
    os.setsid()
    torch.set_num_threads(1)
    from diffgmm.cli.main import main

    code.value = main(["fit", *arguments])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code.value)


@contextmanager
def training(arguments: list[str], output: Path) -> Iterator[ForkProcess]:
    """``diffgmm fit`` in a forked process (which spares it the imports) and group; killed at the end of the block."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_train, args=(arguments, output, context.Value("i", -1)), daemon=False)
    process.start()
    try:
        yield process
    finally:
        kill(process)


def kill(process: ForkProcess) -> None:
    """SIGKILL to the process and all that it started."""
    if process.pid is not None:
        for killing in (os.killpg, os.kill):  # it may not have a group of its own yet
            try:
                killing(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    process.join(10)


def finished(arguments: list[str], output: Path, seconds: float = 240) -> int:
    """Exit code of a training that is waited for."""
    with training(arguments, output) as process:
        process.join(seconds)
        assert process.exitcode is not None, output.read_text(encoding="utf-8")[-2000:]
        return process.exitcode


def checkpoint(folder: Path) -> dict[str, Any]:
    """The run's last checkpoint."""
    (path,) = folder.rglob("last.ckpt")
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


def differing(a: Any, b: Any, where: str = "") -> list[str]:
    """Where two nested states differ in any bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.dtype == b.dtype and torch.equal(a, b)
        return [] if same else [where]
    if isinstance(a, dict) and isinstance(b, dict):
        if set(a) != set(b):
            return [f"{where}: {set(a) ^ set(b)}"]
        return [found for key in a for found in differing(a[key], b[key], f"{where}/{key}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [found for i in range(len(a)) for found in differing(a[i], b[i], f"{where}/{i}")]
    return [] if a == b else [f"{where}: {a} != {b}"]


STATES = (
    "state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers", "global_step", "epoch",
    "random_states",
)  # fmt: skip


def assert_same_run(one: Path, other: Path) -> None:
    """The same weights (also averaged), optimizer, schedule and random numbers, bit for bit, and the same metrics."""
    a, b = checkpoint(one), checkpoint(other)
    assert differing({k: a[k] for k in STATES}, {k: b[k] for k in STATES}) == []
    (first,), (second,) = one.rglob("metrics.csv"), other.rglob("metrics.csv")
    assert first.read_text(encoding="utf-8").splitlines() == second.read_text(encoding="utf-8").splitlines()
