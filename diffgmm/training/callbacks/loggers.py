"""Images and audio for whichever loggers a trainer has, and the folder of its run. For rank zero."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger


def run_folder(trainer: L.Trainer) -> Path:
    """The folder of this run: where its CSV or TensorBoard files or else its checkpoints are.

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
