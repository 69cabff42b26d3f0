"""Augmentations: the target stays aligned and consistent, and each does what it is there for."""

from __future__ import annotations

import numpy as np
import pytest
from data_corpus import RATE, hiss, pools, real_or_made, voice
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.augment import (
    Augmentation,
    BandLimit,
    Clip,
    Codec,
    NoiseSpeed,
    NoiseTilt,
    Offset,
    Quantise,
    Reverb,
    Scene,
    SpectralTilt,
    Speed,
)
from data_modules.augment.reverb import room_bank
from data_modules.errors import DataError
from data_modules.mixing.mixer import Mixer, Mixing
from data_modules.pools.pool import Pool
from diffgmm.utils.random import window_rng

ALL: list[Augmentation] = [
    Speed(1.0),
    NoiseSpeed(1.0),
    NoiseTilt(1.0),
    SpectralTilt(1.0),
    Reverb(1.0, rooms=16, noise=0.5),
    BandLimit(1.0),
    Clip(1.0),
    Quantise(1.0),
    Offset(1.0),
    Codec(1.0, {"mu_law": 1.0, "adpcm": 1.0, "gsm": 1.0, "mp3": 1.0}),
]
ADDITIVE = [one for one in ALL if one.stage != "noisy"]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pool, Pool]:
    folder = tmp_path_factory.mktemp("augment")
    return pools(real_or_made(folder / "corpus"), "train", folder / "cache")


def lag(clean: np.ndarray, noisy: np.ndarray) -> int:
    """Where the cross-correlation of two signals peaks, in samples."""
    size = 2 * len(clean)
    product = np.fft.rfft(noisy, size) * np.conj(np.fft.rfft(clean, size))
    at = int(np.argmax(np.fft.irfft(product, size)))
    return at if at < size // 2 else at - size


@pytest.mark.parametrize("augmentation", ALL, ids=lambda one: type(one).__name__)
def test_target_stays_aligned_and_finite(train: tuple[Pool, Pool], augmentation: Augmentation) -> None:
    mixer = Mixer(*train, Mixing(snr=(8.0, 20.0), noise_only=0.0, clean_only=0.0), [augmentation])
    for number in range(12):
        mixture = mixer.draw(window_rng(number), 16384)
        assert np.isfinite(mixture.noisy).all()
        assert np.isfinite(mixture.clean).all()
        assert mixture.noisy.dtype == mixture.clean.dtype == np.float32
        assert lag(mixture.clean, mixture.noisy) == 0


def test_everything_at_once(train: tuple[Pool, Pool]) -> None:
    for chain in (ALL, ADDITIVE):
        mixer = Mixer(*train, Mixing(), chain)
        for number in range(20):
            mixture = mixer.draw(window_rng(9, number), 16384)
            assert mixture.noisy.shape == mixture.clean.shape == (16384,)
            assert np.isfinite(mixture.noisy).all()
            assert np.max(np.abs(mixture.noisy)) <= 1.2  # decoders overshoot a little
            if chain is ADDITIVE:
                assert np.allclose(mixture.noisy - mixture.clean, mixture.noise, atol=1e-6)


