"""Encode and decode are inverses, levels come from the noisy window alone, and presets have their stated shapes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffgmm.diffusion.representation import Complex, Learned, Magnitude, Representation, Waveform, Wiener

BELZ = partial(Magnitude, sample_rate=8000, n_fft=255, hop=63, belz=True)
ALL = {
    "waveform": lambda: Waveform(),
    "complex": lambda: Complex(),
    "complex_half": lambda: Complex(hop=255, window="sqrt_hann"),
    "complex_linear": lambda: Complex(alpha=1.0, beta=0.3),
    "power": lambda: Magnitude(scaling="power"),
    "db": lambda: Magnitude(top_db=120.0),
    "belz": BELZ,
}


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15, deadline=None)
@given(length=st.integers(1, 5000), level=st.floats(-70.0, 0.0), seed=st.integers(0, 99))
def test_round_trip_keeps_samples_length_and_level(name: str, length: int, level: float, seed: int) -> None:
    representation = ALL[name]()
    wave = torch.randn(2, 1, length, generator=torch.Generator().manual_seed(seed)) * 10 ** (level / 20) * 0.3
    context = representation.context(wave)
    encoded = representation.encode(wave, context)
    assert encoded.shape[:2] == (2, representation.channels) and encoded.dim() == 2 + representation.dims
    decoded = representation.decode(encoded, context)
    assert decoded.shape == wave.shape
    floor = 2e-3 if name in ("db", "belz") else 1e-5  # bins below the dB floor are dropped
    assert (decoded - wave).abs().max() <= floor * wave.abs().max()


@pytest.mark.parametrize("name", ALL)
def test_silence_stays_silence_with_finite_gradients(name: str) -> None:
    representation = ALL[name]()
    wave = torch.zeros(1, 1, 3000, requires_grad=True)
    context = representation.context(wave)
    decoded = representation.decode(representation.encode(wave, context), context)
    assert not decoded.any()
    decoded.sum().backward()
    assert wave.grad is not None and torch.isfinite(wave.grad).all()


@pytest.mark.parametrize("name", ALL)
def test_encoding_ignores_the_level_of_the_pair(name: str) -> None:
    representation = ALL[name]()
    noisy, clean = torch.randn(1, 1, 4000), torch.randn(1, 1, 4000)
    a = representation.encode(clean, representation.context(noisy))
    b = representation.encode(0.01 * clean, representation.context(0.01 * noisy))
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("make", "window", "shape"), [(BELZ, 8064, (1, 128, 128)), (Complex, 16384, (2, 256, 129))]
)
def test_settings_of_papers_have_the_stated_shape(
    make: Callable[[], Representation], window: int, shape: tuple[int, ...]
) -> None:
    representation = make()
    wave = torch.randn(1, 1, window)
    assert representation.encode(wave, representation.context(wave)).shape[1:] == shape


def test_belz_scalings_are_the_published_ones() -> None:
    belz = BELZ()
    factor, offset = belz.state_affine
    assert factor * 4.0 + offset == pytest.approx((4.0 + 46.0) / 50.0)
    scale, shift = belz.noise_affine
    assert (88.0 + shift) * scale == pytest.approx((88.0 - 6.0) / 82.0)


def test_compression_is_the_stated_power() -> None:
    wave = torch.randn(1, 1, 4000)
    plain, squeezed = Complex(alpha=1.0), Complex(alpha=0.5, beta=2.0)
    a = plain.encode(wave, plain.context(wave)).square().sum(1).sqrt()
    b = squeezed.encode(wave, squeezed.context(wave)).square().sum(1).sqrt()
    torch.testing.assert_close(b, 2.0 * a.sqrt(), atol=1e-5, rtol=1e-4)


def test_a_linear_representation_makes_n_the_true_noise() -> None:
    for representation in (Waveform(), Complex(alpha=1.0)):
        clean, noise = torch.randn(1, 1, 4000), torch.randn(1, 1, 4000)
        context = representation.context(clean + noise)
        difference = representation.encode(clean + noise, context) - representation.encode(clean, context)
        torch.testing.assert_close(difference, representation.encode(noise, context), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Complex(alpha=0.0),
        lambda: Complex(hop=0),
        lambda: Complex(window="kaiser"),
        lambda: Magnitude(scaling="mel"),
        lambda: Magnitude(scaling="power", belz=True),
        lambda: Waveform(0),
    ],
)
def test_bad_settings_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        bad()  # type: ignore[operator]


@pytest.mark.parametrize("n_fft", [8, 9, 510, 255])
def test_one_sided_bins_stand_for_the_whole_spectrum(n_fft: int) -> None:
    """By Parseval's theorem: only an even length has a bin at half the rate, which has no mirror image."""
    rows = torch.randn(20, n_fft, dtype=torch.float64, generator=torch.Generator().manual_seed(n_fft))
    sides = Complex(n_fft=n_fft, hop=n_fft // 4).sides().double()
    one_sided = (torch.fft.rfft(rows).abs().square() * sides).sum(1) / n_fft
    torch.testing.assert_close(one_sided, rows.square().sum(1))


def test_rules_take_off_what_they_say() -> None:
    noisy, noise = torch.tensor([0.0, -20.0, 5.0]), torch.tensor([6.0, -3.0, 0.0])
    assert Wiener()(noisy, noise).tolist() == [-12.0, -20.0, 5.0]
    learned = Learned(3)
    assert learned(noisy[:, None], noise[:, None])[:, 0].tolist() == [-6.0, -17.0, 5.0]
    with torch.no_grad():
        learned.factor.copy_(torch.tensor([[2.0], [1.0], [0.5]]))
        learned.offset.copy_(torch.tensor([[1.0], [0.0], [-2.0]]))
    assert learned(noisy[:, None], noise[:, None])[:, 0].tolist() == [-13.0, -17.0, 7.0]


def test_the_level_is_the_root_of_the_mean_square() -> None:
    wave = torch.tensor([[[3.0, -4.0, 0.0, 0.0]], [[1e-7, 0.0, 0.0, 0.0]]])
    level = Waveform().context(wave).level.flatten()
    assert level[0] == pytest.approx(2.5) and level[1] == 1.0  # what is silent stays at its level


def test_a_frame_at_the_edge_sees_zeros_beyond_it() -> None:
    part = Complex(n_fft=62, hop=31, window="hann", alpha=1.0)
    wave = torch.randn(1, 1, 155)
    encoded = part.encode(wave, part.context(wave)) * part.context(wave).level
    taps = torch.hann_window(62, dtype=torch.float64)
    first = torch.cat([torch.zeros(31), wave[0, 0, :31]]).double() * taps
    wanted = torch.fft.rfft(first) / taps.square().sum().sqrt()
    found = torch.view_as_complex(encoded[0].permute(1, 2, 0).contiguous())[:, 0]
    assert torch.allclose(found.to(wanted.dtype), wanted, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 30, 31, 32, 100, 155])
