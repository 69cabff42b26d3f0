"""Streaming: as much out as in, late by a constant, whatever the blocks; the same as the grid run offline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffgmm.diffusion.model import Enhanced, MixtureDenoiser
from diffgmm.diffusion.representation import Complex
from diffgmm.inference import Denoiser
from diffgmm.inference.any_rate import ThroughRate
from diffgmm.inference.streaming import StreamingDenoiser, TrailingGrid
from diffgmm.networks import UNet


class Halving:
    """Takes half of every window, so that what comes out is known."""

    sample_rate = 16000

    def enhance(self, noisy: torch.Tensor, **options: object) -> Enhanced:
        return Enhanced(0.5 * noisy, 0.5 * noisy, noisy)


def network() -> MixtureDenoiser:
    torch.manual_seed(0)
    net = UNet([6, 8], [[4, 1], [4, 1]], features=4, bottleneck="gru", hidden=16, bins=256)
    return MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), net)


def noise(channels: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(samples)
    return (0.1 * rng.standard_normal((channels, samples))).astype(np.float32)


def streamed(stream: StreamingDenoiser, x: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Everything that comes out, without the delay."""
    out, position = [], 0
    while position < x.shape[1]:
        block = x[:, position : position + sizes[len(out) % len(sizes)]]
        out.append(stream.process(block))
        assert out[-1].shape == block.shape and out[-1].dtype == np.float32
        position += block.shape[1]
    out.append(stream.flush())
    assert out[-1].shape == (x.shape[0], stream.latency)
    whole = np.concatenate(out, axis=1)
    assert not whole[:, : stream.latency].any()
    return whole[:, stream.latency :]


@settings(max_examples=20, deadline=None)
@given(
    rate=st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    channels=st.integers(1, 2),
    seconds=st.floats(0.001, 1.3),
    sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=4),
)
def test_as_much_comes_out_on_time_and_in_place(
    rate: int, channels: int, seconds: float, sizes: list[int]
) -> None:
    x = noise(channels, max(1, round(seconds * rate)))
    stream = StreamingDenoiser(Denoiser(Halving()), rate, channels)
    assert stream.latency <= 0.3 * rate
    y = streamed(stream, x, sizes)
    assert y.shape == x.shape
    np.testing.assert_allclose(y, 0.5 * x, atol=0.02 if rate != 16000 else 1e-7)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_blocks_do_not_matter(rate: int) -> None:
    denoiser, x = Denoiser(network()), noise(1, round(1.2 * rate))
    whole = streamed(StreamingDenoiser(denoiser, rate), x, [x.shape[1]])
    pieces = streamed(StreamingDenoiser(denoiser, rate), x, [441, 1, 3000])
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


def test_streaming_is_the_offline_grid() -> None:
    denoiser, x = Denoiser(network()), noise(1, 30000)
    grid = TrailingGrid(denoiser.enhancer(), 1, 16000, align=255)
    path = ThroughRate(16000, 16000, 1, grid)
    offline = np.concatenate([*path.push(x), *path.finish()], axis=1)
    np.testing.assert_array_equal(streamed(StreamingDenoiser(denoiser, 16000), x, [512]), offline)


def test_sampling_is_repeatable_and_strength_mixes_back() -> None:
    denoiser, x = Denoiser(network()), noise(1, 20000)
    first, again = (
        streamed(StreamingDenoiser(denoiser, 16000, nfe=2, estimate="sample", seed=3), x, sizes)
        for sizes in ([700], [5000])
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(
        streamed(StreamingDenoiser(denoiser, 16000, strength=0.0), x, [700]), x, atol=1e-7
    )


def test_one_axis_goes_in_and_out() -> None:
    stream = StreamingDenoiser(Denoiser(Halving()), 16000)
    assert stream.process(np.zeros(100, np.float32)).shape == (100,)


def test_bad_settings_and_blocks_are_refused() -> None:
    denoiser = Denoiser(Halving())
    for options, message in [
        ({"strength": 2.0}, "strength"),
        ({"nfe": 0}, "nfe"),
        ({"channels": 0}, "channels"),
    ]:
        with pytest.raises(ValueError, match=message):
            StreamingDenoiser(denoiser, 16000, **options)  # type: ignore[arg-type]
    stream = StreamingDenoiser(denoiser, 16000, 2)
    with pytest.raises(ValueError, match=r"\[2, samples\]"):
        stream.process(np.zeros((1, 10), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        stream.process(np.full((2, 10), np.nan, np.float32))
