"""U-Net for waveforms (1 axis) and spectrograms (2 axes: frequency, time)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from diffgmm.networks import blocks as layers
from diffgmm.networks.base import Network
from diffgmm.networks.blocks import ConvBlock, Level, NormKind, Style
from diffgmm.networks.bottleneck import BottleneckKind, DualPaths, make_bottleneck


class FineBand(nn.Module):
    """Refines a U-Net's features in the lowest bins with the input as it came in, undivided.

    A voice's harmonics lie 3 to 8 bins apart at 31 Hz a bin, and most of its energy is below 1 kHz: features that
    come out of a frequency axis divided by four cannot follow them (Rong et al., "GTCRN", 2024, keeps the bins below
    2 kHz apart for the same reason). It starts without effect.

    Args:
        style: of the U-Net's blocks.
        bins: how many of the lowest.
        features: channels of the U-Net's features.
        channels: its own width.
        blocks: residual convolution blocks.
        kernel: taps per axis of those blocks, odd.
        inputs: channels of the network's input, position included.
    """

    def __init__(
        self,
        style: Style,
        bins: int,
        features: int,
        channels: int,
        blocks: int,
        kernel: Sequence[int],
        inputs: int,
    ) -> None:
        super().__init__()
        self.bins = bins
        self.enter = layers.conv(2, inputs + features, channels, (3, 3), (1, 1))
        self.act = nn.LeakyReLU(style.slope)
        self.blocks = nn.ModuleList(ConvBlock(style, channels, kernel, (1, 1)) for _ in range(blocks))
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


class UNet(Network):
    """U-Net with skip connections, time conditioning and an optional recurrent bottleneck.

    Args:
        channels: channels of each level, top to bottom.
        strides: per level the stride of its downsampling, one number per axis (frequency, time for two axes).
        features: channels of the output at full resolution.
        blocks: residual convolution blocks per level, on the way down and again on the way up.
        kernel: taps per axis of those blocks, odd.
        dilations: dilation in time of further blocks at the bottom, one block each.
        bottleneck: ``none``, ``gru`` or ``bigru``, over time, after the dilated blocks.
        hidden: width of that bottleneck.
        bins: frequency bins of the input; needed by a bottleneck on spectrograms, which flattens frequency.
        embedding: width of the time embedding; 0 leaves process time out.
        position: give the network the frequency of each bin as an input channel (two axes only).
        norm_kind: ``batch``, ``group`` or ``none``.
        slope: of LeakyReLU.
        input_layers: linear layers per position before the first level, each with LeakyReLU, as wide as that level.
        dropout: share of values that training drops at the end of the two lowest levels. It is drawn from the global
            generator.
        fine: how many of the lowest bins are refined at full resolution with the undivided input (two axes only;
            :class:`FineBand`); 0 for none.
        fine_channels, fine_blocks, fine_kernel: width, number of blocks and taps per axis of that refinement.
        dual: blocks of recurrence along frequency and time (two axes only;
            :class:`diffgmm.networks.bottleneck.DualPath`); 0 for none.
        dual_level, dual_hidden: after which level on the way down, and units per direction.

    The number of input channels is set by :meth:`attach`. Any length goes in: axes are zero-padded to a multiple
    of their total stride and cut back.

    Raises:
        ValueError: if the description contradicts itself.

    Example:
        >>> net = UNet([8, 16], [[4, 1], [2, 1]], features=8, bottleneck="none")
        >>> net.attach(4)
        >>> net(torch.zeros(1, 4, 256, 33), torch.ones(1)).shape
        torch.Size([1, 8, 256, 33])
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 48, 64, 96),
        strides: Sequence[Sequence[int]] = ((4, 1), (2, 1), (2, 1), (2, 1)),
        features: int = 24,
        blocks: int = 1,
        kernel: Sequence[int] = (3, 3),
        dilations: Sequence[int] = (),
        bottleneck: BottleneckKind = "none",
        hidden: int = 256,
        bins: int | None = None,
        embedding: int = 64,
        position: bool = True,
        norm_kind: NormKind = "batch",
        slope: float = 0.1,
        input_layers: int = 0,
        dropout: float = 0.0,
        fine: int = 0,
        fine_channels: int = 24,
        fine_blocks: int = 2,
        fine_kernel: Sequence[int] = (5, 3),
        dual: int = 0,
        dual_level: int = 2,
        dual_hidden: int = 32,
    ) -> None:
        super().__init__()
        self.dims = dims = layers.check_levels(channels, strides, kernel)
        if input_layers < 0 or not 0.0 <= dropout < 1.0:
            raise ValueError(f"input_layers {input_layers} or dropout {dropout} out of range")
        if fine < 0 or (fine and self.dims != 2):
            raise ValueError(f"fine is a number of frequency bins of a spectrogram, got {fine}")
        if fine and (len(fine_kernel) != 2 or any(taps % 2 == 0 for taps in fine_kernel)):
            raise ValueError(f"fine_kernel is two odd numbers of taps, got {list(fine_kernel)}")
        if dual < 0 or (dual and (self.dims != 2 or not 0 <= dual_level < len(channels))):
            raise ValueError(f"dual is a number of blocks after a level, got {dual} after {dual_level}")
        self.features = features
        self.strides = [tuple(s) for s in strides]
        self.totals = [math.prod(s[axis] for s in strides) for axis in range(self.dims)]
        self.position = position and self.dims == 2
        self.embed = layers.TimeEmbedding(embedding) if embedding else None
        style = Style(dims, norm_kind, slope, embedding)

        def block(width: int, dilation: int = 1) -> ConvBlock:
            return ConvBlock(style, width, kernel, [1] * (dims - 1) + [dilation])

        self._slope, self._input_layers = slope, input_layers
        self.inputs: nn.Module = nn.Identity()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self._first = channels[0]
        for level, (width, stride) in enumerate(zip(channels, strides, strict=True)):
            stack = [block(width) for _ in range(blocks)]
            # The first convolution is made by build(), which knows how many channels come in.
            resample = layers.downsample(dims, channels[level - 1], width, stride) if level else nn.Identity()
            drop = dropout if level >= len(channels) - 2 else 0.0
            self.down.append(Level(style, resample, width, stack, dropout=drop))
        self.dual_level = dual_level
        self.dual = DualPaths(channels[dual_level], dual_hidden, dual) if dual else nn.Identity()
        self.dilated = nn.ModuleList(block(channels[-1], d) for d in dilations)
        flat = channels[-1]
        if self.dims == 2 and bottleneck != "none":
            if bins is None:
                raise ValueError("a bottleneck on spectrograms needs bins, the number of frequency bins")
            flat *= math.ceil(bins / self.totals[0])
        self.bottleneck = make_bottleneck(bottleneck, flat, hidden)
        for level in range(len(channels) - 1, 0, -1):
            width = channels[level - 1]
            resample = layers.upsample(dims, channels[level], width, strides[level])
            self.up.append(Level(style, resample, width, [block(width) for _ in range(blocks)]))
        self.up.append(Level(style, layers.upsample(dims, channels[0], features, strides[0]), features, []))
        self.fine: FineBand | None = None
        self._make_fine = (
            partial(FineBand, style, fine, features, fine_channels, fine_blocks, fine_kernel)
            if fine
            else None
        )

    def build(self, inputs: int) -> None:
        """Make the first layers, which depend on the number of input channels."""
        first = self.down[0]
        assert isinstance(first, Level)
        width, entry = inputs + self.position, []
        if self._make_fine is not None:
            self.fine = self._make_fine(inputs=width)
        for _ in range(self._input_layers):
            layer = layers.conv(self.dims, width, self._first, [1] * self.dims, [1] * self.dims)
            entry += [layer, nn.LeakyReLU(self._slope)]
            width = self._first
        if entry:
            self.inputs = nn.Sequential(*entry)
        first.resample = layers.downsample(self.dims, width, self._first, self.strides[0])

    def entries(self) -> list[nn.Module]:
        """The convolutions that see the input as it comes, with the position as its last channel."""
        level = self.down[0]
        assert isinstance(level, Level)
        first = self.inputs[0] if isinstance(self.inputs, nn.Sequential) else level.resample
        return [first] if self.fine is None else [first, self.fine.enter]

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """``[B, C, *S]`` and process time ``[B]`` to features ``[B, features, *S]``."""
        shape = x.shape[2:]
        if self.position:
            ramp = torch.linspace(-1.0, 1.0, shape[0], dtype=x.dtype, device=x.device)
            x = torch.cat([x, ramp[None, None, :, None].expand(x.shape[0], 1, *shape)], dim=1)
        x = layers.padded(x, self.totals)
        embedded = self.embed(time) if self.embed is not None else None
        spectrum = x
        x = self.inputs(x)
        skips = []
        for number, level in enumerate(self.down):
            x = level(x, embedded)
            if number == self.dual_level:
                x = self.dual(x)
            skips.append(x)
        for layer in self.dilated:
            x = layer(x, embedded)
        x = self.bottleneck(x)
        skips.pop()
        for level in self.up:
            x = level(x, embedded, skips.pop() if skips else None)
        if self.fine is not None:
            x = self.fine(spectrum, x, embedded)
        return layers.cut(x, shape)
