"""Which of the losses leads training: the size of each one's gradient, and whether it points where training goes."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from diffgmm.diffusion.sampler_options import whole_number
from diffgmm.training.module import DiffGMM


class LossGradients(L.Callback):
    """Logs the norm of the gradient that each weighted loss has by itself, and its cosine with the total gradient.

    Losses on different scales can't be compared by their values: nats, decibels and MOS have no common unit, and
    gradient clipping shares out one length among all. ``gradients/NAME`` is the norm of the gradient of weight times
    loss with respect to all parameters, ``gradients/NAME_cosine`` its cosine with their sum, ``gradients/total`` the
    norm of the sum, before clipping. A loss with a tenth of the largest norm has no influence; one whose cosine is
    below zero is worked against. One batch says little, chance is large: look at several.

    The gradients are those of the batch, times and noise that the step itself goes on to use (dropout draws anew); of
    several processes the first one's are logged. Training stays bit for bit as it would be without. It costs a forward
    and, uncompiled, a backward pass more than there are losses.

    Args:
        every_n_steps: from one look to the next; the first is in front of the first step.

    Raises:
        ValueError: ``every_n_steps`` below 1.
    """

    def __init__(self, every_n_steps: int = 500) -> None:
        self.every_n_steps = whole_number("every_n_steps", every_n_steps, 1)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look, where it is time to; batches that are accumulated into one step are looked at once."""
        if trainer.global_step % self.every_n_steps or batch_idx % trainer.accumulate_grad_batches:
            return
        if not isinstance(pl_module, DiffGMM):
            raise TypeError(f"LossGradients: needs a DiffGMM, got {type(pl_module).__name__}")
        buffers = {name: value.clone() for name, value in pl_module.named_buffers()}
        devices = [pl_module.device] if pl_module.device.type == "cuda" else []
        try:
            # Recurrences and dropout draw from the global state; batch norms note what they see.
            # Compiled backward passes give up their buffers, so that a second loss would find none.
            with (
                torch.random.fork_rng(devices),
                trainer.precision_plugin.train_step_context(),
                torch.compiler.set_stance("force_eager"),
            ):
                norms = loss_gradients(pl_module, batch, *pl_module.place(batch_idx))
        finally:
            for name, value in pl_module.named_buffers():
                value.copy_(buffers[name])
        named = {f"gradients/{name}": float(value) for name, value in norms.items()}
        for logger in trainer.loggers:
            logger.log_metrics({**named, "epoch": float(trainer.current_epoch)}, step=trainer.global_step)


def loss_gradients(
    module: DiffGMM, batch: dict[str, Any], seed: int, epoch: int, place: int
) -> dict[str, Tensor]:
    """Norms and cosines of the gradients of a module's weighted losses, as :class:`LossGradients` logs them.

    Args:
        module: gradients that it holds stay as they are.
        batch: ``noisy`` and ``clean`` ``[B, 1, T]``.
        seed, epoch, place: which random numbers are drawn (:meth:`diffgmm.training.module.DiffGMM.training_loss`).

    Returns:
        Scalars: by loss its norm as ``NAME`` and its cosine as ``NAME_cosine`` (0 without a gradient), and ``total``.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    values = module.loss.values(module.training_inputs(batch, seed, epoch, place))
    terms = {name: module.loss.losses[name].weight * value for name, value in values.items()}

    def gradient(loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True))

    def product(a: list[Tensor], b: list[Tensor]) -> Tensor:
        sums = [(x * y).sum() for x, y in zip(a, b, strict=True)]
        # Where parameters are cut over processes, so are the sums.
        return torch.stack([x.full_tensor() if hasattr(x, "full_tensor") else x for x in sums]).sum()

    combined = gradient(torch.stack(list(terms.values())).sum())
    norms = {"total": product(combined, combined).sqrt()}
    for name, term in terms.items():
        own = gradient(term)
        norms[name] = product(own, own).sqrt()
        norms[f"{name}_cosine"] = product(own, combined) / (norms[name] * norms["total"]).clamp_min(1e-30)
    return norms
