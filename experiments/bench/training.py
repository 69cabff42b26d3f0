"""Cost of training and its wait for data: a step, workers' memory, a short fit. For `experiments.bench.data`."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_modules.noisy_speech import NoisySpeech
from data_modules.pools.pool import AUDIO, INDEX, INFO, NAMES, Pool

if TYPE_CHECKING:
    from diffgmm.training.module import DiffGMM

CONFIG = Path(__file__).parents[1] / "base_16k.yaml"
_CLIP_SECONDS = 10


def experiment(**changes: Any) -> tuple[NoisySpeech, DiffGMM]:
    """Data module and model of ``base_16k.yaml``, with some settings of the data changed."""
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
    made = parser.instantiate_classes(parser.parse_object({"data": config["data"], "model": config["model"]}))
    return made.data, made.model


def step_seconds(batch: dict[str, Any], model: DiffGMM, repeats: int = 3) -> tuple[float, float]:
    """Median wall and processor seconds per window of a training step (forward, losses, backward, optimizer)."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    walls, cpus = [], []
    for number in range(repeats + 1):
        start, busy = time.perf_counter(), time.process_time()
        loss, _ = model.training_loss(batch, 0, 0, number)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - busy)
    windows = len(batch["noisy"])
    return statistics.median(walls[1:]) / windows, statistics.median(cpus[1:]) / windows


def sparse_pool(folder: Path, hours: float, sample_rate: int = 16000) -> Pool:
    """A pool of so many hours that takes no room on disk: its audio is one hole."""
    clips, length = int(hours * 3600 / _CLIP_SECONDS), _CLIP_SECONDS * sample_rate
    folder.mkdir(parents=True)
    with (folder / AUDIO).open("wb") as file:
        file.truncate(2 * clips * length)
    speakers = max(1, clips // 100)
    np.savez(
        folder / INDEX,
        offset=np.arange(clips, dtype=np.int64) * length,
        length=np.full(clips, length, dtype=np.int64),
        group=np.minimum(np.arange(clips, dtype=np.int64) // 100, speakers - 1),
        gain=np.ones(clips, dtype=np.float32),
        level=np.full(clips, -26.0, dtype=np.float32),
    )
    (folder / NAMES).write_text("\n".join(f"{number}.flac" for number in range(clips)), encoding="utf-8")
    groups = [f"{number:05d}" for number in range(speakers)]
    info = {"version": 0, "sample_rate": sample_rate, "groups": groups, "skipped": []}
    (folder / INFO).write_text(json.dumps(info), encoding="utf-8")
    return Pool(folder)


def unique_memory(process: int) -> int:
    """Unique set size in bytes: what ending this process would free. Linux only."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))


def worker_memory(start_method: str, hours: float, batches: int = 60, workers: int = 2) -> dict[str, float]:
    """Opens a sparse pool of so many hours and mixes the full chain from it in workers.

    Returns:
        ``open_s``: seconds to open the pool; ``uss_mb``: largest unique memory of a worker in megabytes.
    """
    with tempfile.TemporaryDirectory() as folder:
        speech = sparse_pool(Path(folder) / "speech", hours)
        noise = sparse_pool(Path(folder) / "noise", hours / 10.0)
        start = time.perf_counter()
        Pool(speech.folder)
        opened = time.perf_counter() - start
        data, _ = experiment(corpus="mini", num_workers=workers, start_method=start_method, epoch_size=10**6)
        data.pools["train"] = (speech, noise)
        before = {child.pid for child in multiprocessing.active_children()}
        iterator = iter(data.train_dataloader())
        most = 0
        for number in range(batches):
            next(iterator)
            if number % 10 == 9:
                children = [
                    process.pid for process in multiprocessing.active_children() if process.pid not in before
                ]
                most = max([most, *(unique_memory(pid) for pid in children if pid is not None)])
        del iterator
    return {"open_s": opened, "uss_mb": most / 1e6}


def data_wait(corpus: str, steps: int, workers: int = 1) -> dict[str, float]:
    """A short fit of the default experiment.

    Returns:
        ``wait``: share of wall time that training waited for batches, from the end of the first step to the end of
        the last; ``first_s``: seconds until the first batch was there (workers start); ``step_s``: seconds a step.
    """
    import lightning as L

    notes: list[tuple[float, float]] = []

    class Clock(L.Callback):
        """Notes time, and the loader's own count of waiting, after each step."""

        def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
            notes.append((time.perf_counter(), trainer.train_dataloader.waited))  # type: ignore[union-attr]

    data, model = experiment(corpus=corpus, num_workers=workers)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_steps=steps, accelerator="cpu", devices=1, logger=False, callbacks=[Clock()], limit_val_batches=0,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(model, datamodule=data)
    (start, first), (end, last) = notes[0], notes[-1]
    return {
        "wait": (last - first) / (end - start),
        "first_s": first,
        "step_s": (end - start) / (len(notes) - 1),
        "steps": len(notes),
    }
