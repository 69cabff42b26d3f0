"""What joins distant frames and bands: bottlenecks over time, and recurrence along frequency and time."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from diffgmm.networks.base import at_least_float32

BottleneckKind = Literal["none", "gru", "bigru"]


class Recurrence(nn.Module):
    """Gated recurrent unit along time (causal unless ``bidirectional``): context without a fixed reach.

    It takes channels and frequency of ``[B, C, (F,) N]`` together, and adds its result to its input.
    """

    def __init__(self, features: int, hidden: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.into = nn.Linear(features, hidden)
        self.out = nn.Linear(hidden, features)
        nn.init.zeros_(self.out.bias)
        width = hidden // 2 if bidirectional else hidden
        self.gru = nn.GRU(hidden, width, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, *S]`` to ``[B, C, *S]``."""
        last = x.dim() - 1  # ONNX supports no negative axes here
        sequence = x.movedim(last, 1)
        narrow = self.into(sequence.flatten(2))
        # In float32 at least: rounding a recurrent state to bfloat16 at every step adds up.
        with torch.autocast(x.device.type, enabled=False):
            states = self.gru(at_least_float32(narrow))[0]
        return x + self.out(states).reshape(sequence.shape).movedim(1, last)


def make_bottleneck(kind: BottleneckKind, features: int, hidden: int) -> nn.Module:
    """``none``, ``gru`` or ``bigru``.

    Raises:
        ValueError: for another name.
    """
    if kind not in get_args(BottleneckKind):
        raise ValueError(f"bottleneck must be one of {', '.join(get_args(BottleneckKind))}, got {kind!r}")
    return nn.Identity() if kind == "none" else Recurrence(features, hidden, bidirectional=kind == "bigru")


class _Along(nn.Module):
    """A bidirectional recurrence along the first axis of ``[L, R, C]``, added to its input; starts without effect."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.gru = nn.GRU(channels, hidden, bidirectional=True)
        self.out = nn.Linear(2 * hidden, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[L, R, C]`` to ``[L, R, C]``."""
        # In float32 at least: rounding a recurrent state to bfloat16 at every step adds up.
        with torch.autocast(x.device.type, enabled=False):
            exact = at_least_float32(x)
            # A matrix, so that exported graphs add the bias within the product.
            states = self.gru(self.norm(exact))[0].flatten(0, 1)
            return exact + self.out(states).view_as(exact)


class DualPath(nn.Module):
    """One recurrence along frequency within each frame, then one along time within each band.

    What a flattened bottleneck learns about a voice it learns for the bands where that voice had it; weights that all
    bands share carry over to other pitches and formants, at few parameters (Le et al., "DPCRN", Interspeech 2021,
    section 2.2, with gated instead of long short-term units and norms over channels only, before each recurrence).

    Args:
        channels: of what comes in.
        hidden: units per direction.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.frequency = _Along(channels, hidden)
        self.time = _Along(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """``[F, B, N, C]`` to ``[F, B, N, C]``."""
        x = self.frequency(x.flatten(1, 2)).view_as(x).transpose(0, 2)
        return self.time(x.flatten(1, 2)).view(x.shape).transpose(0, 2)


class DualPaths(nn.Sequential):
    """Blocks of :class:`DualPath` one after another, ``[B, C, F, N]`` to ``[B, C, F, N]``."""

    def __init__(self, channels: int, hidden: int, blocks: int) -> None:
        super().__init__(*(DualPath(channels, hidden) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, F, N]`` to ``[B, C, F, N]``."""
        batch, channels, bands, frames = x.shape
        # Each way is two moves with a reshape between: exported graphs have fast copies for these, not for one of both.
        h = x.permute(0, 2, 3, 1).reshape(batch, bands, -1).transpose(0, 1)
        h = super().forward(h.reshape(bands, batch, frames, channels))
        h = h.transpose(0, 2).reshape(frames, -1).t().reshape(batch, bands, channels, frames)
        return h.transpose(1, 2).to(x.dtype)