def test_frames_cover_the_last_sample(samples: int) -> None:
    part = Complex(n_fft=62, hop=31)
    wave = torch.randn(1, 1, samples)
    assert part.encode(wave, part.context(wave)).shape == (1, 2, 32, -(-samples // 31) + 1)


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("size", [1e-9, 1e-7, 1e-5, 1.0])
def test_the_smallest_values_come_back(alpha: float, size: float) -> None:
    """Below the floor of the squared magnitude the map is linear, and its inverse has to be the same line."""
    part = Complex(n_fft=62, hop=31, window="sqrt_hann", alpha=alpha, beta=0.7)
    wave = torch.zeros(1, 1, 310)
    wave[0, 0, 100] = 1.0
    context = part.context(wave)
    quiet = size * wave
    found = part.decode(part.encode(quiet, context), context)
    assert torch.allclose(found, quiet, rtol=1e-3, atol=1e-4 * size)


def test_the_units_of_the_network_in_db() -> None:
    """-80 dB to 0 dB of a state are -1 to 1; a noise of 0 dB is 0; Belz's are his own."""
    part = Magnitude(top_db=80.0)
    assert part.state_affine == (0.025, 1.0) and part.noise_affine == (0.025, 0.0)
    belz = Magnitude(belz=True)
    assert belz.state_affine == (1 / 50, 46 / 50) and belz.noise_affine == (1 / 82, -6.0)


def test_the_reference_of_the_clean_spectrogram() -> None:
    noisy = torch.randn(1, 1, 4000)
    clean = 0.1 * noisy  # 20 dB below
    for reference, gap in (("noisy", 20.0), ("own", 0.0)):
        part = Magnitude(reference=reference)
        target = part.target(clean, part.context(noisy))
        assert target.max().item() == pytest.approx(-gap, abs=1e-3)


def test_an_estimate_far_above_full_scale_stays_finite() -> None:
    part = Magnitude()
    wave = torch.randn(1, 1, 4000)
    context = part.context(wave)
    wild = torch.full_like(part.encode(wave, context), 1e4)
    assert torch.isfinite(part.decode(wild, context)).all()


def test_the_phase_of_silence_is_one() -> None:
    wave = torch.zeros(1, 1, 4000)
    wave[0, 0, 3000:] = torch.randn(1000)
    phase = Magnitude().context(wave).phase
    assert phase is not None and torch.allclose(phase.abs(), torch.ones(()), atol=1e-5)
