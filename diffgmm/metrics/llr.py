"""LLR: log-likelihood ratio of linear predictors."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import hann_frames, metric

_KEPT = 0.95  # of the frames: the worst are mostly pauses, whose predictors mean nothing
_CEILING = 2.0


@metric(higher_is_better=False, seconds=0.06)
def llr(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Log-likelihood ratio, a distance of spectral envelopes: lower is better.

    Itakura's distance (IEEE TASSP 1975) as in Hu and Loizou (IEEE TASLP 2008, equation 2): per Hann-windowed frame of
    30 ms (a quarter apart) ``ln (a_p R a_p' / a_c R a_c')`` with the linear predictors ``a_p`` of the estimate and
    ``a_c`` of the reference (order 16, below 10 kHz 10) and the reference's autocorrelation matrix ``R``, at most 2;
    then the mean over the 95 % of frames where it is smallest.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: Hz.

    Returns:
        0 (equal envelopes) to 2; NaN when either signal is silent, holds NaN or is shorter than two frames.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> abs(llr(2 * noise, noise, 16000)) < 1e-6
    True
    """
    return kept_mean(np.minimum(frame_distances(estimate, reference, sample_rate), _CEILING))


def kept_mean(distances: np.ndarray) -> float:
    """Mean of the smallest 95 % of the frames' distances ``[frames]``."""
    return float(np.sort(distances)[: max(1, round(distances.size * _KEPT))].mean())


def frame_distances(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> np.ndarray:
    """The log ratio of every frame, without a ceiling, ``[frames]``."""
    order = 10 if sample_rate < 10000 else 16
    length = round(0.03 * sample_rate)
    # Digital silence has no predictor; this is far below any recording.
    tiny = np.finfo(np.float64).eps
    lags_p, lags_c = (_lags(hann_frames(x + tiny, length), order) for x in (estimate, reference))
    predictor_p, predictor_c = _predictors(lags_p), _predictors(lags_c)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _power(predictor_p, lags_c) / _power(predictor_c, lags_c)
    # At least 1 in exact arithmetic. What rounding makes of a frame that nearly predicts itself may be anything: such
    # a frame counts as among the worst.
    return np.log(np.where(ratio > 0, ratio, 1000.0))


def _lags(frames: np.ndarray, order: int) -> np.ndarray:
    """Autocorrelation ``[frames, order + 1]``."""
    size = frames.shape[1]
    return np.stack([(frames[:, : size - k] * frames[:, k:]).sum(axis=1) for k in range(order + 1)], axis=1)


def _predictors(lags: np.ndarray) -> np.ndarray:
    """Prediction error filters ``[frames, order + 1]``, first coefficient 1, by Levinson's recursion."""
    filters = np.zeros_like(lags)
    filters[:, 0] = 1.0
    error = lags[:, 0].copy()
    for k in range(1, lags.shape[1]):
        reflection = -(filters[:, :k] * lags[:, k:0:-1]).sum(axis=1) / error
        filters[:, 1 : k + 1] += reflection[:, None] * filters[:, k - 1 :: -1][:, :k]
        error = error * (1 - reflection**2)
    return filters


def _power(filters: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Power ``[frames]`` that a filter leaves of a signal with these lags: ``a R a'`` with a Toeplitz matrix R."""
    inner = _lags(filters, filters.shape[1] - 1)
    return inner[:, 0] * lags[:, 0] + 2 * (inner[:, 1:] * lags[:, 1:]).sum(axis=1)
