"""What ``predict`` computes, as audio files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L

from diffgmm.audio.writer import write
from diffgmm.training.callbacks.loggers import run_folder
from diffgmm.training.errors import TrainingError
from diffgmm.training.resume import say


class Predictions(L.Callback):
    """Writes ``NAME.wav`` of every denoised window of ``predict`` into a folder; does nothing for other verbs.

    Args:
        folder: where to; ``null``: ``predictions`` in the run's folder.

    Raises:
        TrainingError: before anything is computed, if the folder holds files already.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self._path = Path()
        self._count = 0

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Settle the folder, the same one in all processes."""
        own = Path(self.folder) if self.folder else run_folder(trainer) / "predictions"
        path = Path(trainer.strategy.broadcast(str(own)))
        if trainer.is_global_zero and path.is_dir() and any(path.iterdir()):
            raise TrainingError(f"{path}: holds files already; give another one by --predictions.folder")
        self._path, self._count = path, 0

    def on_predict_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Write a batch."""
        denoised = outputs["denoised"].float().cpu().numpy()
        names = outputs.get("name") or [f"{batch_idx:05d}-{number}" for number in range(len(denoised))]
        for name, wave in zip(names, denoised, strict=True):
            # Names come from files of the data, which may lie in folders; none leads out of this one.
            path = self._path.joinpath(*(p for p in Path(f"{name}.wav").parts if p not in ("/", "..")))
            path.parent.mkdir(parents=True, exist_ok=True)
            # Processes share out the data and may repeat the first windows.
            write(path, wave, pl_module.model.sample_rate, overwrite=trainer.world_size > 1)
            self._count += 1

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say where they are."""
        if trainer.is_global_zero:
            say(f"{self._count} denoised files in {self._path}")
