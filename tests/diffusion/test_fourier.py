"""The transform that graphs have, against PyTorch's."""

from __future__ import annotations

import pytest
import torch

from diffgmm.diffusion.fourier import Fourier
from diffgmm.diffusion.representation import Complex


@pytest.mark.parametrize("window", ["hann", "sqrt_hann"])
@pytest.mark.parametrize(
    ("n_fft", "hop", "halved"), [(510, 255, True), (62, 31, True), (64, 32, False), (60, 20, False)]
)
def test_it_is_the_short_time_fourier_transform(n_fft: int, hop: int, halved: bool, window: str) -> None:
    representation = Complex(16000, n_fft=n_fft, hop=hop, window=window)  # type: ignore[arg-type]
    fourier = Fourier(representation)
    frames, (inner, last) = 9, (n_fft // 2, (9 - 1) * hop + n_fft - n_fft // 2)
    x = torch.randn(2, 1, (frames - 1) * hop + n_fft, generator=torch.Generator().manual_seed(0))
    wanted = torch.stft(x[:, 0], n_fft, hop, window=representation.window, center=False, return_complex=True)
    real, imaginary = fourier(x)
    assert real.shape == imaginary.shape == (2, 1, n_fft // 2 + 1, frames)
    scale = float(representation.window.square().sum()) ** -0.5
    torch.testing.assert_close(torch.complex(real, imaginary)[:, 0], wanted * scale, atol=2e-6, rtol=1e-5)
    back = fourier.inverse(real, imaginary)
    assert back.shape == x.shape
    torch.testing.assert_close(back[..., inner:last], x[..., inner:last], atol=1e-5, rtol=1e-5)
    products = (n_fft + 1) // 2 * 2 * (n_fft // 2 + 1)  # of half a frame with each bin's two parts
    assert fourier.halved == halved
    assert fourier.analysis.numel() == fourier.synthesis.numel() == products * (1 if halved else 2)
