"""Models of listeners: the same figures as the originals, and gradients that lead to cleaner speech."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from diffgmm import metrics
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Bridge
from diffgmm.diffusion.representation import Waveform
from diffgmm.training.losses import LOSSES, LossInputs, Stoi
from diffgmm.training.perceptual import NEEDED, Dnsmos

Pair = tuple[np.ndarray, np.ndarray]


def installed(loss: str) -> None:
    """Skip where the loss can't run."""
    for package in NEEDED[loss]:
        pytest.importorskip(package, reason=f"the extra {loss}-loss is not installed")


@pytest.fixture(scope="module")
def network() -> Dnsmos:
    installed("dnsmos")
    return Dnsmos()


def answer(pair: Pair, share: float, sample_rate: int = 16000) -> LossInputs:
    """What the losses see of a model that takes off a ``share`` of the noise."""
    clean, noisy = (torch.from_numpy(v)[None, None] for v in pair)
    representation = Waveform(sample_rate=sample_rate)
    context = representation.context(noisy)
    y, s = representation.encode(noisy, context), representation.encode(clean, context)
    means = (share * (y - s)).unsqueeze(1).requires_grad_()
    q = GaussianMixture(torch.zeros(1, 1, y.shape[-1]), means, torch.zeros(1, 1, y.shape[-1]))
    one = torch.ones(1)
    return LossInputs(q, y - s, y, y, None, one, 0 * one, Bridge(), representation, context, clean)


@pytest.mark.parametrize("name", ["pesq", "stoi", "dnsmos"])
def test_the_cleaner_estimate_has_the_lower_loss(name: str, pair: Pair) -> None:
    installed(name)
    values = []
    for share in (0.1, 0.5, 0.9):
        x = answer(pair, share)
        value = LOSSES[name]()(x)
        value.backward()
        gradient = x.mixture.means.grad
        assert gradient is not None and torch.isfinite(gradient).all() and gradient.any()
        values.append(float(value.detach()))
    assert values[2] < values[1] < values[0]


@pytest.mark.parametrize("extended", [False, True])
def test_the_stoi_loss_is_the_metric(extended: bool, pair: Pair) -> None:
    installed("stoi")
    for share in (0.0, 0.5):
        x = answer(pair, share)
        estimate = x.estimate_wave.detach()[0, 0].numpy()
        (expected,) = metrics.score(estimate, pair[0], 16000, ["estoi" if extended else "stoi"]).values()
        assert Stoi(extended=extended)(x).item() == pytest.approx(1.0 - expected, abs=0.01)
    silence = np.zeros_like(pair[0])
    assert Stoi()(answer((silence, pair[1]), 0.5)).item() == 0.0
    short = np.where(np.arange(len(pair[0])) < len(pair[0]) // 2, 0.0, pair[0]).astype(np.float32)
    short[len(short) // 2 + 3000 :] = 0.0  # 0.2 s of speech: no score, and nothing that is not finite
    x = answer((short, (short + pair[1] - pair[0]).astype(np.float32)), 0.5)
    Stoi()(x).backward()
    assert x.mixture.means.grad is not None and torch.isfinite(x.mixture.means.grad).all()


def test_dnsmos_is_that_of_the_package(network: Dnsmos, pair: Pair) -> None:
    for wave in pair:
        window = np.tile(wave, 4)[: round(9.01 * 16000)]  # what the package's network takes at once
        theirs = metrics.score(window, window, 16000, ["dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl"])
        ours = network(torch.from_numpy(window)[None])[0].numpy()
        np.testing.assert_allclose(ours, list(theirs.values()), atol=2e-4)


def test_half_precision_hardly_changes_dnsmos(network: Dnsmos, pair: Pair) -> None:
    waves = torch.from_numpy(np.stack(pair))
    torch.testing.assert_close(Dnsmos(reduced=True)(waves), network(waves), atol=0.05, rtol=0)


def test_dnsmos_weights_are_constants(network: Dnsmos) -> None:
    assert not any(p.requires_grad for p in network.parameters())


def test_dnsmos_loss_asks_for_no_more_than_the_clean_window_has(network: Dnsmos, pair: Pair) -> None:
    silence = np.zeros_like(pair[0])
    assert LOSSES["dnsmos"]()(answer(pair, 1.0)).item() == pytest.approx(0.3, abs=1e-3)  # the margin is left
    assert LOSSES["dnsmos"]()(answer((silence, pair[1]), 0.5)).item() == 0.0  # no speech, nothing to judge


def test_dnsmos_loss_listens_at_16_khz_only(pair: Pair) -> None:
    with pytest.raises(ValueError, match="listens at 16000 Hz, the model works at 8000: leave it out"):
        LOSSES["dnsmos"]()(answer(pair, 0.5, 8000))


def test_dnsmos_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "speechmos", None)
    with pytest.raises(RuntimeError, match=r"pip install 'diffgmm\[dnsmos-loss\]'"):
        Dnsmos()
