"""Generated noises: finite, of unit power, from the generator alone, every draw another, with what they promise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from data_modules.mixing import coloured_noise, tones
from diffgmm.utils.random import window_rng

Make = Callable[[int, int, np.random.Generator], np.ndarray]
KINDS: list[Make] = [
    coloured_noise.shaped_noise,
    coloured_noise.band_noise,
    coloured_noise.motor,
    coloured_noise.draw_coloured,
    tones.beeps,
    tones.siren,
    tones.bell,
    tones.insects,
    tones.draw_tones,
]


def spectrum(samples: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_unit_power_and_the_same_from_the_same_generator(make: Make, rate: int) -> None:
    silent = 0
    for number in range(12):
        one, two = (make(4001, rate, window_rng(number)) for _ in range(2))
        assert one.shape == (4001,)
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
        assert np.array_equal(one, two)
        assert not np.array_equal(one, make(4001, rate, window_rng(number, 1))) or not one.any()
        silent += not one.any()
        if one.any():
            assert np.mean(one**2) == pytest.approx(1.0, rel=1e-3)
    assert silent <= 4  # a short window may fall between two beeps or strokes


@pytest.mark.parametrize("make", [tones.beeps, tones.siren, tones.bell, tones.insects])
def test_pitch_is_not_folded_at_half_the_rate(make: Make) -> None:
    """Between 47 and 50 % of the rate there is nothing but skirts: partials are left out before they fold."""
    shares = []
    for number in range(40):
        power = spectrum(make(16384, 16000, window_rng(number)))
        shares.append(power[int(0.98 * len(power)) :].sum() / max(power.sum(), 1e-9))
    assert np.median(shares) < 1e-3


def test_tones_stand_out_and_noises_do_not() -> None:
    def peakiness(make: Make, number: int) -> float:
        power = spectrum(make(16384, 16000, window_rng(number)))
        return float(
            np.sort(power)[-40:].sum() / max(power.sum(), 1e-9)
        )  # share of the strongest 0.5 % of bins

    tonal = [peakiness(make, number) for make in (tones.beeps, tones.bell) for number in range(20)]
    noisy = [peakiness(coloured_noise.shaped_noise, number) for number in range(20)]
    assert np.median(tonal) > 0.5
    assert np.median(noisy) < 0.3


def test_spectral_shapes_differ_from_draw_to_draw() -> None:
    edges = [100, 200, 400, 800, 1600, 3200, 6400]
    levels = []
    for number in range(30):
        power = spectrum(coloured_noise.shaped_noise(16000, 16000, window_rng(number)))
        levels.append([10 * np.log10(power[low : 2 * low].mean()) for low in edges])
    assert np.std(levels, axis=0).min() > 4.0


def test_pulsing_changes_the_level_in_time() -> None:
    noise = coloured_noise.coloured_noise(32000, 16000, 0.0, window_rng(1))
    depths = []
    for number in range(20):
        frames = coloured_noise.pulsing(noise, 16000, window_rng(number)).reshape(-1, 160)
        depths.append(np.std(10 * np.log10((frames**2).mean(1))))
    assert np.median(depths) > 2.0
