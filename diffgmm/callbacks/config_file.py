"""The run's ``config.yaml``, never half-written."""

from __future__ import annotations

import os
from pathlib import Path

import lightning as L
from lightning.pytorch.cli import SaveConfigCallback


class ConfigFile(SaveConfigCallback):
    """Writes beside the old file and renames.

    A run that is continued writes its configuration again; one killed in that moment would otherwise leave half of it,
    and ``--ckpt_path auto`` would take its checkpoints for those of another configuration.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Save once, on rank zero; a file that may not be replaced is refused as before."""
        if self.already_saved or not self.overwrite:
            super().setup(trainer, pl_module, stage)
            return
        name = self.config_filename
        self.config_filename = f".{name}.part"
        super().setup(trainer, pl_module, stage)
        written, self.config_filename = self.config_filename, name
        folder = trainer.log_dir  # asks all processes
        if trainer.is_global_zero and folder is not None:
            os.replace(Path(folder, written), Path(folder, name))
