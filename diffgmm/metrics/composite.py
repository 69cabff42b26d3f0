"""CSIG, CBAK and COVL: composite measures of signal distortion, background and overall quality."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from diffgmm.metrics.base import METRICS, metric, remembering
from diffgmm.metrics.llr import frame_distances, kept_mean
from diffgmm.metrics.pesq import mos_lqo


class Parts(NamedTuple):
    """What the composite measures are made of."""

    pesq: float
    llr: float
    wss: float
    segmental_snr: float


@metric(unit="MOS", rates=(16000, 8000), seconds=0.25)
def csig(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Composite measure of signal distortion (Hu and Loizou, IEEE TASLP 2008).

    ``3.093 - 1.029 LLR + 0.603 PESQ - 0.009 WSS``, kept within 1 to 5, a prediction of the rating SIG of ITU-T P.835.
    Written anew from the paper with the constants of its authors' MATLAB program ``composite.m``, which published
    figures for VoiceBank+DEMAND were made with: wide-band PESQ (MOS-LQO) at 16 kHz, raw PESQ at 8 kHz, LLR without a
    ceiling, LLR and WSS over the best 95 % of frames.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: 8000 or 16000 Hz.

    Returns:
        1 (very distorted) to 5 (not distorted); NaN where PESQ is.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    return combine(_parts(estimate, reference, sample_rate))[0]


@metric(unit="MOS", rates=(16000, 8000), seconds=0.25)
def cbak(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Composite measure of background intrusiveness (Hu and Loizou, IEEE TASLP 2008).

    ``1.634 + 0.478 PESQ - 0.007 WSS + 0.063 segmental SNR``, kept within 1 to 5; see :func:`csig` for the source.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: 8000 or 16000 Hz.

    Returns:
        1 (very intrusive) to 5 (not noticeable); NaN where PESQ is.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    return combine(_parts(estimate, reference, sample_rate))[1]


@metric(unit="MOS", rates=(16000, 8000), seconds=0.25)
def covl(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Composite measure of overall quality (Hu and Loizou, IEEE TASLP 2008).

    ``1.594 + 0.805 PESQ - 0.512 LLR - 0.007 WSS``, kept within 1 to 5; see :func:`csig` for the source.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: 8000 or 16000 Hz.

    Returns:
        1 (bad) to 5 (excellent); NaN where PESQ is.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    return combine(_parts(estimate, reference, sample_rate))[2]


def combine(parts: Parts) -> tuple[float, ...]:
    """CSIG, CBAK and COVL of their parts.

    >>> [round(value, 3) for value in combine(Parts(pesq=2.0, llr=0.5, wss=50.0, segmental_snr=5.0))]
    [3.335, 2.555, 2.598]
    """
    pesq, llr, wss, segmental = parts
    values = (
        3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss,
        1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * segmental,
        1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss,
    )
    return tuple(min(5.0, max(1.0, value)) for value in values)


@remembering
def _parts(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> Parts:
    signals = estimate, reference, sample_rate
    pesq = mos_lqo(*signals, "wb") if sample_rate >= 16000 else raw_pesq(mos_lqo(*signals, "nb"))
    wss, segmental = (METRICS[name].function(*signals) for name in ("wss", "segmental_snr"))
    return Parts(pesq, kept_mean(frame_distances(*signals)), wss, segmental)


def raw_pesq(mapped: float) -> float:
    """Raw score of P.862, -0.5 to 4.5, of a narrow-band MOS-LQO: the inverse of P.862.1's mapping.

    >>> round(raw_pesq(0.999 + 4.0 / (1 + math.exp(-1.4945 * 3.0 + 4.6607))), 6)
    3.0
    """
    return (4.6607 - math.log(4.0 / (mapped - 0.999) - 1)) / 1.4945
