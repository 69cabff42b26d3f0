"""The metrics in torchmetrics: states that add up over batches and processes, failures counted apart.

metric = MeanScore("pesq_wb", sample_rate=16000)
metric.update(denoised, clean)      # [..., samples] each
metric.compute()                    # mean over the items that have a score, NaN if none has
metric.n_valid, metric.n_total      # how many those were
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from diffgmm.metrics import Measure, get_metric


class MeanScore(Metric):
    """Mean of a metric over items.

    Args:
        name: of the metric, or ``PACKAGE.MODULE:FUNCTION`` (:func:`diffgmm.metrics.get_metric`).
        sample_rate: of the signals, in Hz.
        resample: judge resampled signals where the metric is not defined at ``sample_rate``.
        kwargs: of ``torchmetrics.Metric``.

    Attributes:
        total: sum of the finite scores.
        n_valid: items with a finite score.
        n_total: items seen.
        reasons: why items of this process had no score, counted.

    Raises:
        ValueError: there is no such metric, or it is not defined at ``sample_rate``.
    """

    full_state_update = False
    is_differentiable = False
    total: Tensor
    n_valid: Tensor
    n_total: Tensor

    def __init__(self, name: str, sample_rate: int, resample: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        get_metric(name).rate_for(sample_rate, resample)
        self.name, self.sample_rate, self.resample = name, sample_rate, resample
        self.reasons: Counter[str] = Counter()
        # Not float64: that does not exist on Apple's GPUs.
        for state, start in (("total", 0.0), ("n_valid", 0), ("n_total", 0)):
            self.add_state(state, torch.tensor(start), dist_reduce_fx="sum")

    @property
    def measure(self) -> Measure:
        """What is known about the metric."""
        return get_metric(self.name)  # not kept: the function would not go through pickle

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """Direction of improvement."""
        return self.measure.higher_is_better

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add processed (``preds``) and clean (``target``) signals, both float ``[..., samples]``.

        Raises:
            ValueError: the shapes differ.
        """
        if preds.shape != target.shape or not preds.ndim:
            raise ValueError(f"{self.name} compares signals of one shape, got {preds.shape}, {target.shape}")
        pairs = (x.detach().float().cpu().reshape(-1, x.shape[-1]).numpy() for x in (preds, target))
        measure = self.measure
        for estimate, reference in zip(*pairs, strict=True):
            score = measure.explain(estimate, reference, self.sample_rate, resample=self.resample)
            self.n_total += 1
            if score.valid:
                self.n_valid += 1
                self.total += score.value
            else:
                self.reasons[score.reason] += 1

    def compute(self) -> Tensor:
        """The mean over all items with a score, NaN if there is none."""
        return self.total / self.n_valid

    def reset(self) -> None:
        super().reset()
        self.reasons = Counter()
