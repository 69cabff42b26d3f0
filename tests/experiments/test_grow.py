"""A grown network does what the trained one did, and its new parts learn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.representation import Complex
from diffgmm.inference import Denoiser
from diffgmm.networks import UNet
from experiments.release.grow import grow


@pytest.fixture
def small() -> MixtureDenoiser:
    torch.manual_seed(1)
    network = UNet([8, 8], [[4, 1], [4, 1]], features=8, bottleneck="gru", hidden=16, bins=256)
    return MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), network, MixtureHead(2)).eval()


@pytest.mark.parametrize(("kind", "hidden"), [("bigru", 32), ("bigru", 48), ("gru", 16), ("gru", 24)])
def test_grown_network_computes_the_same(small: MixtureDenoiser, kind: str, hidden: int) -> None:
    noisy = 0.1 * torch.randn(2, 1, 8000)
    larger = grow(small, hidden, kind).eval()
    assert sum(p.numel() for p in larger.parameters()) >= sum(p.numel() for p in small.parameters())
    expected, got = small.enhance(noisy), larger.enhance(noisy)
    assert torch.allclose(got.waveform, expected.waveform, atol=1e-6)
    assert torch.allclose(got.uncertainty, expected.uncertainty, atol=1e-5)


def test_a_fine_band_starts_without_effect_and_learns(small: MixtureDenoiser) -> None:
    noisy = 0.1 * torch.randn(2, 1, 8000)
    larger = grow(small, fine=64, fine_channels=8).eval()
    assert torch.equal(larger.enhance(noisy).waveform, small.enhance(noisy).waveform)
    x = torch.randn(2, 2, 256, 20)
    optimizer = torch.optim.SGD(larger.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        larger.train().posterior(x, x, torch.ones(2)).nll(0.5 * x).mean().backward()
        optimizer.step()
    fine = larger.network.fine
    assert fine is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fine.blocks.parameters())
    with pytest.raises(ValueError, match="already"):
        grow(larger, fine=32)


def test_recurrences_along_both_axes_start_without_effect_and_learn(small: MixtureDenoiser) -> None:
    noisy = 0.1 * torch.randn(2, 1, 8000)
    larger = grow(small, dual=1, dual_level=1).eval()
    assert torch.allclose(larger.enhance(noisy).waveform, small.enhance(noisy).waveform, atol=1e-7)
    x = torch.randn(2, 2, 256, 20)
    optimizer = torch.optim.SGD(larger.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        larger.train().posterior(x, x, torch.ones(2)).nll(0.5 * x).mean().backward()
        optimizer.step()
    grads = [p.grad for p in larger.network.dual.parameters()]
    assert grads and all(g is not None and g.abs().sum() > 0 for g in grads)
    with pytest.raises(ValueError, match="already"):
        grow(larger, dual=1)


def test_new_parts_learn(small: MixtureDenoiser) -> None:
    larger = grow(small, 48, "bigru").train()
    x = torch.randn(2, 2, 256, 20)
    optimizer = torch.optim.SGD(larger.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        larger.posterior(x, x, torch.ones(2)).nll(0.5 * x).mean().backward()
        optimizer.step()
    gru = larger.network.bottleneck.gru  # type: ignore[union-attr]
    for name in ("weight_ih_l0", "weight_ih_l0_reverse"):
        gradient = getattr(gru, name).grad
        assert gradient is not None
        assert gradient.abs().sum() > 0


def test_what_does_not_fit_is_refused(small: MixtureDenoiser) -> None:
    with pytest.raises(ValueError, match="at least 32"):
        grow(small, 24, "bigru")
    with pytest.raises(ValueError, match="bottleneck gru"):
        grow(grow(small, 32, "bigru"), 64, "bigru")


def test_command(tmp_path: Path) -> None:
    target = tmp_path / "bigger"
    command = [
        sys.executable,
        "-m",
        "experiments.release.grow",
        "base",
        str(target),
        "--hidden",
        "512",
        "--bottleneck",
        "bigru",
    ]
    model, _ = Denoiser.from_pretrained("base").model, None
    recurrent = getattr(model.network.bottleneck, "gru", None)  # type: ignore[union-attr]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if recurrent is None or recurrent.bidirectional:
        assert done.returncode == 1
        assert "bottleneck gru" in done.stderr
        assert not list(tmp_path.iterdir())
        return
    assert done.returncode == 0, done.stderr
    assert Denoiser.from_pretrained(target.with_suffix(".json")).model is not None
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
