"""What weight averaging should leave alone."""

from __future__ import annotations

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging


def constants(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Buffers that are not part of a module's state, such as windows: made by its constructor and never changed."""
    kept = set(module.state_dict(keep_vars=True))
    return {name: value for name, value in module.named_buffers() if name not in kept}


class Constants(L.Callback):
    """Gives averaged weights the module's own constants before they are validated.

    Averaging takes them for weights, and 0.9 x + 0.1 x is not x in the last bit: they wander off a little, and start
    anew where a run is continued, since checkpoints don't hold them. Validation would then tell the two apart.
    """

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            average = callback._average_model if isinstance(callback, WeightAveraging) else None
            if average is not None:
                averaged = dict(average.module.named_buffers())
                for name, value in constants(pl_module).items():
                    averaged[name].copy_(value)
