"""Loggers: the folder of a run, images and audio for those that show them, and W&B for runs that are resumed."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from diffgmm.utils.files import write_text


def run_folder(trainer: L.Trainer) -> Path:
    """The folder of this run, for rank zero: where its CSV or TensorBoard files or else its checkpoints are.

    ``trainer.log_dir`` is not that folder for W&B, and waits for the other ranks: this may be asked on rank
    zero alone.
    """
    for logger in trainer.loggers:
        if isinstance(logger, (CSVLogger, TensorBoardLogger)):
            return Path(logger.log_dir)
    for logger in trainer.loggers:
        if logger.save_dir is not None:  # as ModelCheckpoint has it
            version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
            return Path(logger.save_dir) / str(logger.name) / version
    return Path(trainer.default_root_dir)


def log_image(trainer: L.Trainer, tag: str, image: np.ndarray) -> None:
    """Show an image, uint8 ``[height, width, 3]``, in every logger that has a place for images."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, image, trainer.global_step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(tag, [image], step=trainer.global_step)


def log_audio(trainer: L.Trainer, tag: str, x: np.ndarray, sample_rate: int) -> None:
    """Let a signal, float ``[samples]``, be heard in every logger with a place for audio; clips at 1."""
    x = np.clip(x, -1, 1)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_audio(tag, torch.from_numpy(x)[None], trainer.global_step, sample_rate)
        elif isinstance(logger, WandbLogger):
            logger.log_audio(tag, [x], step=trainer.global_step, sample_rate=[sample_rate])


ID_FILE = "wandb_run_id"


class ResumedWandbLogger(WandbLogger):
    """Logs every training to a run of W&B of its own, and a training that is continued to the run that it had.

    The run's id is drawn at the start and kept in the run's folder; ``--ckpt_path auto``, given by a person or by a
    cluster, goes on with it.

    Args:
        save_dir: folder of W&B's files.
        id: of the run, if it should be a certain one.
        resume: as W&B has it.
        kwargs: of Lightning's logger: ``project``, ``name``, ``offline``, ``group``, ``tags``, ...
    """

    def __init__(
        self, save_dir: str = "runs/wandb", id: str | None = None, resume: str = "allow", **kwargs: Any
    ) -> None:
        self._fixed = id is not None
        drawn = rank_zero_only(secrets.token_hex)(4)
        super().__init__(save_dir=save_dir, id=id or drawn, resume=resume, **kwargs)

    def enter(self, folder: Path) -> None:
        """Go on with the run whose id is in the folder of a continued training; before anything is logged."""
        path = folder / ID_FILE
        if not self._fixed and path.is_file():
            self._id = self._wandb_init["id"] = path.read_text(encoding="utf-8").strip()

    def keep(self, folder: Path) -> None:
        """Write the run's id into the training's folder."""
        if self._id is not None:
            write_text(folder / ID_FILE, self._id + "\n")
