"""A model of a few thousand parameters, in a state as after training."""

from __future__ import annotations

import torch

from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.process import Blend, Bridge
from diffgmm.diffusion.representation import Complex
from diffgmm.networks import UNet


def tiny(
    bottleneck: str = "gru",
    *,
    means: str = "mask",
    norm: str = "batch",
    process: Bridge | Blend | None = None,
    fine: int = 0,
    dual: int = 0,
    **more: float | str,
) -> MixtureDenoiser:
    """A model whose norms, time embedding and head do something, as after training."""
    torch.manual_seed(1)
    transform: dict = {"n_fft": 62, "hop": 31, "window": "sqrt_hann"} | more
    network = UNet(
        [6, 8], [[4, 1], [2, 1]], 5, bottleneck=bottleneck, hidden=16, bins=transform["n_fft"] // 2 + 1,
        norm_kind=norm, embedding=8, fine=fine, fine_channels=4,
        dual=dual, dual_level=0, dual_hidden=4,
    )  # fmt: skip
    model = MixtureDenoiser(Complex(**transform), network, MixtureHead(3, means), process or Bridge(0.5))
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if (
            "norm" in name
            or "modulation" in name
            or "linear" in name
            or "fine.out" in name
            or ".out." in name
        ):
            with torch.no_grad():
                value.copy_(torch.rand_like(value.float()) * 0.5 + 0.2)
    return model.eval()
