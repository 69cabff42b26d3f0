"""What a user gets wrong in Python is said, and a few samples are dealt with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diffgmm.inference import Denoiser
from diffgmm.inference.streaming import StreamingDenoiser

RATE = 16000


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser.from_pretrained("small")


X = np.random.default_rng(0).uniform(-0.3, 0.3, 4000).astype(np.float32)
WRONG: list[tuple[str, Any]] = [
    *[(name, value) for name in ("seed", "nfe", "samples", "substeps") for value in ("3", 1.5, -1, np.nan, True, [1])],
    *[("strength", value) for value in ("0.5", None, np.nan, 1.5, -0.1, [1])],
    *[(name, value) for name in ("temperature", "grid_power") for value in ("a", 0, np.nan, np.inf)],
    ("seed", None), ("estimate", "median"), ("estimate", ["mean"]), ("solver", 3), ("nfe", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
@pytest.mark.parametrize("call", ["denoise", "stream", "uncertain", "draws"])
def test_wrong_settings_are_value_errors_that_name_them(
    denoiser: Denoiser, call: str, name: str, value: Any
) -> None:
    if (call, name) in (("uncertain", "strength"), ("draws", "estimate"), ("draws", "samples")):
        pytest.skip("no such setting there")
    options = {name: value}
    with pytest.raises(ValueError, match=name):
        if call == "denoise":
            denoiser.denoise(X, RATE, **options)
        elif call == "stream":
            StreamingDenoiser(denoiser, RATE, **options)
        elif call == "uncertain":
            denoiser.denoise_with_uncertainty(X, RATE, **options)
        else:
            denoiser.posterior_samples(X, RATE, 2, **options)


@pytest.mark.parametrize("rate", ["48000", None, np.nan, 0, -1, 44100.5])
def test_wrong_rates(denoiser: Denoiser, rate: Any) -> None:
    with pytest.raises(ValueError, match="sample_rate"):
        denoiser.denoise(X, rate)


def test_a_transposed_recording_is_refused_with_the_way_out(denoiser: Denoiser) -> None:
    stereo = np.stack([X, X], axis=1)
    for call in (denoiser.denoise, denoiser.denoise_with_uncertainty):
        with pytest.raises(ValueError, match=r"\[samples, channels\]: transpose it \(x.T\)"):
            call(stereo, RATE)
    assert denoiser.denoise(stereo.T, RATE).shape == (2, 4000)
    assert denoiser.denoise(X[:1].reshape(1, 1).repeat(8, 0), RATE).shape == (8, 1)


def test_integers_are_refused_in_streams_too(denoiser: Denoiser) -> None:
    with pytest.raises(ValueError, match="float samples"):
        StreamingDenoiser(denoiser, RATE).process((X * 32767).astype(np.int16))


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("rate", [16000, 44100, 48000, 192000])
def test_uncertainty_of_a_few_samples(denoiser: Denoiser, samples: int, rate: int) -> None:
    told = denoiser.denoise_with_uncertainty(X[:samples], rate)
    assert told.waveform.shape == told.std.shape == told.confidence.shape == (samples,)
    assert np.isfinite(told.std).all() and (told.std >= 0).all() and (told.confidence <= 1).all()


@pytest.mark.parametrize("channels", [0, 1, 2])
def test_a_stream_ends_in_the_shape_it_had(denoiser: Denoiser, channels: int) -> None:
    stream = StreamingDenoiser(denoiser, RATE, max(1, channels))
    block = X if channels == 0 else np.stack([X] * channels)
    assert stream.process(block).shape == block.shape
    assert stream.flush().shape == (*block.shape[:-1], stream.latency)
    for use in (lambda: stream.process(block), stream.flush):
        with pytest.raises(ValueError, match=r"ended with flush\(\)"):
            use()
