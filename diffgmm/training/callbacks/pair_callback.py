"""One set of hooks for callbacks that look at every pair of validation and test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn

from diffgmm.training.ranks import position

Places = Sequence[int | None]
"""Of a batch's pairs in the loader's data; ``None`` for one that another process has had."""


class PairCallback(L.Callback):
    """Calls :meth:`start`, :meth:`add` for each batch and :meth:`finish`, in validation and test alike.

    While validation is only tried out before training (``trainer.sanity_checking``), only :meth:`start` is called.
    """

    _active = False
    _seen: Counter[int]  # pairs so far, by loader

    def start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """An epoch begins."""

    def add(self, trainer: L.Trainer, outputs: Any, batch: Any, loader: int, places: Places) -> None:
        """A batch was denoised; ``outputs`` holds what the step returned."""
        raise NotImplementedError

    def finish(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """The epoch ends; ``stage`` is ``val`` or ``test``."""

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._active, self._seen = not trainer.sanity_checking, Counter()
        self.start(trainer, pl_module)

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not isinstance(outputs, Mapping) or "denoised" not in outputs:
            raise ValueError(f"{type(self).__name__}: the module's step must return a dict with 'denoised'")
        if self._active:
            first, size = self._seen[dataloader_idx], len(batch["clean"])
            self._seen[dataloader_idx] += size
            places = [position(trainer, dataloader_idx, first + i) for i in range(size)]
            self.add(trainer, outputs, batch, dataloader_idx, places)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._active:
            self.finish(trainer, pl_module, "test" if trainer.testing else "val")

    on_test_epoch_end = on_validation_epoch_end


def when(trainer: L.Trainer, stage: str) -> str:
    """``epoch_003`` while training, else the stage: for names of files."""
    return f"epoch_{trainer.current_epoch:03d}" if trainer.state.fn == TrainerFn.FITTING else stage
