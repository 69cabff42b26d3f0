"""Records beside a run what is needed to repeat it."""

from __future__ import annotations

import json
import time
from typing import Any

import lightning as L

from diffgmm.audio import replacing
from diffgmm.callbacks.loggers import run_folder
from diffgmm.provenance import facts


class RunRecord(L.Callback):
    """Writes ``record.json`` into the run's folder: at the start what ran, at the end how long and how far.

    Args:
        file: name of the file.
    """

    def __init__(self, file: str = "record.json") -> None:
        self.file = file
        self._facts: dict[str, Any] = {}
        self._start = 0.0

    def _write(self, trainer: L.Trainer) -> None:
        folder = run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / self.file) as part:
            part.write_text(json.dumps(self._facts, indent=2) + "\n", encoding="utf-8")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record versions, revision, devices and the data's own fingerprint, if it has one."""
        if not trainer.is_global_zero:
            return
        self._start = time.monotonic()
        data = getattr(trainer, "datamodule", None)
        fingerprint = getattr(data, "fingerprint", None)
        self._facts = facts() | {
            "devices": trainer.num_devices * trainer.num_nodes,
            "accelerator": type(trainer.accelerator).__name__,
            "precision": str(trainer.precision),
            "parameters": sum(p.numel() for p in pl_module.parameters()),
            "data": fingerprint() if callable(fingerprint) else None,
            "resumed_from": trainer.ckpt_path,
        }
        self._write(trainer)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add wall time and steps."""
        if not trainer.is_global_zero:
            return
        self._facts |= {
            "seconds": round(time.monotonic() - self._start, 1),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
        }
        self._write(trainer)
