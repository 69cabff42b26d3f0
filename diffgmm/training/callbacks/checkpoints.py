"""Complete or absent checkpoints, the random state in them, and the one from which a run resumes."""

from __future__ import annotations

import contextlib
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities.cloud_io import _is_local_file_protocol
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from diffgmm.diffusion.sampler_options import whole_number
from diffgmm.training.callbacks.loggers import run_folder
from diffgmm.training.errors import TrainingError
from diffgmm.training.ranks import gathered
from diffgmm.utils.files import replacing


def _state() -> dict[str, Any]:
    """States of the global generators, as plain data and tensors."""
    kind, keys, *rest = np.random.get_state()
    _, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": list(words),
        "gauss": gauss,
    }


def _set(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate((3, tuple(state["python"]), state["gauss"]))


class RandomState(L.Callback):
    """Puts the states of the global random generators into checkpoints, every process's own, and back.

    Windows, noise and times of diffgmm are drawn by key and don't need it; dropout, and modules of other people, do.
    With another number of processes than before the generators are left as the seed made them.
    """

    def __init__(self) -> None:
        self._loaded: list[dict[str, Any]] | None = None

    def on_save_checkpoint(self, trainer: L.Trainer, _: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["random_states"] = gathered(trainer, _state())

    def on_load_checkpoint(self, trainer: L.Trainer, _: Any, checkpoint: dict[str, Any]) -> None:
        self._loaded = checkpoint.get("random_states")

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        states, self._loaded = self._loaded, None  # once, where the run before went on from its checkpoint
        if states is not None and len(states) == trainer.world_size:
            _set(states[trainer.global_rank])


LAST = "last.ckpt"


def is_complete(path: Path) -> bool:
    """Whether a checkpoint file can be read to its end: its directory, and every part's checksum."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError):
        return False


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, waits until it is on the disk, and then renames it.

    Lightning itself writes to the system's temporary folder; where that is another file system, the move to the run's
    folder is a copy, and a process that is killed in it leaves half a file under the right name.

    Raises:
        TrainingError: the file can't be written; what lay there before stays.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        if storage_options is not None or not _is_local_file_protocol(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        place = Path(path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            for left in place.parent.glob(f".{place.name[:100]}.*.part"):  # of a process that was killed
                left.unlink(missing_ok=True)
            with replacing(place) as part:
                self._write(checkpoint, part)
                with part.open("rb") as file:
                    os.fsync(file.fileno())
            _sync_folder(place.parent)
        except (OSError, RuntimeError) as error:
            # torch reports a write that fails as RuntimeError, the system's error being its cause or context.
            why = error if isinstance(error, OSError) else error.__cause__ or error.__context__ or error
            reason = getattr(why, "strerror", None) or str(why)
            kept = f"; the one before it is kept: {place}" if place.exists() else ""
            raise TrainingError(f"{place}: can't write the checkpoint ({reason}){kept}") from error

    def _write(self, checkpoint: dict[str, Any], part: Path) -> None:
        with part.open("wb") as file:
            torch.save(checkpoint, file)


def _sync_folder(folder: Path) -> None:
    """Make a rename last, where the file system lets a folder be synchronised."""
    handle = os.open(folder, os.O_RDONLY)
    # Some network file systems refuse; a rename is then as lasting as they make it.
    with contextlib.suppress(OSError):
        os.fsync(handle)
    os.close(handle)


class LastCheckpoint(Checkpoint):
    """Keeps ``checkpoints/last.ckpt`` in the run's folder up to date, for ``--ckpt_path auto`` to go on from.

    Saved after every so many training steps and at the end of every epoch. Where validation follows a step, its
    results are waited for, so that a run continued from the checkpoint does not leave them out. Other checkpoint
    callbacks (the best by a metric) leave ``last.ckpt`` to this one.

    Args:
        every_n_steps: training steps between two saves; 0 for the ends of epochs only. At most so many are lost when a
            run is killed.

    Raises:
        ValueError: ``every_n_steps`` below 0.
    """

    def __init__(self, every_n_steps: int = 1000) -> None:
        self.every_n_steps = whole_number("last.every_n_steps", every_n_steps, 0)
        self.path = Path(LAST)
        self._saved = -1  # training step of the newest save
        self._step_complete = True
        #: What to do once the state is saved, which is then done at the next chance.
        self.then: Callable[[L.Trainer], Any] | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.path = Path(trainer.strategy.broadcast(str(run_folder(trainer) / "checkpoints" / LAST)))
        for other in trainer.checkpoint_callbacks:
            if isinstance(other, ModelCheckpoint):
                other.save_last = False
                if other.dirpath is not None:
                    self.path = Path(other.dirpath) / LAST

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._saved = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, loop, fetcher = trainer.global_step, trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        due = bool(self.every_n_steps) and step - max(self._saved, 0) >= self.every_n_steps
        due = due or 0 < trainer.max_steps <= step or self.then is not None
        ends = batch_idx + 1 >= trainer.num_training_batches
        self._step_complete = ends or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        # Resumed from here, validation that is to follow would be left out; at an epoch's end so would the end's hooks.
        if due and not ends and self._step_complete and fetcher and not loop._should_check_val_fx(fetcher):
            self.save(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        ends = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if trainer.state.fn == "fit" and not trainer.sanity_checking and self._step_complete and not ends:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.fit_loop.epoch_loop._num_ready_batches_reached():
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Save the state after the present step, unless that is done already; to be called on all ranks alike."""
        if self._saved != trainer.global_step and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._saved = trainer.global_step
            trainer.save_checkpoint(self.path)
        if self.then is not None:
            self.then(trainer)
