"""How an estimate of the noise is taken off a noisy spectrogram in dB."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RULES = ("subtract", "wiener", "learned")


class Wiener(nn.Module):
    r"""Wiener gain: ``s = y - 2 max(n, 0)`` in dB.

    With powers that add, :math:`|Y|^2 = |S|^2 + |N|^2`, the noise in dB is :math:`n = 10 \log_{10} |Y|^2 / |S|^2`, and
    the Wiener gain :math:`|S|^2 / (|S|^2 + |N|^2) = 10^{-n/10}`: the square of the gain :math:`10^{-n/20}` of a direct
    subtraction, which is that of power spectral subtraction. It is at most 1, so an estimate below zero (noise that
    cancels speech) changes nothing.

    Example:
        >>> Wiener()(torch.tensor([0.0, 0.0]), torch.tensor([6.0, -3.0])).tolist()
        [-12.0, 0.0]
    """

    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        """``noisy`` and ``noise`` ``[B, 1, F, N]`` in dB to clean speech in dB."""
        return noisy - 2.0 * noise.clamp_min(0.0)


class Learned(nn.Module):
    """Subtraction with a factor and an offset per frequency that training finds: ``s = y - (a_f n + b_f)``.

    It starts as the direct subtraction. Losses on the estimated noise don't reach it: training needs one on the
    decoded window (``spectrum``, ``si_sdr``, ``multi_resolution_stft``).

    Args:
        bins: frequencies, F.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(bins, 1))
        self.offset = nn.Parameter(torch.zeros(bins, 1))

    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        """``noisy`` and ``noise`` ``[B, 1, F, N]`` in dB to clean speech in dB."""
        return noisy - (self.factor * noise + self.offset)


def make_rule(name: str, bins: int) -> nn.Module | None:
    """A rule by name; None for ``subtract``, which needs no parts: ``s = y - n``, as the process itself has it.

    Raises:
        ValueError: for another name.
    """
    if name not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {name!r}")
    return {"subtract": None, "wiener": Wiener(), "learned": Learned(bins)}[name]
