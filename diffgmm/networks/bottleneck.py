"""What joins distant frames and bands: bottlenecks over time, and recurrence along frequency and time."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from diffgmm.networks.base import at_least_float32

BottleneckKind = Literal["none", "gru", "bigru", "attention"]


class _OverTime(nn.Module):
    """Flattens channels and frequency of ``[B, C, (F,) N]``, works along N, and adds the result to its input."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.into = nn.Linear(features, hidden)
        self.out = nn.Linear(hidden, features)
        nn.init.zeros_(self.out.bias)

    def over_time(self, sequence: Tensor) -> Tensor:
        """``[B, N, hidden]`` to ``[B, N, hidden]``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, *S]`` to ``[B, C, *S]``."""
        last = x.dim() - 1  # ONNX supports no negative axes here
        sequence = x.movedim(last, 1)
        flat = sequence.flatten(2)
        change = self.out(self.over_time(self.into(flat)))
        return x + change.reshape(sequence.shape).movedim(1, last)


class Recurrence(_OverTime):
    """Gated recurrent unit along time (causal unless ``bidirectional``): context without a fixed reach."""

    def __init__(self, features: int, hidden: int, bidirectional: bool = False) -> None:
        super().__init__(features, hidden)
        width = hidden // 2 if bidirectional else hidden
        self.gru = nn.GRU(hidden, width, batch_first=True, bidirectional=bidirectional)

    def over_time(self, sequence: Tensor) -> Tensor:
        """``[B, N, hidden]`` to ``[B, N, hidden]``."""
        # In float32 at least: rounding a recurrent state to bfloat16 at every step adds up.
        with torch.autocast(sequence.device.type, enabled=False):
            return self.gru(at_least_float32(sequence))[0]


class Attention(_OverTime):
    """Self-attention along time; ``hidden`` is divisible by ``heads``."""

    def __init__(self, features: int, hidden: int, heads: int = 4) -> None:
        super().__init__(features, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.attention = nn.MultiheadAttention(hidden, heads, batch_first=True)

    def over_time(self, sequence: Tensor) -> Tensor:
        """``[B, N, hidden]`` to ``[B, N, hidden]``."""
        normed = self.norm(sequence)
        return sequence + self.attention(normed, normed, normed, need_weights=False)[0]


def make_bottleneck(kind: BottleneckKind, features: int, hidden: int) -> nn.Module:
    """``none``, ``gru``, ``bigru`` or ``attention``.

    Raises:
        ValueError: for another name.
    """
    if kind == "none":
        return nn.Identity()
    if kind in ("gru", "bigru"):
        return Recurrence(features, hidden, bidirectional=kind == "bigru")
    if kind == "attention":
        return Attention(features, hidden)
    raise ValueError(f"bottleneck must be one of {', '.join(get_args(BottleneckKind))}, got {kind!r}")


class _Along(nn.Module):
    """A bidirectional recurrence along one axis of ``[R, L, C]``, added to its input; it starts without effect."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.gru = nn.GRU(channels, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[R, L, C]`` to ``[R, L, C]``."""
        # In float32 at least: rounding a recurrent state to bfloat16 at every step adds up.
        with torch.autocast(x.device.type, enabled=False):
            exact = at_least_float32(x)
            return exact + self.out(self.gru(self.norm(exact))[0])


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
        """``[B, C, F, N]`` to ``[B, C, F, N]``."""
        batch, channels, bands, frames = x.shape
        h = x.permute(0, 3, 2, 1).reshape(batch * frames, bands, channels)
        h = self.frequency(h).reshape(batch, frames, bands, channels).transpose(1, 2)
        h = self.time(h.reshape(batch * bands, frames, channels)).reshape(batch, bands, frames, channels)
        return h.permute(0, 3, 1, 2).to(x.dtype)
