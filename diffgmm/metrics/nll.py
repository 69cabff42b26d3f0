"""NLL: how improbable a mixture finds the truth."""

from __future__ import annotations

from torch import Tensor

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.metrics.torch_modules import BinMean


def nll(mixture: GaussianMixture, value: Tensor) -> Tensor:
    """Negative log-likelihood of the true value: lower is better.

    Args:
        mixture: one per position ``*S``.
        value: the truth, ``[B, C, *S]``.

    Returns:
        ``[B, *S]``, nats per bin and real dimension: ``-log q(v) / C``. It depends on the unit of the values (a
        representation scaled by 2 adds log 2), so compare models of one representation only.

    >>> import torch
    >>> one = GaussianMixture(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1))
    >>> round(float(nll(one, torch.zeros(1, 1, 1))), 4)  # log(2 pi) / 2
    0.9189
    """
    return mixture.nll(value)


class Nll(BinMean):
    """Mean of :func:`nll` over bins, nats."""

    def values(self, mixture: GaussianMixture, target: Tensor) -> Tensor:
        return nll(mixture, target)
