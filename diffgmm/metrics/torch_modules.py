"""The metrics as torchmetrics classes: states that add up over batches and processes, failures counted apart.

metric = PesqWb(sample_rate=16000)
metric.update(denoised, clean)      # [..., samples] each
metric.compute()                    # mean over the items that have a score, NaN if none has
metric.n_valid, metric.n_total      # how many those were
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.metrics import METRICS, Measure


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
        values = self.values(preds, target).detach()
        finite = torch.isfinite(values)
        self.n_total += values.numel()
        self.n_valid += finite.sum()
        chosen = values[finite]
        self.total += (chosen if chosen.device.type == "mps" else chosen.double()).sum().to(self.total)

    def compute(self) -> Tensor:
        """The mean, NaN if there is no finite value."""
        return self.total / self.n_valid


class MeanScore(Metric):
    """Mean of one of :data:`diffgmm.metrics.METRICS` over items; subclasses name it.

    Args:
        sample_rate: of the signals, in Hz.
        resample: judge resampled signals where the metric is not defined at ``sample_rate``.
        kwargs: of ``torchmetrics.Metric``.

    Attributes:
        total: sum of the finite scores.
        n_valid: items with a finite score.
        n_total: items seen.
        reasons: why items of this process had no score, counted.

    Raises:
        ValueError: the metric is not defined at ``sample_rate``.
    """

    name: ClassVar[str]
    measure: ClassVar[Measure]
    full_state_update = False
    is_differentiable = False
    total: torch.Tensor
    n_valid: torch.Tensor
    n_total: torch.Tensor

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.measure = METRICS[cls.name]
        cls.higher_is_better = cls.measure.higher_is_better

    def __init__(self, sample_rate: int, resample: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.measure.rate_for(sample_rate, resample)
        self.sample_rate, self.resample = sample_rate, resample
        self.reasons: Counter[str] = Counter()
        # Not float64: that does not exist on Apple's GPUs.
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("n_valid", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("n_total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Add processed (``preds``) and clean (``target``) signals, both float ``[..., samples]``.

        Raises:
            ValueError: the shapes differ.
        """
        if preds.shape != target.shape or not preds.ndim:
            raise ValueError(
                f"{self.name} compares signals of one shape, got {preds.shape} and {target.shape}"
            )
        pairs = (x.detach().float().cpu().reshape(-1, x.shape[-1]).numpy() for x in (preds, target))
        for estimate, reference in zip(*pairs, strict=True):
            score = self.measure.explain(estimate, reference, self.sample_rate, resample=self.resample)
            self.n_total += 1
            if score.valid:
                self.n_valid += 1
                self.total += score.value
            else:
                self.reasons[score.reason] += 1

    def compute(self) -> torch.Tensor:
        """The mean over all items with a score, NaN if there is none."""
        return self.total / self.n_valid

    def reset(self) -> None:
        super().reset()
        self.reasons = Counter()


class PesqWb(MeanScore):
    """Mean of :func:`diffgmm.metrics.pesq_wb`."""

    name = "pesq_wb"


class PesqNb(MeanScore):
    """Mean of :func:`diffgmm.metrics.pesq_nb`."""

    name = "pesq_nb"


class Stoi(MeanScore):
    """Mean of :func:`diffgmm.metrics.stoi`."""

    name = "stoi"


class Estoi(MeanScore):
    """Mean of :func:`diffgmm.metrics.estoi`."""

    name = "estoi"


class SiSdr(MeanScore):
    """Mean of :func:`diffgmm.metrics.si_sdr`."""

    name = "si_sdr"


class Sdr(MeanScore):
    """Mean of :func:`diffgmm.metrics.sdr`."""

    name = "sdr"


class Snr(MeanScore):
    """Mean of :func:`diffgmm.metrics.snr`."""

    name = "snr"


class SegmentalSnr(MeanScore):
    """Mean of :func:`diffgmm.metrics.segmental_snr`."""

    name = "segmental_snr"


class Lsd(MeanScore):
    """Mean of :func:`diffgmm.metrics.lsd`."""

    name = "lsd"


class Llr(MeanScore):
    """Mean of :func:`diffgmm.metrics.llr`."""

    name = "llr"


class Wss(MeanScore):
    """Mean of :func:`diffgmm.metrics.wss`."""

    name = "wss"


class Csig(MeanScore):
    """Mean of :func:`diffgmm.metrics.csig`."""

    name = "csig"


class Cbak(MeanScore):
    """Mean of :func:`diffgmm.metrics.cbak`."""

    name = "cbak"


class Covl(MeanScore):
    """Mean of :func:`diffgmm.metrics.covl`."""

    name = "covl"


class DnsmosSig(MeanScore):
    """Mean of :func:`diffgmm.metrics.dnsmos_sig`."""

    name = "dnsmos_sig"


class DnsmosBak(MeanScore):
    """Mean of :func:`diffgmm.metrics.dnsmos_bak`."""

    name = "dnsmos_bak"


class DnsmosOvrl(MeanScore):
    """Mean of :func:`diffgmm.metrics.dnsmos_ovrl`."""

    name = "dnsmos_ovrl"


class DnsmosP808(MeanScore):
    """Mean of :func:`diffgmm.metrics.dnsmos_p808`."""

    name = "dnsmos_p808"


class Distillmos(MeanScore):
    """Mean of :func:`diffgmm.metrics.distillmos`."""

    name = "distillmos"


class ResidualNoise(MeanScore):
    """Mean of :func:`diffgmm.metrics.residual_noise`."""

    name = "residual_noise"


class Iou(MeanScore):
    """Mean of :func:`diffgmm.metrics.iou`."""

    name = "iou"


class F1(MeanScore):
    """Mean of :func:`diffgmm.metrics.f1`."""

    name = "f1"


class Dice(MeanScore):
    """Mean of :func:`diffgmm.metrics.dice`."""

    name = "dice"


#: The class for each name in :data:`diffgmm.metrics.NAMES`.
MODULES: dict[str, type[MeanScore]] = {kind.name: kind for kind in MeanScore.__subclasses__()}
