"""Random numbers of a run, in its checkpoints."""

from __future__ import annotations

import random
from typing import Any

import lightning as L
import numpy as np
import torch


def _state() -> dict[str, Any]:
    """States of the global generators, as plain data and tensors."""
    kind, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": list(random.getstate()[1]),
        "gauss": random.getstate()[2],
    }


def _set(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate((3, tuple(state["python"]), state["gauss"]))


class RandomState(L.Callback):
    """Puts the states of the global random generators into checkpoints, every process's own, and back.

    Windows, noise and times of diffgmm are drawn by key and don't need it; dropout, and modules of other people, do.
    With another number of processes than before the generators are left as the seed made them.
    """

    def __init__(self) -> None:
        self._loaded: list[dict[str, Any]] | None = None

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        states: list[Any] = [None] * trainer.world_size
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(states, _state())
        else:
            states[0] = _state()
        checkpoint["random_states"] = states

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._loaded = checkpoint.get("random_states")

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        loaded, self._loaded = self._loaded, None  # once, where the run before went on from its checkpoint
        if loaded is not None and len(loaded) == trainer.world_size:
            _set(loaded[trainer.global_rank])
