"""The lowest bins of a spectrogram at full resolution, beside a U-Net that halves and halves it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffgmm.networks.blocks import ConvBlock, NormKind, conv


class FineBand(nn.Module):
    """Refines a U-Net's features in the lowest bins with the input as it came in, undivided.

    A voice's harmonics lie 3 to 8 bins apart at 31 Hz a bin, and most of its energy is below 1 kHz: features that
    come out of a frequency axis divided by four cannot follow them (Rong et al., "GTCRN", 2024, keeps the bins below
    2 kHz apart for the same reason). It starts without effect.

    Args:
        bins: how many of the lowest.
        inputs: channels of the network's input, position included.
        features: channels of the U-Net's features.
        channels: its own width.
        blocks: residual convolution blocks.
        norm_kind, embedding, slope: as of the U-Net.
    """

    def __init__(
        self,
        bins: int,
        inputs: int,
        features: int,
        channels: int,
        blocks: int,
        norm_kind: NormKind,
        embedding: int,
        slope: float,
    ) -> None:
        super().__init__()
        self.bins = bins
        self.enter = conv(2, inputs + features, channels, (3, 3), (1, 1))
        self.act = nn.LeakyReLU(slope)
        self.blocks = nn.ModuleList(
            ConvBlock(2, channels, (5, 3), (1, 1), norm_kind, embedding, slope) for _ in range(blocks)
        )
        self.out = nn.Conv2d(channels, features, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, features: Tensor, embedded: Tensor | None) -> Tensor:
        """Input ``[B, inputs, F, N]`` and features ``[B, features, F, N]`` to features of the same shape."""
        low = features[:, :, : self.bins]
        h = self.act(self.enter(torch.cat([x[:, :, : self.bins], low], dim=1)))
        for block in self.blocks:
            h = block(h, embedded)
        return torch.cat([low + self.out(h), features[:, :, self.bins :]], dim=2)
