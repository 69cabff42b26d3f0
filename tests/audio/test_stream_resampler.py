"""The stream resampler: right values, right length, pieces do not matter, the delay it states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffgmm.audio.signal import FirResampler

PAIRS = [(8000, 16000), (44100, 16000), (16000, 44100), (48000, 16000), (16000, 11025), (96000, 16000)]


def tone(hertz: float, rate: int, samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(samples) / rate)


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
@pytest.mark.parametrize("share", [0.02, 0.8])
def test_a_tone_stays_that_tone(from_rate: int, to_rate: int, share: float) -> None:
    hertz = share * min(from_rate, to_rate) / 2
    fade = np.hanning(from_rate)
    x = (tone(hertz, from_rate, from_rate) * fade).astype(np.float32)[None]
    y = FirResampler(from_rate, to_rate, 1).push(x, last=True)[0]
    assert len(y) == to_rate
    seconds = np.arange(to_rate) / to_rate
    expected = tone(hertz, to_rate, to_rate) * np.interp(seconds, np.arange(from_rate) / from_rate, fade)
    np.testing.assert_allclose(y, expected, atol=2e-4)


@pytest.mark.parametrize(("from_rate", "to_rate"), [pair for pair in PAIRS if pair[1] < pair[0]])
def test_what_the_new_rate_cannot_hold_is_taken_out(from_rate: int, to_rate: int) -> None:
    x = tone(0.55 * to_rate, from_rate, from_rate).astype(np.float32)[None]
    y = FirResampler(from_rate, to_rate, 1).push(x)
    assert np.abs(y[:, 500:]).max() < 1e-3  # -60 dB


@settings(max_examples=30, deadline=None)
@given(
    pair=st.sampled_from(PAIRS), sizes=st.lists(st.integers(0, 4000), min_size=1, max_size=8), data=st.data()
)
def test_pieces_do_not_matter_and_come_in_time(
    pair: tuple[int, int], sizes: list[int], data: st.DataObject
) -> None:
    x = np.random.default_rng(len(sizes)).standard_normal((2, sum(sizes))).astype(np.float32)
    resampler, out, heard = FirResampler(*pair, 2), [], 0
    for size in sizes:
        out.append(resampler.push(x[:, heard : heard + size]))
        heard += size
        there = sum(piece.shape[1] for piece in out)
        assert there / pair[1] >= heard / pair[0] - resampler.delay - 1 / pair[1]
    out.append(resampler.push(x[:, :0], last=True))
    whole = FirResampler(*pair, 2).push(x, last=True)
    assert whole.shape == (2, -(-x.shape[1] * pair[1] // pair[0]))
    np.testing.assert_array_equal(np.concatenate(out, axis=1), whole)
