"""DNSMOS: listeners' scores as predicted by a network from the processed speech alone."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from diffgmm.metrics.base import NoScore, installed, metric, remembering

_NEEDED = ("speechmos", "onnxruntime", "librosa", "requests")  # speechmos imports the rest unasked


@metric(unit="MOS", rates=(16000,), seconds=0.25, needs_reference=False)
def dnsmos_sig(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Speech quality SIG of DNSMOS P.835 (Reddy, Gopal and Cutler, ICASSP 2022), by the package ``speechmos``.

    The network hears windows of 9.01 s, one a second; shorter speech is doubled until it is long enough. It judges the
    estimate alone and its level counts; beyond full scale it is clipped, as a player would.

    It is the slowest metric here, half a second on one core for each window: a recording of four seconds is doubled
    twice and has seven of them. All four scores come from one run.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: not listened to, of the same length.
        sample_rate: 16000 Hz.

    Returns:
        About 1 to 5; NaN for silence, NaN, under 0.25 s, or when ``diffgmm[dnsmos]`` is not installed.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    return _scores(estimate, estimate[:0], sample_rate)["sig_mos"]


@metric(unit="MOS", rates=(16000,), seconds=0.25, needs_reference=False)
def dnsmos_bak(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Background quality BAK of DNSMOS P.835; see :func:`dnsmos_sig`.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: not listened to, of the same length.
        sample_rate: 16000 Hz.

    Returns:
        About 1 to 5, NaN as for :func:`dnsmos_sig`.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    return _scores(estimate, estimate[:0], sample_rate)["bak_mos"]


@metric(unit="MOS", rates=(16000,), seconds=0.25, needs_reference=False)
def dnsmos_ovrl(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Overall quality OVRL of DNSMOS P.835; see :func:`dnsmos_sig`.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: not listened to, of the same length.
        sample_rate: 16000 Hz.

    Returns:
        About 1 to 5, NaN as for :func:`dnsmos_sig`.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    return _scores(estimate, estimate[:0], sample_rate)["ovrl_mos"]


@metric(unit="MOS", rates=(16000,), seconds=0.25, needs_reference=False)
def dnsmos_p808(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Overall quality of DNSMOS P.808 (Reddy, Gopal and Cutler, ICASSP 2021); see :func:`dnsmos_sig`.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: not listened to, of the same length.
        sample_rate: 16000 Hz.

    Returns:
        About 1 to 5, NaN as for :func:`dnsmos_sig`.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    return _scores(estimate, estimate[:0], sample_rate)["p808_mos"]


@remembering
def _scores(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> dict[str, float]:
    scores = _network()(np.clip(estimate, -1, 1).astype(np.float32), sample_rate, False)
    return {name: float(value) for name, value in scores.items()}


@functools.lru_cache(maxsize=1)
def _network() -> Any:
    if not installed(*_NEEDED):
        raise NoScore("DNSMOS is not installed: pip install diffgmm[dnsmos]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies about one another
        import onnxruntime
        from speechmos import dnsmos

    folder = Path(dnsmos.__file__).parent
    # One thread: scoring is spread over processes, and a result must not depend on how many threads added it up.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3

    def session(name: str) -> Any:
        path = folder / "dnsmos_models" / f"{name}.onnx"
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    network = dnsmos.DNSMOS.__new__(dnsmos.DNSMOS)  # the package's evaluation with sessions of our own
    network.onnx_sess, network.p808_onnx_sess = session("sig_bak_ovr"), session("model_v8")
    return network