def above(samples: np.ndarray, low: float, high: float = RATE / 2) -> float:
    """Energy in a band relative to all, in dB."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(10 * np.log10(power[(frequency >= low) & (frequency < high)].sum() / power.sum() + 1e-20))


@pytest.mark.parametrize(("low", "high"), [(300.0, 3400.0), (0.0, 4000.0), (0.0, 5500.0), (0.0, 7000.0)])
def test_band_limit_takes_speech_and_noise(low: float, high: float) -> None:
    scene = Scene(RATE, hiss(5, 1.0), hiss(10, 1.0), hiss(15, 1.0))
    BandLimit(1.0, ((low, high),)).apply(scene, window_rng(1))
    for part in (scene.speech, scene.noise, scene.late):
        assert part is not None
        assert above(part, high + 20) < -60
        if low:
            assert above(part, 0, 0.55 * low) < -45
        assert above(part, low, high) > -0.3


def test_band_limit_above_the_rate_changes_nothing() -> None:
    scene = Scene(8000, hiss(1, 1.0), hiss(2, 1.0))
    before = scene.speech.copy()
    BandLimit(1.0, ((0.0, 4000.0), (0.0, 7000.0))).apply(scene, window_rng(1))
    assert np.array_equal(scene.speech, before)


@given(factor=st.floats(0.6, 1.7), samples=st.integers(4000, 20000))
@settings(max_examples=30, deadline=None)
def test_speed_moves_the_pitch(factor: float, samples: int) -> None:
    speed = Speed(1.0, (factor, factor))
    tone = np.sin(2 * np.pi * 1000.0 * np.arange(int(np.ceil(samples * speed.stretch))) / RATE).astype(
        np.float32
    )
    out = speed.reshape(tone, RATE, window_rng(1))
    assert samples <= len(out)
    middle = out[500 : samples - 500] * np.hanning(samples - 1000)
    peak = np.argmax(np.abs(np.fft.rfft(middle, 2**17))) * RATE / 2**17
    assert peak == pytest.approx(1000.0 * factor, rel=0.03)
    assert np.max(np.abs(out[500 : samples - 500])) == pytest.approx(1.0, abs=0.05)


def test_equaliser_treats_speech_and_noise_apart() -> None:
    speech = hiss(5, 1.0)
    scene = Scene(RATE, speech, speech.copy(), speech.copy())
    SpectralTilt(1.0).apply(scene, window_rng(2))
    assert scene.late is not None
    assert np.allclose(scene.late, scene.speech, atol=1e-6)
    assert np.max(np.abs(scene.noise - scene.speech)) > 0.01


def test_noise_tilt_gives_a_clip_many_colours() -> None:
    sound = hiss(5, 1.0)
    tilted = [NoiseTilt(1.0).reshape(sound, RATE, window_rng(number)) for number in range(10)]
    assert all(one.shape == sound.shape for one in tilted)
    assert np.std([above(one, 0.0, 1000.0) for one in tilted]) > 1.0


def test_noise_augmentations_leave_the_voice_alone(train: tuple[Pool, Pool]) -> None:
    mixing = Mixing(snr=(5.0, 5.0), noises=(1.0,), babble=0.0, coloured=0.0, noise_only=0.0, clean_only=0.0)
    for augmentation in (NoiseSpeed(1.0), NoiseTilt(1.0)):
        plain = Mixer(*train, mixing).draw(window_rng(4), 16384)
        other = Mixer(*train, mixing, [augmentation]).draw(window_rng(4), 16384)
        scale = np.dot(other.clean, plain.clean) / np.dot(plain.clean, plain.clean)
        assert np.allclose(other.clean, scale * plain.clean, atol=1e-5)
        assert not np.allclose(other.noise, scale * plain.noise, atol=1e-3)


def test_rooms_keep_the_direct_sound_first() -> None:
    bank = room_bank(RATE, (0.15, 0.8), (-3.0, 15.0), 0.05, 16, 0)
    assert bank is room_bank(RATE, (0.15, 0.8), (-3.0, 15.0), 0.05, 16, 0)
    for room in bank:
        assert room.dtype == np.float32
        assert room[0, 0] == 1.0
        assert np.max(np.abs(room.sum(0)[1:])) <= 0.71
        early_end = int(0.053 * RATE)
        assert not room[0, early_end:].any()
        assert not room[1, : int(0.047 * RATE)].any()
        assert np.sum(room[:, 1:] ** 2) <= 10**0.31


def test_reverberation_splits_into_target_and_noise() -> None:
    speech = voice(3, 1.0)
    scene = Scene(RATE, speech.copy(), np.zeros_like(speech))
    rng = window_rng(1)
    reverb = Reverb(1.0, rooms=8)
    reverb.apply(scene, rng)
    room = reverb.bank(RATE)[int(window_rng(1).integers(8))]
    want = np.convolve(speech, room.sum(0))[: len(speech)]
    assert scene.late is not None
    assert np.allclose(scene.speech + scene.late, want, atol=1e-4)


def test_clipping_and_quantising_leave_the_target_alone(train: tuple[Pool, Pool]) -> None:
    plain = Mixer(*train, Mixing()).draw(window_rng(4), 16384)
    for augmentation in (Clip(1.0), Quantise(1.0), Codec(1.0, {"adpcm": 1.0})):
        damaged = Mixer(*train, Mixing(), [augmentation]).draw(window_rng(4), 16384)
        assert np.array_equal(damaged.clean, plain.clean)
        assert not np.array_equal(damaged.noisy, plain.noisy)


def test_an_offset_moves_the_noisy_signal_alone(train: tuple[Pool, Pool]) -> None:
    plain = Mixer(*train, Mixing()).draw(window_rng(4), 16384)
    for level in (-20.0, 6.0, 60.0):
        moved = Mixer(*train, Mixing(), [Offset(1.0, (level, level))]).draw(window_rng(4), 16384)
        assert np.array_equal(moved.clean, plain.clean)
        difference = moved.noisy - plain.noisy
        assert np.ptp(difference) < 1e-6 and np.max(np.abs(moved.noisy)) <= 1.0
        reached = 20 * np.log10(abs(float(difference[0])) / np.sqrt(np.mean(plain.noisy**2)))
        assert reached == pytest.approx(level, abs=0.01) or np.max(np.abs(moved.noisy)) > 0.999


@pytest.mark.parametrize(
    "make",
    [
        lambda: Speed(1.5),
        lambda: Speed(0.5, (1.1, 0.9)),
        lambda: Speed(0.5, (0.1, 0.9)),
        lambda: BandLimit(0.5, ((4000.0, 300.0),)),
        lambda: Reverb(0.5, rt60=(0.0, 0.5)),
        lambda: Clip(0.5, (0.0, 0.5)),
        lambda: Quantise(0.5, bits=(1, 8)),
        lambda: Codec(0.5, {"mp4": 1.0}),
        lambda: Offset(0.5, (3.0, -3.0)),
        lambda: Codec(0.5, {"mp3": 0.0}),
        lambda: Reverb(0.5, noise=2.0),
        lambda: NoiseSpeed(0.5, (0.1, 1.0)),
        lambda: NoiseTilt(0.5, (1.0, -1.0)),
        lambda: SpectralTilt(-0.1),
    ],
)
def test_impossible_settings_are_refused(make: object) -> None:
    with pytest.raises(DataError):
        make()  # type: ignore[operator]
