"""Distill-MOS: listeners' scores as predicted by a network that no loss here uses, from the processed speech alone."""

from __future__ import annotations

import contextlib
import functools
import io
from typing import Any

import numpy as np

from diffgmm.metrics.base import NoScore, installed, metric
from diffgmm.utils.cores import one_thread


@metric(unit="MOS", rates=(16000,), seconds=0.25, needs_reference=False)
def distillmos(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Overall quality by Distill-MOS (Stahl and Gamper, arXiv 2502.05356), by the package ``distillmos``.

    The network hears stretches of 7.68 s, at most a second apart, and their mean counts; shorter speech is padded
    with silence. Every stretch is brought to a peak of one first, so the level does not count. Unlike PESQ and
    DNSMOS it is in no training loss of this package. Weights come with the package: nothing is fetched.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: not listened to, of the same length.
        sample_rate: 16000 Hz.

    Returns:
        1 to 5; NaN for silence, NaN, under 0.25 s, or when ``diffgmm[distillmos]`` is not installed.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    network = _network()
    import torch

    with one_thread(), torch.inference_mode():  # once more: PyTorch may have been loaded just now
        return float(network(torch.from_numpy(estimate.astype(np.float32))[None]))


@functools.lru_cache(maxsize=1)
def _network() -> Any:
    if not installed("distillmos", "torch", "torchaudio"):
        raise NoScore("Distill-MOS is not installed: pip install diffgmm[distillmos]")
    import distillmos as package

    with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights are
        return package.ConvTransformerSQAModel().eval()
