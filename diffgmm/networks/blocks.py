"""Building blocks for one axis (waveforms) and two (spectrograms) from the same description."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

NormKind = Literal["batch", "group", "none"]


def _layer(name: str, dims: int, *args: Any, **kwargs: Any) -> nn.Module:
    """``Conv1d``, ``Conv2d``... for one axis or two."""
    return getattr(nn, f"{name}{dims}d")(*args, **kwargs)


def conv(dims: int, inputs: int, outputs: int, kernel: Sequence[int], dilation: Sequence[int]) -> nn.Module:
    """Convolution that keeps the size; an even kernel reaches one further to the right than to the left."""
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    even = all(span % 2 == 0 for span in spans)
    padding = tuple(span // 2 if even else 0 for span in spans)
    layer = _layer("Conv", dims, inputs, outputs, tuple(kernel), padding=padding, dilation=tuple(dilation))
    sides = [side for span in reversed(spans) for side in (span // 2, span - span // 2)]
    return layer if even else nn.Sequential(_layer("ZeroPad", dims, sides), layer)


def check_levels(channels: Sequence[int], strides: Sequence[Sequence[int]], kernel: Sequence[int]) -> int:
    """Number of axes of a U-Net with these levels.

    Raises:
        ValueError: they contradict each other, or a kernel is even.
    """
    dims = len(kernel)
    if dims not in (1, 2) or any(len(s) != dims for s in strides):
        raise ValueError(f"kernel and every stride need one number per axis, got {kernel}, {strides}")
    if len(channels) != len(strides) or not channels:
        raise ValueError(f"one stride per level: got {len(channels)} channels and {len(strides)} strides")
    if min(*channels, *(step for stride in strides for step in stride)) < 1:
        raise ValueError(f"channels and strides must be at least 1, got {list(channels)} and {strides}")
    if any(k % 2 == 0 for k in kernel):
        raise ValueError(f"kernel sizes must be odd, got {tuple(kernel)}")
    return dims


def padded(x: Tensor, totals: Sequence[int]) -> Tensor:
    """``[B, C, *S]`` with zeros up to a multiple of ``totals``; of two axes in the format that is fastest."""
    padding = [-size % total for size, total in zip(x.shape[2:], totals, strict=True)]
    if any(padding):
        x = nn.functional.pad(x, [v for p in reversed(padding) for v in (0, p)])
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def cut(x: Tensor, shape: Sequence[int]) -> Tensor:
    """``[B, C, *S]`` without what lies beyond ``shape``."""
    for axis, size in enumerate(shape, start=2):
        if x.shape[axis] != size:  # an exported graph would copy it all
            x = x.narrow(axis, 0, size)
    return x


def _overlap(stride: int) -> int:
    """Kernel size for a stride: about twice it, with an even remainder so that sizes divide exactly."""
    return stride + 2 * math.ceil(stride / 2)


def downsample(dims: int, inputs: int, outputs: int, stride: Sequence[int]) -> nn.Module:
    """Strided convolution that divides each axis by its stride exactly; an axis with stride 1 gets 3 taps."""
    kernel = [_overlap(s) for s in stride]
    padding = tuple((k - s) // 2 for k, s in zip(kernel, stride, strict=True))
    return _layer("Conv", dims, inputs, outputs, tuple(kernel), tuple(stride), padding)


def upsample(dims: int, inputs: int, outputs: int, stride: Sequence[int]) -> nn.Module:
    """Transposed convolution that multiplies each axis by its stride exactly."""
    kernel = [_overlap(s) if s > 1 else 1 for s in stride]
    padding = tuple((k - s) // 2 for k, s in zip(kernel, stride, strict=True))
    return _layer("ConvTranspose", dims, inputs, outputs, tuple(kernel), tuple(stride), padding)


def pool(dims: int, inputs: int, outputs: int, stride: Sequence[int], kernel: Sequence[int]) -> nn.Module:
    """Max-pooling by ``stride``, then a convolution: what comes before strided convolutions in older U-Nets."""
    layer = conv(dims, inputs, outputs, kernel, [1] * dims)
    return nn.Sequential(_layer("MaxPool", dims, tuple(stride)), layer) if max(stride) > 1 else layer


def unpool(dims: int, inputs: int, outputs: int, stride: Sequence[int], kernel: Sequence[int]) -> nn.Module:
    """Repetition by ``stride``, then a convolution; the way back from :func:`pool`."""
    layer = conv(dims, inputs, outputs, kernel, [1] * dims)
    return nn.Sequential(nn.Upsample(scale_factor=tuple(stride)), layer) if max(stride) > 1 else layer


class Style(NamedTuple):
    """What the blocks of a network have in common."""

    dims: int
    norm_kind: NormKind
    slope: float
    embedding: int = 0
    residual: bool = True

    def norm(self, channels: int) -> nn.Module:
        """``batch`` (folds into the convolution at inference), ``group`` (independent of the batch) or ``none``.

        Raises:
            ValueError: for another name.
        """
        if self.norm_kind == "batch":
            return _layer("BatchNorm", self.dims, channels)
        if self.norm_kind == "group":
            return nn.GroupNorm(math.gcd(8, channels), channels)
        if self.norm_kind == "none":
            return nn.Identity()
        raise ValueError(f"norm must be one of {', '.join(get_args(NormKind))}, got {self.norm_kind!r}")


class TimeEmbedding(nn.Module):
    """Process time ``[B]`` in [0, 1] to ``[B, size]``: sines of growing frequency, then two linear layers."""

    rates: Tensor

    def __init__(self, size: int, frequencies: int = 16) -> None:
        super().__init__()
        rates = math.pi * torch.logspace(-1, 2, frequencies, base=4.0)
        self.register_buffer("rates", rates, persistent=False)
        first, second = nn.Linear(2 * frequencies, size), nn.Linear(size, size)
        self.layers = nn.Sequential(first, nn.SiLU(), second, nn.SiLU())

    def forward(self, time: Tensor) -> Tensor:
        """``[B]`` to ``[B, size]``."""
        angles = time[:, None] * self.rates[None]
        return self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))


class ConvBlock(nn.Module):
    """Block: convolution, norm, scale and shift by the time embedding, activation; ``[B, C, *S]``.

    What comes in is added to the result, unless ``residual`` is off.
    """

    def __init__(self, style: Style, channels: int, kernel: Sequence[int], dilation: Sequence[int]) -> None:
        super().__init__()
        self.residual = style.residual
        self.conv = conv(style.dims, channels, channels, kernel, dilation)
        self.norm = style.norm(channels)
        self.modulation = nn.Linear(style.embedding, 2 * channels) if style.embedding else None
        if self.modulation is not None:  # starts as the identity
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)
        self.act = nn.LeakyReLU(style.slope)

    def forward(self, x: Tensor, embedded: Tensor | None) -> Tensor:
        """``[B, C, *S]`` and ``[B, embedding]`` (or None) to ``[B, C, *S]``."""
        h = self.norm(self.conv(x))
        if self.modulation is not None and embedded is not None:
            scale, shift = self.modulation(embedded).to(h.dtype).chunk(2, dim=1)
            per_axis = (..., *([None] * (h.dim() - 2)))
            h = torch.addcmul(shift[per_axis], h, 1.0 + scale[per_axis])
        out: Tensor = self.act(h)
        return x + out if self.residual else out


class Level(nn.Module):
    """A resampling layer, its norm and activation, an optional skip, then blocks at the new resolution.

    A skip is added, or joined as further channels and brought back to the level's width by ``merge``.
    """

    def __init__(
        self,
        style: Style,
        resample: nn.Module,
        width: int,
        blocks: list[ConvBlock],
        merge: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.resample, self.norm, self.act = resample, style.norm(width), nn.LeakyReLU(style.slope)
        self.blocks = nn.ModuleList(blocks)
        self.merge = merge
        self.dropout = nn.Dropout(dropout) if dropout else None

    def forward(self, x: Tensor, embedded: Tensor | None, skip: Tensor | None = None) -> Tensor:
        """``[B, C, *S]``, the time embedding and the skip ``[B, width, *S']`` to ``[B, width, *S']``."""
        x = self.act(self.norm(self.resample(x)))
        if skip is not None:
            x = x + skip if self.merge is None else self.act(self.merge(torch.cat([x, skip], dim=1)))
        for block in self.blocks:
            x = block(x, embedded)
        return x if self.dropout is None else self.dropout(x)
