"""What the metrics of a mixture share: a mean over bins whose parts add up over batches and processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from diffgmm.mixture import GaussianMixture


class BinMean(Metric):
    """Mean of a value per bin; bins without a finite one are counted and left out. Subclasses say what the value is.

    Args:
        kwargs: of ``torchmetrics.Metric``.

    Attributes:
        total: sum of the finite values.
        n_valid: bins (real dimensions of positions) with a finite value.
        n_total: bins seen.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better: bool | None = False
    total: Tensor
    n_valid: Tensor
    n_total: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A sum over some million bins: float32 (float64 does not exist on Apple's GPUs), each batch summed in
        # float64 on the way where there is such a thing.
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("n_valid", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("n_total", torch.tensor(0), dist_reduce_fx="sum")

    def values(self, mixture: GaussianMixture, target: Tensor) -> Tensor:
        """One value per bin."""
        raise NotImplementedError

    def update(self, preds: GaussianMixture, target: Tensor) -> None:
        """Add what a mixture (``preds``) says of the true values (``target`` ``[B, C, *S]``)."""
        found = self.values(preds, target).detach()
        finite = torch.isfinite(found)
        self.n_total += found.numel()
        self.n_valid += finite.sum()
        chosen = found[finite]
        self.total += (chosen if chosen.device.type == "mps" else chosen.double()).sum().to(self.total)

    def compute(self) -> Tensor:
        """The mean, NaN if there is no finite value."""
        return self.total / self.n_valid
