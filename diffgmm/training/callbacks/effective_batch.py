"""The same training step on any number of devices."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from diffgmm.training.errors import TrainingError
from diffgmm.training.ranks import epoch_counts


def split(windows: int, devices: int, at_most: int) -> tuple[int, int]:
    """Windows of a device's batch, and how many such batches it accumulates for one training step.

    Args:
        windows: of one training step, all devices together.
        devices: how many there are.
        at_most: what fits into a device's memory.

    Returns:
        ``(batch_size, accumulate)`` with ``batch_size * accumulate * devices == windows`` and the largest
        ``batch_size`` up to ``at_most``.

    Raises:
        TrainingError: ``windows`` can't be shared out equally.

    Example:
        >>> split(32, devices=1, at_most=8), split(32, devices=4, at_most=8), split(24, devices=2, at_most=8)
        ((8, 4), (8, 1), (6, 2))
    """
    if windows < 1 or windows % devices:
        wanted = f"{devices} devices need a multiple of {devices}, or fewer devices"
        raise TrainingError(f"effective_batch.windows is {windows}: {wanted}")
    share = windows // devices
    size = next(size for size in range(min(share, max(1, at_most)), 0, -1) if share % size == 0)
    return size, share // size


class EffectiveBatch(L.Callback):
    """Keeps the number of windows in a training step when the number of devices changes.

    With ``windows`` set, ``data.batch_size`` only says how much fits on one device: batches get that size (or the next
    smaller one that divides), and each device accumulates gradients over as many as are needed. The learning rate and
    its schedule, which count training steps, stay as they are: **same windows per step, same learning rate**. If you
    change ``windows``, scale the rate: with Adam it grows with the square root of the number (Malladi et al., "On
    the SDEs and scaling rules for adaptive gradient algorithms", 2022), with SGD in proportion (Goyal et al., 2017).

    The loss of a step is the mean over equal batches, so that sum and share agree with one large batch; what a batch
    normalises over is its own windows, so keep ``data.batch_size`` too where a network has batch norm.

    A run that was stopped within an epoch goes on with the next window when its number of devices has changed.

    Args:
        windows: of one training step, all devices together; ``null`` leaves ``data.batch_size`` and
            ``trainer.accumulate_grad_batches`` alone.
    """

    def __init__(self, windows: int | None = None) -> None:
        self.windows = windows
        self._before: int | None = None  # windows of one batch on all devices, in the run that is continued
        self._now = 0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Set batch size and accumulation, before the loaders are made."""
        data: Any = getattr(trainer, "datamodule", None)
        size = getattr(data, "batch_size", None)
        if stage != "fit" or size is None:
            return
        if self.windows is not None:
            size, accumulate = split(self.windows, trainer.world_size, size)
            data.batch_size, trainer.accumulate_grad_batches = size, accumulate
            parts = f"{trainer.world_size} device(s) x {size} windows x {accumulate} batch(es)"
            rank_zero_info(f"{self.windows} windows a step: {parts}")
        self._now = size * trainer.world_size

    def state_dict(self) -> dict[str, Any]:
        return {"windows_at_once": self._now}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict["windows_at_once"] or None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count what was seen of the epoch in batches of the present size."""
        if self._before in (None, self._now) or not self._now:
            return
        current = epoch_counts(trainer)
        pending = current.processed - current.completed  # one, if the checkpoint is from the end of a step
        done = -(-current.processed * self._before // self._now)
        current.ready = current.started = current.processed = done
        current.completed = done - pending
