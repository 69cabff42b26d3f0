"""Metrics of processed sound: pure functions ``name(estimate, reference, sample_rate) -> float``.

A score that does not exist is NaN and has a reason (:func:`explain`); it is counted, never averaged in. The
class for training loops lives in :mod:`diffgmm.metrics.torch_modules`, which needs torchmetrics; this package does
not. Metrics of the mixture itself (likelihood, CRPS, coverage) judge distributions, not signals:
:meth:`diffgmm.diffusion.mixture.GaussianMixture.nll`, :mod:`~diffgmm.metrics.crps` and
:mod:`~diffgmm.metrics.coverage`, with torch.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

# The order is that of tables.
from diffgmm.metrics.pesq import pesq_nb, pesq_wb  # isort: skip
from diffgmm.metrics.stoi import estoi, stoi  # isort: skip
from diffgmm.metrics.si_sdr import si_sdr  # isort: skip
from diffgmm.metrics.sdr import sdr  # isort: skip
from diffgmm.metrics.snr import snr  # isort: skip
from diffgmm.metrics.segmental_snr import segmental_snr  # isort: skip
from diffgmm.metrics.lsd import lsd  # isort: skip
from diffgmm.metrics.llr import llr  # isort: skip
from diffgmm.metrics.wss import wss  # isort: skip
from diffgmm.metrics.composite import cbak, covl, csig  # isort: skip
from diffgmm.metrics.dnsmos import dnsmos_bak, dnsmos_ovrl, dnsmos_p808, dnsmos_sig  # isort: skip
from diffgmm.metrics.distillmos import distillmos  # isort: skip
from diffgmm.metrics.wer import wer_moonshine_tiny  # isort: skip
from diffgmm.metrics.residual_noise import residual_noise  # isort: skip
from diffgmm.metrics.masks import iou, f1, dice  # isort: skip
from diffgmm.metrics.base import METRICS, Measure, NoScore, Score, get_metric, metric

#: All metrics of this package by name.
NAMES: tuple[str, ...] = tuple(METRICS)


def default_names(sample_rate: int) -> tuple[str, ...]:
    """The metrics to look at first: ``pesq_wb`` from 16 kHz, ``pesq_nb`` below, then STOI, ESTOI, SI-SDR."""
    return ("pesq_wb" if sample_rate >= 16000 else "pesq_nb", "stoi", "estoi", "si_sdr")


def explain(
    estimate: np.ndarray,
    reference: np.ndarray,
    sample_rate: int,
    names: Iterable[str] | None = None,
    *,
    resample: bool = False,
) -> dict[str, Score]:
    """Score one signal, with the reason for every score that does not exist.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: of both, in Hz.
        names: of metrics (:func:`get_metric`); ``None`` for :func:`default_names`.
        resample: let a metric that is not defined at ``sample_rate`` (PESQ at 48 kHz) judge resampled
            signals.

    Raises:
        ValueError: unknown name, signals of unequal length, or a rate at which a metric is not defined.

    >>> import numpy as np
    >>> explain(np.zeros(16000), np.ones(16000), 16000, ["snr"])
    {'snr': Score(value=nan, reason='estimate is silent')}
    """
    measures = [get_metric(name) for name in (default_names(sample_rate) if names is None else names)]
    return {m.name: m.explain(estimate, reference, sample_rate, resample=resample) for m in measures}


def score(
    estimate: np.ndarray,
    reference: np.ndarray,
    sample_rate: int,
    names: Iterable[str] | None = None,
    *,
    resample: bool = False,
) -> dict[str, float]:
    """Score one signal: the values of :func:`explain`, NaN where there is none.

    >>> import numpy as np
    >>> score(np.array([1.1, -1.1]), np.array([1.0, -1.0]), 16000, ["snr", "lsd"])["snr"].__round__(2)
    20.0
    """
    scores = explain(estimate, reference, sample_rate, names, resample=resample)
    return {name: score.value for name, score in scores.items()}
