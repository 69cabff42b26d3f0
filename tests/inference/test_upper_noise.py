"""What is steady above the model's band goes down while somebody speaks; sibilants stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt

from diffgmm.diffusion.model import Enhanced
from diffgmm.inference import Denoiser
from diffgmm.inference.streaming import StreamingDenoiser


class Everything:
    """Keeps all it hears, so that whatever goes down does so above its band."""

    sample_rate = 16000

    def enhance(self, noisy: torch.Tensor, **options: object) -> Enhanced:
        return Enhanced(noisy, noisy, noisy)


def above(x: np.ndarray, rate: int) -> np.ndarray:
    return np.asarray(sosfilt(butter(8, 8500, "high", fs=rate, output="sos"), x))


def sibilants(seconds: float, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """A hum like a voice's with a hiss of 0.15 s each 0.5 s that reaches above 8 kHz, and where those are."""
    t = np.arange(round(seconds * rate)) / rate
    there = (t % 0.5 > 0.2) & (t % 0.5 < 0.35)
    hiss = np.random.default_rng(1).standard_normal(len(t)) * there
    voice = 0.2 * np.sin(2 * np.pi * 150 * t) * ~there
    return (voice + 0.1 * hiss).astype(np.float32), there


def power(x: np.ndarray) -> float:
    return float(np.mean(np.square(x, dtype=float)))


def noises(kind: str, seconds: float, rate: int) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    if kind == "whine":
        return 0.01 * np.sin(2 * np.pi * 15734 * t)
    return above(0.01 * np.random.default_rng(2).standard_normal(len(t)), rate)


def streamed(x: np.ndarray, rate: int, sizes: list[int]) -> np.ndarray:
    stream = StreamingDenoiser(Denoiser(Everything()), rate, len(x))
    edges = np.cumsum(sizes)
    pieces = [stream.process(piece) for piece in np.split(x, edges[edges < x.shape[1]], axis=1)]
    return np.concatenate([*pieces, stream.flush()], axis=1)[:, stream.latency :]


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("kind", ["whine", "hiss"])
def test_steady_noise_goes_down_and_sibilants_stay(kind: str, rate: int) -> None:
    speech, there = sibilants(6, rate)
    noisy = (speech + noises(kind, 6, rate)).astype(np.float32)
    y = Denoiser(Everything()).denoise(noisy, rate)
    heard, left, wanted = (above(x, rate) for x in (noisy, y, speech))
    quiet = ~np.convolve(there, np.ones(round(0.1 * rate)), "same").astype(bool)  # 50 ms from any sibilant
    assert power(left[quiet]) < 0.03 * power(heard[quiet])
    inside = ~np.convolve(~there, np.ones(round(0.04 * rate)), "same").astype(bool)
    assert abs(10 * np.log10(power(left[inside]) / power(wanted[inside]))) < 0.5
    assert power((left - wanted)[inside]) < 0.1 * power(wanted[inside])
    below = butter(8, 7500, fs=rate, output="sos")
    assert power(sosfilt(below, y - noisy)) < 1e-5 * power(sosfilt(below, noisy))


@pytest.mark.parametrize("rate", [44100, 48000])
def test_streams_learn_it(rate: int) -> None:
    speech, _ = sibilants(5, rate)
    noisy = (speech + noises("whine", 5, rate)).astype(np.float32)[None]
    y = streamed(noisy, rate, [noisy.shape[1]])
    tail = slice(9 * rate // 4, 5 * rate - rate // 10)
    at = np.exp(-2j * np.pi * 15734 * np.arange(noisy.shape[1]) / rate)
    assert abs(np.sum((y[0] * at)[tail])) < 0.2 * abs(np.sum((noisy[0] * at)[tail]))
    np.testing.assert_array_equal(streamed(noisy, rate, [1, 441, 3000] * 20), y)


def test_blocks_do_not_matter() -> None:
    noisy = np.stack([sibilants(7, 48000)[0] + noises(kind, 7, 48000) for kind in ("whine", "hiss")]).astype(
        np.float32
    )
    denoiser = Denoiser(Everything())
    pieces = np.split(noisy, [1, 480, 10000, 10001, 200000], axis=1)
    joined = np.concatenate([*denoiser.denoise_blocks(pieces, 48000, 2)], axis=1)
    np.testing.assert_array_equal(joined, denoiser.denoise(noisy, 48000))
    for row, out in zip(noisy, joined, strict=True):
        np.testing.assert_array_equal(denoiser.denoise(row, 48000), out)  # channels don't touch


def test_noise_that_begins_and_ends() -> None:
    speech, there = sibilants(10, 48000)
    on = (np.arange(len(speech)) > 3 * 48000) & (np.arange(len(speech)) < 7 * 48000)
    noisy = (speech + noises("whine", 10, 48000) * on).astype(np.float32)
    y = Denoiser(Everything()).denoise(noisy, 48000)
    quiet = ~np.convolve(there, np.ones(4800), "same").astype(bool)
    heard, left = above(noisy, 48000), above(y, 48000)
    for begin, end in [(3.2, 4.0), (4.0, 6.0), (6.0, 6.8)]:
        part = quiet & (np.arange(len(y)) > begin * 48000) & (np.arange(len(y)) < end * 48000)
        assert power(left[part]) < 0.03 * power(heard[part])


@pytest.mark.parametrize("seconds", [0.001, 0.5, 6.0])
def test_without_steady_noise_nothing_is_taken(seconds: float) -> None:
    speech, _ = sibilants(seconds, 48000)
    np.testing.assert_allclose(Denoiser(Everything()).denoise(speech, 48000), speech, atol=2e-3)
    options: dict[str, Any] = {"rate": 48000}
    assert np.array_equal(streamed(speech[None] * 0, **options, sizes=[500]), speech[None] * 0)


@pytest.mark.slow
def test_a_whine_beside_the_shipped_model() -> None:
    t = np.arange(6 * 48000) / 48000
    noisy = (sibilants(6, 48000)[0] + 0.03 * np.sin(2 * np.pi * 15734 * t)).astype(np.float32)
    y = Denoiser.from_pretrained("base").denoise(noisy, 48000)
    at = np.exp(-2j * np.pi * 15734 * t)
    assert abs(np.sum(y * at)) < 0.15 * abs(np.sum(noisy * at))


@pytest.mark.parametrize("rate", [1, 40, 8000, 16001])
def test_rates_without_a_band_above(rate: int) -> None:
    x = np.random.default_rng(0).uniform(-0.1, 0.1, 30).astype(np.float32)
    y = Denoiser(Everything()).denoise(x, rate)
    assert y.shape == x.shape and np.isfinite(y).all()
