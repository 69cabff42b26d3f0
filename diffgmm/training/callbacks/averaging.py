"""Batch norm's running statistics across processes, and the buffers that weight averaging leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


class Constants(L.Callback):
    """Gives averaged weights the module's own constants before they are validated.

    These are buffers that are not part of its state, such as windows: made by its constructor and never changed.
    Averaging takes them for weights, and 0.9 x + 0.1 x is not x in the last bit: they wander off a little, and start
    anew where a run is continued, since checkpoints don't hold them. Validation would then differ.
    """

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        kept = set(pl_module.state_dict(keep_vars=True))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            average = callback._average_model if isinstance(callback, WeightAveraging) else None
            if average is not None:
                averaged = dict(average.module.named_buffers())
                for name, value in pl_module.named_buffers():
                    if name not in kept:
                        averaged[name].copy_(value)


class RunningMeans(L.Callback):
    r"""Lets batch norms' running means see the batches of all processes, not those of the first one only.

    A process by itself takes n batches one after another: :math:`r \leftarrow (1 - m)^n r + \dots`. So n processes
    take theirs with the momentum :math:`1 - (1 - m)^n` and then share the mean of their results. What is left is the
    order within the n batches: the one after another weighs the last by m, the first by :math:`m (1 - m)^{n - 1}`.
    Synchronised norms (``trainer.sync_batchnorm``) and a single process are left alone.
    """

    def __init__(self) -> None:
        self._norms: list[Any] = []

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Find the norms and set their momentum; it is no part of a checkpoint."""
        if trainer.world_size == 1:
            return
        modules: Iterable[Any] = pl_module.modules()
        for norm in modules:
            own = isinstance(norm, _BatchNorm) and not isinstance(norm, torch.nn.SyncBatchNorm)
            if own and norm.running_mean is not None and norm.momentum is not None:
                self._norms.append(norm)
                norm.momentum = 1.0 - (1.0 - norm.momentum) ** trainer.world_size

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """One exchange for all norms, after each batch: before the next one the first process hands its own out."""
        if not self._norms:
            return
        values: list[Tensor] = [v for norm in self._norms for v in (norm.running_mean, norm.running_var)]
        flat = trainer.strategy.reduce(torch.cat([v.flatten() for v in values]), reduce_op="mean")
        for value, mean in zip(values, flat.split([v.numel() for v in values]), strict=True):
            value.copy_(mean.view_as(value))

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the norms their own momentum back: the module may be trained on by another trainer."""
        for norm in self._norms:
            norm.momentum = 1.0 - (1.0 - norm.momentum) ** (1.0 / trainer.world_size)
        self._norms = []
