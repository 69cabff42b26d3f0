"""Stops at the first loss or gradient that is not a number, and keeps what led to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from diffgmm.diffusion.saving import read_checkpoint
from diffgmm.training.callbacks.loggers import run_folder
from diffgmm.training.errors import TrainingError
from diffgmm.training.module import DiffGMM
from diffgmm.training.ranks import turn
from diffgmm.utils.files import replacing


def _gradient_norm(module: torch.nn.Module) -> Tensor:
    """Norm of the gradient over all parameters, also where they are cut over processes."""
    norm = torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm


class NonFinite(L.Callback):
    """Ends training in front of the step that would have spoilt the weights.

    The batches of the step, the weights before it, seed and place go to ``nonfinite/step-N-rank-R.ckpt`` in the run's
    folder; :func:`replay` computes the loss again from that file alone. With half precision and a gradient scaler
    (``16-mixed``), where infinite gradients are part of the procedure, only losses are watched.

    Args:
        enabled: ``false`` to go on whatever happens.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self._folder = Path()
        self._batches: list[tuple[Any, int]] = []  # of the present training step

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._folder = Path(trainer.strategy.broadcast(str(run_folder(trainer) / "nonfinite")))

    def on_train_batch_start(self, trainer: L.Trainer, _: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._batches = []
        if self.enabled:
            self._batches.append((batch, batch_idx))

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        if self.enabled and not bool(torch.isfinite(loss)):
            self._stop(trainer, pl_module, "loss")

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        watched = self.enabled and trainer.precision != "16-mixed"
        if watched and not bool(torch.isfinite(_gradient_norm(pl_module))):
            self._stop(trainer, pl_module, "gradient")

    def _stop(self, trainer: L.Trainer, module: L.LightningModule, what: str) -> None:
        step = trainer.global_step
        path = self._folder / f"step-{step}-rank-{trainer.global_rank}.ckpt"
        names = [name for batch, _ in self._batches for name in (batch.get("name") or [])]
        describe = getattr(module, "description", None)
        kept = {
            "what": what,
            "step": step,
            "epoch": trainer.current_epoch,
            "rank": trainer.global_rank,
            "seed": torch.initial_seed(),
            "precision": str(trainer.precision),
            "batches": [batch for batch, _ in self._batches],
            "places": [turn(trainer, i) for _, i in self._batches],
            "state_dict": module.state_dict(),
            "diffgmm": describe() if callable(describe) else None,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            torch.save(kept, part)
        raise TrainingError(
            f"the {what} of step {step} is not finite (rank {trainer.global_rank}, windows {', '.join(names[-8:])}); "
            f"weights before it and batch are in {path}, and {replay.__module__}.replay computes them again; "
            "a lower learning rate or trainer.gradient_clip_val may help"
        )


def replay(path: str | Path, module: DiffGMM | None = None) -> dict[str, float]:
    """Compute the losses and the gradient of a kept step again.

    Args:
        path: a file that :class:`NonFinite` wrote.
        module: a changed module to try, e.g. with other losses; ``None`` builds the one of the file.

    Returns:
        Losses of the last batch by name, their weighted sum as ``loss``, and ``gradient``, the norm over all parameters
        and batches of the step on this rank.

    Raises:
        ModelError: the file is missing, damaged, or holds anything but numbers.

    Example:
        >>> replay("runs/mini/version_0/nonfinite/step-12-rank-0.ckpt")  # doctest: +SKIP
        {'nll': nan, 'noise_l1': 0.31, 'loss': nan, 'gradient': nan}
    """
    kept = read_checkpoint(Path(path))
    module = module or DiffGMM.from_checkpoint(path)
    module.train()
    values: dict[str, float] = {}
    half = kept["precision"] == "bf16-mixed"
    for batch, place in zip(kept["batches"], kept["places"], strict=True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            total, parts = module.training_loss(batch, kept["seed"], kept["epoch"], place)
        (total / len(kept["batches"])).backward()
        values = {name: float(value) for name, value in parts.items()} | {"loss": float(total.detach())}
    return values | {"gradient": float(_gradient_norm(module))}
