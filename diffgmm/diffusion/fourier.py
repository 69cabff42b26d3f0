r"""A complex representation's Fourier transform and inverse as products with matrices, which any runtime has.

Where frames advance by half their length, :math:`e^{-2 \pi i k (t + n/2) / n} = (-1)^k e^{-2 \pi i k t / n}` saves half
of the products: even bins see the sum of a windowed frame's two halves, odd bins the difference (the first step of a
fast transform by decimation in frequency; Oppenheim and Schafer, "Discrete-Time Signal Processing", section 9.4).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from diffgmm.diffusion.representation import Complex


class Fourier(nn.Module):
    """:meth:`forward` of padded sound and :meth:`inverse`, scaled, windowed and framed as in ``representation``."""

    analysis: Tensor
    synthesis: Tensor
    windows: Tensor

    def __init__(self, representation: Complex) -> None:
        super().__init__()
        self.n_fft, self.hop = representation.n_fft, representation.hop
        self.halved = _halved(representation)
        for name, value in kernels(representation).items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, padded: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, 1, T]``, whole frames, to the real and the imaginary part, ``[B, 1, F, N]`` each."""
        batch = padded.shape[0]
        if self.halved:
            blocks = padded.reshape(batch, -1, self.hop)
            first, second = blocks[:, :-1] * self.windows[0], blocks[:, 1:] * self.windows[1]
            both = torch.stack([first + second, first - second], dim=1)
            frames = torch.matmul(self.analysis, both.transpose(2, 3))
            frames = frames.reshape(batch, 2, 2, -1, frames.shape[-1]).permute(0, 2, 3, 1, 4)
        else:
            frames = nn.functional.conv1d(padded, self.analysis, stride=self.hop)
        real, imaginary = frames.reshape(batch, 2, -1, frames.shape[-1]).chunk(2, dim=1)
        return real, imaginary

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """The real and the imaginary part, ``[B, 1, F, N]`` each, to ``[B, 1, T]``.

        Exact but for the ``n_fft // 2`` values at both ends, which only one frame reaches.
        """
        if self.halved:
            batch, _, bins, count = real.shape
            frames = torch.cat([real, imaginary], dim=1).reshape(batch, 2, bins // 2, 2, count)
            frames = frames.permute(0, 3, 1, 2, 4).reshape(batch, 2, bins, count)
            even, odd = torch.matmul(frames.transpose(2, 3), self.synthesis).unbind(1)
            first, second = (even + odd) * self.windows[2], (even - odd) * self.windows[3]
            pad = nn.functional.pad
            return (pad(first, (0, 0, 0, 1)) + pad(second, (0, 0, 1, 0))).flatten(1).unsqueeze(1)
        spectrum = torch.cat([real, imaginary], dim=2).squeeze(1)
        wave = nn.functional.conv_transpose1d(spectrum, self.synthesis, stride=self.hop)
        frame = torch.ones_like(spectrum[:1, :1])
        weight = nn.functional.conv_transpose1d(frame, self.windows, stride=self.hop)
        return wave / weight.clamp_min(1e-8)


def kernels(representation: Complex, zero: Tensor | float = 0.0) -> dict[str, Tensor]:
    """``analysis`` and ``synthesis``, ``[2 F, 1, n_fft]``, and the squared window in ``windows``.

    Of half frames: ``[2, F, hop]``, even and odd bins, and the window's halves ``[4, hop]``, last those of the inverse.

    ``zero`` is added to the indices: as a function of a parameter it keeps a tracer from storing the kernels.
    """
    n, window, halved = representation.n_fft, representation.window, _halved(representation)
    device = window.device
    bins = torch.arange(n // 2 + 1, dtype=torch.float32, device=device) + zero
    sides = representation.sides()
    if halved:
        bins, sides = (each.unflatten(0, (-1, 2)).t() for each in (bins, sides))
    times = torch.arange(representation.hop if halved else n, dtype=torch.float32, device=device)
    # Products below 2 ** 24 are whole numbers in float32 too; reduced first, the angles are exact.
    angles = torch.remainder(bins[..., None] * times, float(n)) * (2.0 * math.pi / n)
    both = torch.cat([angles.cos(), -angles.sin()], dim=-2)
    weighted = both * torch.cat([sides, sides], dim=-1)[..., None] / (n * representation._scale)
    if halved:
        halves = window.unflatten(0, (2, -1))
        windows = torch.cat([halves, halves / halves.square().sum(0).clamp_min(1e-8)])
        return {"analysis": both * representation._scale, "synthesis": weighted, "windows": windows}
    return {
        "analysis": (both * (window * representation._scale))[:, None],
        "synthesis": (weighted * window)[:, None],
        "windows": window.square()[None, None],
    }


def _halved(representation: Complex) -> bool:
    """Whether frames advance by half their length, with as many even bins as odd ones."""
    return representation.n_fft == 2 * representation.hop and representation.hop % 2 == 1
