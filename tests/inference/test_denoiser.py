"""Denoiser: any length, rate, channels and level through a fixed window grid.

The enhancer is an STFT Wiener gate (it needs no training and really denoises), or an untrained mixture
model where sampling matters.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from diffgmm.diffusion.model import Enhanced, MixtureDenoiser, ModelError
from diffgmm.diffusion.pretrained import available_models, model_path
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.sampler_options import Estimate
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.inference import Denoiser
from diffgmm.inference.window_grid import WindowGrid
from diffgmm.networks import UNet, fused


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """These models are too small to share out; threads that wait for each other only slow the tests down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class WienerGate(nn.Module):
    """Gain per bin from the noise floor, the 30th percentile over time: speech has pauses."""

    sample_rate = 16000

    def enhance(
        self,
        noisy: Tensor,
        *,
        nfe: int = 1,
        estimate: Estimate = "mean",
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> Enhanced:
        taps = torch.hann_window(512)
        spectrum = torch.stft(noisy[:, 0], 512, 128, window=taps, return_complex=True, pad_mode="constant")
        power = spectrum.abs().square()
        floor = 4 * power.quantile(0.3, dim=-1, keepdim=True)
        gain = (1 - floor / power.clamp_min(1e-20)).clamp(0.05, 1.0)
        wave = torch.istft(spectrum * gain, 512, 128, window=taps, length=noisy.shape[-1])[:, None]
        return Enhanced(wave, noisy - wave, gain)


class Gain(WienerGate):
    """Multiplies by a number: what comes out is known everywhere."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def enhance(self, noisy: Tensor, **options: object) -> Enhanced:  # type: ignore[override]
        return Enhanced(self.factor * noisy, (1 - self.factor) * noisy, noisy)


def speech_like(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Gliding harmonics in syllables with pauses, ``[1, samples]``."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time + seed)) / rate
    tone = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 1.5 * time + seed), 0, None)
    return (0.1 * tone * syllables)[None].astype(np.float32)


def white(channels: int, samples: int, level: float = 0.05, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)


def db(error: np.ndarray, reference: np.ndarray) -> float:
    return 10 * float(
        np.log10(np.mean(np.square(error, dtype=float)) / np.mean(np.square(reference, dtype=float)))
    )


def test_it_denoises_through_windows_and_rates() -> None:
    for rate in (8000, 16000, 44100):
        clean = speech_like(10, rate)
        noisy = clean + white(1, clean.shape[1], 0.02)
        denoised = Denoiser(WienerGate()).denoise(noisy, rate)
        assert denoised.shape == noisy.shape
        assert db(denoised - clean, clean) < db(noisy - clean, clean) - 3, rate


small = {"window_seconds": 0.25, "overlap_seconds": 0.05}


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000])
    | st.integers(8000, 192000),
    channels=st.integers(1, 8),
    windows=st.floats(0, 3),
    level=st.sampled_from([1e-30, 1e-6, 1e-3, 1.0, 30.0, 1e6]),
    seed=st.integers(0, 99),
)
def test_shape_level_and_silence_are_kept(
    rate: int, channels: int, windows: float, level: float, seed: int
) -> None:
    denoiser = Denoiser(WienerGate(), **small)
    samples = max(1, round(windows * 0.25 * rate))
    x = white(channels, samples, level, seed)
    y = denoiser.denoise(x, rate)
    assert y.shape == x.shape and y.dtype == np.float32 and np.isfinite(y).all()
    assert np.abs(y).max() <= 3 * np.abs(x).max()
    assert not denoiser.denoise(np.zeros_like(x), rate).any()
    assert denoiser.denoise(x[0], rate).shape == (samples,)
    np.testing.assert_array_equal(denoiser.denoise(x, rate, strength=0.0), x)


@settings(max_examples=12, deadline=None)
@given(
    rate=st.sampled_from([8000, 16000, 44100]),
    samples=st.integers(1, 60000),
    cuts=st.lists(st.integers(0, 60000), max_size=8),
)
def test_pieces_of_any_size_give_the_same(rate: int, samples: int, cuts: list[int]) -> None:
    denoiser = Denoiser(WienerGate(), **small)
    x = white(2, samples)
    edges = sorted({0, samples, *(min(cut, samples) for cut in cuts)})
    pieces = [x[:, a:b] for a, b in pairwise(edges)]
    y = np.concatenate(list(denoiser.denoise_blocks(pieces, rate, 2)), axis=1)
    np.testing.assert_array_equal(y, denoiser.denoise(x, rate))


@pytest.mark.parametrize("samples", [1, 15, 4000, 64000, 64001, 120000, 120001, 512000, 517123])
def test_cross_fade_adds_up_to_one(samples: int) -> None:
    x = white(2, samples)
    np.testing.assert_allclose(Denoiser(Gain(0.5)).denoise(x, 16000), 0.5 * x, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 192000])
@pytest.mark.parametrize("factor", [1.0, 0.25, 0.0])
def test_a_plain_gain_survives_resampling(rate: int, factor: float) -> None:
    x = white(2, rate)  # all frequencies up to the file's own Nyquist: the band above the model's follows
    y = Denoiser(Gain(factor)).denoise(x, rate)
    np.testing.assert_allclose(y, factor * x, atol=2e-5)


def test_band_above_the_model_follows_its_top_band_in_time() -> None:
    class SecondHalf(Gain):
        """Mutes the first half of every window."""

        def enhance(self, noisy: Tensor, **options: object) -> Enhanced:  # type: ignore[override]
            mask = (torch.arange(noisy.shape[-1]) >= noisy.shape[-1] // 2).float()
            return Enhanced(noisy * mask, noisy * (1 - mask), noisy)

    rate, x = 48000, white(1, 48000)
    y = Denoiser(SecondHalf(1.0)).denoise(x, rate)
    upper_in, upper_out = (
        np.fft.rfft(z[0].reshape(10, -1))[:, 900:] for z in (x, y)
    )  # 9 kHz up, 100 ms each
    gain = np.sqrt(np.square(np.abs(upper_out)).sum(1) / np.square(np.abs(upper_in)).sum(1))
    assert gain[:4].max() < 0.05 and gain[6:].min() > 0.95


def test_strength_mixes_back() -> None:
    x = white(2, 30000)
    denoiser = Denoiser(WienerGate(), **small)
    full, half = denoiser.denoise(x, 22050), denoiser.denoise(x, 22050, strength=0.5)
    np.testing.assert_allclose(half, (x + full) / 2, atol=1e-6)


def test_level_does_not_matter_and_is_kept() -> None:
    x = speech_like(3, 16000) + white(1, 48000, 0.02)
    denoiser = Denoiser(tiny_model())
    y = denoiser.denoise(x, 16000)
    for factor in (2.0**-20, 2.0**6):
        np.testing.assert_array_equal(denoiser.denoise(factor * x, 16000), factor * y)


def test_channels_do_not_touch() -> None:
    left, right = speech_like(2, 16000), white(1, 32000)
    denoiser = Denoiser(WienerGate())
    both = denoiser.denoise(np.concatenate([left, right, 0 * left]), 16000)
    np.testing.assert_allclose(both[:1], denoiser.denoise(left, 16000), atol=1e-6)
    np.testing.assert_allclose(both[1:2], denoiser.denoise(right, 16000), atol=1e-6)
    assert not both[2].any()


def test_no_seam() -> None:
    """Windows against one pass: the gate sees other floors in each window, the seams add nothing."""
    x = speech_like(12, 16000) + white(1, 12 * 16000, 0.02)
    whole = Denoiser(WienerGate(), window_seconds=20.0).denoise(x, 16000)
    parts = Denoiser(WienerGate()).denoise(x, 16000)
    assert db(parts - whole, whole) < -20
    jumps = np.abs(np.diff(parts - whole))[0]
    seams = [k * 56000 + i for k in (1, 2) for i in (0, 7999)]  # where a fade begins and ends
    assert max(jumps[s - 2 : s + 2].max() for s in seams) <= np.quantile(jumps, 0.999)


def tiny_model() -> MixtureDenoiser:
    torch.manual_seed(0)
    complex_spectrum = Complex(hop=255, window="sqrt_hann")
    return MixtureDenoiser(complex_spectrum, UNet([8, 8], [[4, 1], [2, 1]])).eval()


def test_windows_start_on_the_frames_of_the_model() -> None:
    """Otherwise every window sees other frames than its neighbour, and than one pass over everything."""
    model = tiny_model()
    x = speech_like(10, 16000) + white(1, 160000, 0.02)
    whole = Denoiser(model, window_seconds=20.0).denoise(x, 16000)
    assert db(Denoiser(model).denoise(x, 16000) - whole, whole) < -35
    starts: list[int] = []

    def enhance(rows: np.ndarray, keys: list[tuple[int, int]]) -> np.ndarray:
        starts.extend(int(row[0]) for row in rows)
        return rows

    grid = WindowGrid(enhance, 1, window=1000, overlap=200, shortest=1, align=255)
    ramp = np.arange(3600, dtype=np.float32)[None]
    pieces = [y for _, y in [*grid.push(ramp), *grid.finish()]]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), ramp, rtol=1e-6)
    assert starts == [0, 765, 1530, 2295, 2550]  # the last would be 2600 if it did not step back to a frame


def test_sampling_is_seeded_by_position() -> None:
    denoiser = Denoiser(tiny_model(), window_seconds=0.5, overlap_seconds=0.1)
    x = np.repeat(white(1, 20000), 2, axis=0)
    options = {"estimate": "sample", "nfe": 2, "seed": 3}
    y = denoiser.denoise(x, 16000, **options)
    np.testing.assert_array_equal(y, denoiser.denoise(x, 16000, **options))
    np.testing.assert_array_equal(y[:1], denoiser.denoise(x[:1], 16000, **options))
    assert np.abs(y[0] - y[1]).max() > 1e-4  # the same input in two channels gets noise of its own
    assert np.abs(y - denoiser.denoise(x, 16000, **{**options, "seed": 4})).max() > 1e-4
    pieces = np.concatenate(
        list(denoiser.denoise_blocks(np.split(x, [7, 10011], axis=1), 16000, 2, **options)), axis=1
    )
    np.testing.assert_array_equal(pieces, y)


def test_memory_does_not_grow_with_length() -> None:
    block = white(1, 1 << 16)
    denoiser = Denoiser(Gain(0.5))
    peaks = []
    for count in (25, 150):  # 37 seconds, and nearly 4 minutes, which are 39 MB
        tracemalloc.start()
        try:
            total = sum(y.shape[1] for y in denoiser.denoise_blocks((block for _ in range(count)), 44100, 1))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert total == count * block.shape[1]
    assert peaks[1] < 1.1 * peaks[0]


def test_bad_arguments() -> None:
    denoiser = Denoiser(WienerGate())
    x = white(1, 100)
    for options, message in [
        ({"nfe": 0}, "at least 1"),
        ({"samples": 0}, "at least 1"),
        ({"estimate": "median"}, "mean, sample, mode"),
        ({"strength": 1.5}, "strength"),
        ({"seed": -1}, "seed"),
        ({"sample_rate": 0}, "rate"),
    ]:
        with pytest.raises(ValueError, match=message):
            denoiser.denoise(x, **{"sample_rate": 16000, **options})
    for bad in (np.zeros((1, 2, 3), np.float32), np.zeros((1, 100), np.int16)):
        with pytest.raises(ValueError, match="expected float"):
            denoiser.denoise(bad, 16000)
    x[0, 5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        denoiser.denoise(x, 16000)
    with pytest.raises(ValueError, match=r"\[2, samples\]"):
        list(denoiser.denoise_blocks([x], 16000, 2))
    with pytest.raises(ModelError, match="not finite"):
        Denoiser(Gain(float("inf"))).denoise(white(1, 100), 16000)
    with pytest.raises(ValueError, match="overlap"):
        WindowGrid(lambda rows, keys: rows, 1, window=10, overlap=6, shortest=1)


def test_empty_audio_stays_empty() -> None:
    assert Denoiser(WienerGate()).denoise(np.zeros((2, 0), np.float32), 44100).shape == (2, 0)


def test_saved_models_load_with_their_defaults(tmp_path: Path) -> None:
    model = tiny_model()
    save_model(tmp_path / "m", model, {"data": "none"}, {"nfe": 2, "estimate": "sample"})
    x = white(1, 20000)
    for name in ("m.json", "m.safetensors"):
        denoiser = Denoiser.from_pretrained(tmp_path / name)
        assert denoiser.sample_rate == 16000 and denoiser.description["card"] == {"data": "none"}
        expected = Denoiser(fused(model)).denoise(x, 16000, nfe=2, estimate="sample")
        np.testing.assert_array_equal(denoiser.denoise(x, 16000), expected)


def test_checkpoints_load_without_lightning(tmp_path: Path) -> None:
    model = tiny_model()
    save_model(tmp_path / "m", model, {}, {"nfe": 1})
    description = load_model(tmp_path / "m")[1]
    torch.save(
        {"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}, "diffgmm": description},
        tmp_path / "last.ckpt",
    )
    x = white(1, 20000)
    denoised = Denoiser.from_pretrained(tmp_path / "last.ckpt").denoise(x, 16000)
    np.testing.assert_allclose(denoised, Denoiser(fused(model)).denoise(x, 16000), atol=1e-6)


@pytest.mark.parametrize("name", ["nosuch", "nosuch.ckpt", "nosuch.json", ""])
def test_unknown_models_are_named(name: str) -> None:
    with pytest.raises(ModelError, match=r"unknown model|no such model file"):
        model_path(name)


@pytest.mark.skipif(not available_models(), reason="no model is shipped yet")
def test_the_shipped_model_denoises() -> None:
    denoiser = Denoiser.from_pretrained("base")
    noisy = white(1, 48000, 0.1)
    assert db(denoiser.denoise(noisy, denoiser.sample_rate), noisy) < -10  # noise alone is taken away
