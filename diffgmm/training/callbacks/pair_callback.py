"""One set of hooks for callbacks that look at every pair of validation and test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning as L


class PairCallback(L.Callback):
    """Calls :meth:`start`, :meth:`add` for each batch and :meth:`finish`, in validation and test alike."""

    def start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """An epoch begins."""
        raise NotImplementedError

    def add(
        self, trainer: L.Trainer, outputs: Mapping[str, Any], batch: Any, loaders: Any, loader_index: int
    ) -> None:
        """A batch was denoised; ``loaders`` are the trainer's for this stage."""
        raise NotImplementedError

    def finish(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """The epoch ends; ``stage`` is ``val`` or ``test``."""
        raise NotImplementedError

    def _checked_add(
        self, trainer: L.Trainer, outputs: Any, batch: Any, loaders: Any, loader_index: int
    ) -> None:
        if not isinstance(outputs, Mapping) or "denoised" not in outputs:
            raise ValueError(f"{type(self).__name__}: the module's step must return a dict with 'denoised'")
        self.add(trainer, outputs, batch, loaders, loader_index)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start(trainer, pl_module)

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._checked_add(trainer, outputs, batch, trainer.val_dataloaders, dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._checked_add(trainer, outputs, batch, trainer.test_dataloaders, dataloader_idx)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.finish(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.finish(trainer, pl_module, "test")
