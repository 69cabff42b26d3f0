"""An offset in a recording costs nothing, and a recording without one isn't touched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffgmm.audio import resample
from diffgmm.inference import Denoiser
from diffgmm.inference.drift import without_drift
from diffgmm.inference.streaming import StreamingDenoiser
from diffgmm.metrics.si_sdr import si_sdr

RATE = 16000


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser.from_pretrained("small")


@pytest.mark.parametrize("offset", [0.003, -0.03, 0.3])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_an_offset_costs_nothing(
    denoiser: Denoiser, pair: tuple[np.ndarray, np.ndarray], offset: float, rate: int
) -> None:
    """A voice at about -45 dBFS; before, an offset 10 dB above it took 4 dB of the improvement."""
    clean, noisy = (resample(np.float32(0.05) * x[None], RATE, rate)[0] for x in pair)
    plain = si_sdr(denoiser.denoise(noisy, rate), clean, rate)
    moved = noisy + np.float32(offset)
    y = denoiser.denoise(moved, rate)
    assert si_sdr(y, clean, rate) > plain - 0.2
    assert abs(y.mean()) < 0.02 * abs(offset)
    live = StreamingDenoiser(denoiser, rate)
    late = np.concatenate([live.process(moved), live.flush()])[live.latency :]
    assert si_sdr(late, clean, rate) > plain - 1.5


def test_what_is_told_of_uncertainty_is_of_the_sound_without_offset(
    denoiser: Denoiser, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    noisy = np.float32(0.05) * pair[1]
    plain = denoiser.denoise_with_uncertainty(noisy, RATE, bins=False)
    moved = denoiser.denoise_with_uncertainty(noisy + np.float32(0.3), RATE, bins=False)
    assert np.mean(moved.std) == pytest.approx(np.mean(plain.std), rel=0.05)


def test_blocks_do_not_matter_with_an_offset(denoiser: Denoiser, pair: tuple[np.ndarray, np.ndarray]) -> None:
    moved = np.tile(pair[1], 3)[None, : 5 * RATE] * np.float32(0.05) + np.float32(0.1)
    whole = denoiser.denoise(moved, RATE)
    pieces = np.split(moved, [1, 3000, 3001, 50000], axis=1)
    np.testing.assert_array_equal(np.concatenate([*denoiser.denoise_blocks(pieces, RATE, 1)], axis=1), whole)
    live = [StreamingDenoiser(denoiser, RATE) for _ in range(2)]
    at_once = np.concatenate([live[0].process(moved), live[0].flush()], axis=1)
    in_pieces = np.concatenate([*(live[1].process(piece) for piece in pieces), live[1].flush()], axis=1)
    np.testing.assert_array_equal(in_pieces, at_once)


def test_weak_offsets_are_left_alone_and_steps_and_drifts_go(pair: tuple[np.ndarray, np.ndarray]) -> None:
    rows = pair[1][None].copy()
    assert without_drift(rows, RATE) is rows
    moved = rows + np.float32(0.05 * rows.std())
    assert without_drift(moved, RATE) is moved
    t = np.arange(rows.shape[1]) / RATE
    for offset in (np.ones_like(t), np.where(t < 1.25, 0.0, 1.0), t, np.sin(2 * np.pi * 0.2 * t)):
        flat = without_drift(rows + (3 * rows.std() * offset).astype(np.float32), RATE)
        assert flat.dtype == np.float32
        assert abs(flat.std() - rows.std()) < 0.25 * rows.std()
    both = np.concatenate([rows, rows + np.float32(0.3)])
    np.testing.assert_array_equal(without_drift(both, RATE)[0], rows[0])
    assert np.abs(without_drift(np.full((1, RATE), 0.1, np.float32), RATE)).max() < 1e-6


@settings(max_examples=100, deadline=None)
@given(samples=st.integers(1, 4 * RATE), seed=st.integers(0, 2**32 - 1), hertz=st.floats(50, 8000))
def test_sound_without_an_offset_stays_bit_for_bit(samples: int, seed: int, hertz: float) -> None:
    rng = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * (hertz * np.arange(samples) / RATE + rng.uniform()))
    for sound in (rng.standard_normal(samples), tone, tone + 0.1 * rng.standard_normal(samples)):
        rows = (0.1 * sound[None]).astype(np.float32)
        assert without_drift(rows, RATE) is rows
