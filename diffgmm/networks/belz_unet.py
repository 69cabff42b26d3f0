"""The U-Net of V. Belz's "Speech-enhancement" (2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from diffgmm.networks import blocks as layers
from diffgmm.networks.base import Network
from diffgmm.networks.blocks import ConvBlock, Level, NormKind, Style


class BelzUNet(Network):
    """U-Net with max-pooling, repetition on the way up, joined skips and dropout; it does not see the process time.

    Convolutions start as in He et al., "Delving deep into rectifiers" (2015), eq. 10: normal of variance 2 / fan-in,
    biases zero. Any length goes in: axes are zero-padded to a multiple of their total stride and cut back.

    Args:
        channels: channels of each level, top to bottom.
        strides: per level the stride of its pooling, one number per axis (frequency, time for two axes).
        features: channels of the output at full resolution.
        blocks: convolutions per level beside the one after its pooling, on the way down and again on the way up.
        kernel: taps per axis, odd.
        up_kernel: taps of the convolutions that follow a repetition; ``None``: as ``kernel``. Belz has 2 x 2.
        norm_kind: ``batch``, ``group`` or ``none``.
        slope: of LeakyReLU.
        dropout: share of values that training drops at the end of the two lowest levels. It is drawn from the global
            generator.

    Raises:
        ValueError: if the description contradicts itself.

    Example:
        >>> import torch
        >>> net = BelzUNet([8, 16], [[1, 1], [2, 2]], features=4)
        >>> net.attach(1)
        >>> net(torch.zeros(1, 1, 128, 33), torch.ones(1)).shape
        torch.Size([1, 4, 128, 33])
    """

    def __init__(
        self,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        strides: Sequence[Sequence[int]] = ((1, 1), (2, 2), (2, 2), (2, 2), (2, 2)),
        features: int = 16,
        blocks: int = 1,
        kernel: Sequence[int] = (3, 3),
        norm_kind: NormKind = "none",
        slope: float = 0.3,
        dropout: float = 0.5,
        up_kernel: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.dims = dims = layers.check_levels(channels, strides, kernel)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout {dropout} out of range")
        up_kernel = list(kernel) if up_kernel is None else list(up_kernel)
        if len(up_kernel) != dims or min(up_kernel) < 1:
            raise ValueError(f"up_kernel needs {dims} numbers of at least 1, got {up_kernel}")
        self.features = features
        self.totals = [math.prod(s[axis] for s in strides) for axis in range(dims)]

        style = Style(dims, norm_kind, slope, residual=False)

        def stack(width: int) -> list[ConvBlock]:
            return [ConvBlock(style, width, kernel, [1] * dims) for _ in range(blocks)]

        self._first = (channels[0], strides[0], kernel)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, (width, stride) in enumerate(zip(channels, strides, strict=True)):
            # The first convolution is made by build(), which knows how many channels come in.
            resample = layers.pool(dims, channels[i - 1], width, stride, kernel) if i else nn.Identity()
            drop = dropout if i >= len(channels) - 2 else 0.0
            self.down.append(Level(style, resample, width, stack(width), dropout=drop))
        for i in range(len(channels) - 1, 0, -1):
            width = channels[i - 1]
            merge = layers.conv(dims, 2 * width, width, kernel, [1] * dims)
            resample = layers.unpool(dims, channels[i], width, strides[i], up_kernel)
            self.up.append(Level(style, resample, width, stack(width), merge))
        resample = layers.unpool(dims, channels[0], features, strides[0], kernel)
        self.up.append(Level(style, resample, features, []))

    def build(self, inputs: int) -> None:
        """Make the first convolution, which depends on the number of input channels, and initialise all."""
        first = self.down[0]
        assert isinstance(first, Level)
        width, stride, kernel = self._first
        first.resample = layers.pool(self.dims, inputs, width, stride, kernel)
        self.apply(_he)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """``[B, C, *S]`` to features ``[B, features, *S]``; the process time is left unread."""
        shape = x.shape[2:]
        x = layers.padded(x, self.totals)
        skips = []
        for level in self.down:
            x = level(x, None)
            skips.append(x)
        skips.pop()
        for level in self.up:
            x = level(x, None, skips.pop() if skips else None)
        return layers.cut(x, shape)


def _he(module: nn.Module) -> None:
    if isinstance(module, nn.modules.conv._ConvNd):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
