"""A run's ``config.yaml`` and ``metrics.csv``, complete at any time and continued across restarts."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from diffgmm.training.callbacks.loggers import ResumedWandbLogger, run_folder
from diffgmm.training.ranks import epoch_counts
from diffgmm.training.run_folders import flat
from diffgmm.utils.files import replacing


class ConfigFile(SaveConfigCallback):
    """Writes beside the old file and renames, and lets the loggers know the settings; for training alone.

    A run that is continued writes its configuration again; one killed in that moment would otherwise leave half of it,
    and ``--ckpt_path auto`` would take its checkpoints for those of another configuration.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Save once, on rank zero; a file that may not be replaced is refused as before."""
        if stage != "fit" or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if self.already_saved or not self.overwrite:
            super().setup(trainer, pl_module, stage)
            return
        name = self.config_filename
        self.config_filename = f".{name}.part"
        super().setup(trainer, pl_module, stage)
        written, self.config_filename = self.config_filename, name
        folder = trainer.log_dir  # asks all processes
        if trainer.is_global_zero and folder is not None:
            Path(folder, written).replace(Path(folder, name))

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the settings to the loggers that show them (a CSV has ``config.yaml`` beside it)."""
        settings = dict(flat(yaml.safe_load(self.parser.dump(self.config, skip_unset=False))))
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):
                logger.log_hyperparams(settings)
            if isinstance(logger, ResumedWandbLogger):
                logger.keep(run_folder(trainer))


class _Writer(ExperimentWriter):
    """Appends to what is there, where Lightning's deletes it, and never leaves half a file."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        path = Path(self.metrics_file_path)
        if path.is_file():
            self.metrics_keys = list(_rows(path)[0])

    def _check_log_dir_exists(self) -> None:
        """Nothing is deleted."""

    def rewrite(self, fieldnames: list[str] | None = None, rows: int | None = None) -> None:
        """Write the file anew, with other columns or the first so many rows alone."""
        path = Path(self.metrics_file_path)
        if path.is_file():
            columns, content = _rows(path)
            with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, fieldnames or columns, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(content[:rows])

    _rewrite_with_new_header = rewrite


def _rows(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or []), list(reader)


class MetricsFile(L.Callback):
    """Writes out what was logged with every checkpoint, and takes back what was logged after the one that is resumed.

    The metrics of the step in which a checkpoint is saved are logged only after it; they are kept in the checkpoint.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Any] | None = None

    @staticmethod
    def prepare(trainer: L.Trainer) -> None:
        """Have CSV loggers append; to be called before training."""
        if getattr(rank_zero_only, "rank", 0) > 0:
            return
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger) and logger._experiment is None:
                logger._experiment = _Writer(logger.log_dir)

    def on_save_checkpoint(self, trainer: L.Trainer, _: Any, checkpoint: dict[str, Any]) -> None:
        rows = []
        for logger in trainer.loggers:
            logger.save()
            if isinstance(logger, CSVLogger) and trainer.is_global_zero:
                path = Path(logger.experiment.metrics_file_path)
                rows.append(len(_rows(path)[1]) if path.is_file() else 0)
        connector, batches = trainer._logger_connector, epoch_counts(trainer)
        unlogged = trainer.training and batches.processed > batches.completed and connector.should_update_logs
        values = connector.metrics["log"] if unlogged else {}
        checkpoint["metrics_file"] = {
            "rows": rows,
            "step": trainer.fit_loop.epoch_loop._batches_that_stepped,
            "epoch": trainer.current_epoch,
            "unlogged": {k: v.item() if isinstance(v, torch.Tensor) else v for k, v in values.items()},
        }

    def on_load_checkpoint(self, trainer: L.Trainer, _: Any, checkpoint: dict[str, Any]) -> None:
        self._pending = checkpoint.get("metrics_file")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pending, self._pending = self._pending, None
        if pending is None or not trainer.is_global_zero:
            return
        writers = [logger.experiment for logger in trainer.loggers if isinstance(logger, CSVLogger)]
        for writer, rows in zip(writers, pending["rows"], strict=False):
            if isinstance(writer, _Writer):
                writer.rewrite(rows=rows)
        if pending["unlogged"]:
            for logger in trainer.loggers:
                logger.log_metrics({**pending["unlogged"], "epoch": pending["epoch"]}, step=pending["step"])
