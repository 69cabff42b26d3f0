"""Formants move, pitch, length and silence stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from data_modules.augment.filters import Formants, move_formants
from data_modules.errors import DataError

RATE = 16000


def vowel(formant: float, pitch: float = 125.0, seconds: float = 1.0) -> np.ndarray:
    """Pulses through one resonance."""
    x = np.zeros(int(RATE * seconds))
    x[:: int(RATE / pitch)] = 1.0
    radius = np.exp(-np.pi * 120.0 / RATE)
    poles = [1.0, -2.0 * radius * np.cos(2 * np.pi * formant / RATE), radius**2]
    return np.asarray(signal.lfilter([1.0 - radius], poles, x), np.float32)


def peak(x: np.ndarray) -> float:
    """Frequency of the highest harmonic's neighbourhood, by a smooth spectrum."""
    frequency, power = signal.welch(x, RATE, nperseg=128)
    return float(frequency[power.argmax()])


def pitch(x: np.ndarray) -> int:
    """Period in samples by autocorrelation, between 60 and 300 Hz."""
    x = x[4000:12000]
    lags = np.arange(RATE // 300, RATE // 60)
    return int(lags[np.argmax([np.dot(x[:-lag], x[lag:]) for lag in lags])])


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_formant_moves_and_pitch_stays(factor: float) -> None:
    x = vowel(1600.0)
    moved = move_formants(x, RATE, factor)
    assert peak(x) == pytest.approx(1600.0, abs=130.0)
    assert peak(moved) == pytest.approx(1600.0 * factor, abs=190.0)
    assert pitch(moved) == pitch(x) == RATE // 125


def test_factor_one_changes_nothing() -> None:
    x = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    assert np.allclose(move_formants(x, RATE, 1.0), x, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.sampled_from([8000, 16000, 44100]), st.floats(0.5, 2.0), st.floats(-6, 0))
def test_any_length_rate_and_level(samples: int, rate: int, factor: float, level: float) -> None:
    x = (10.0**level * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)
    y = move_formants(x, rate, factor)
    assert y.shape == x.shape
    assert y.dtype == np.float32
    assert np.isfinite(y).all()
    assert np.abs(y).max() <= 20.0 * np.abs(x).max()
    assert not move_formants(np.zeros_like(x), rate, factor).any()


def test_is_a_function_of_the_generator() -> None:
    x = vowel(900.0, seconds=0.3)
    first, again = (Formants().reshape(x, RATE, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, Formants().reshape(x, RATE, np.random.default_rng(4)))


@pytest.mark.parametrize("factor", [(1.2, 0.9), (0.2, 1.0), (1.0, 3.0)])
def test_nonsense_is_refused(factor: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="factor"):
        Formants(factor=factor)
