"""The mixture of voice and noises: levels are what was asked for, and noisy = clean + noise."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from data_corpus import RATE, hiss, pools, real_or_made, voice
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.augment import Clip, Codec, Quantise, SpectralTilt
from data_modules.errors import DataError
from data_modules.mixing import sounds
from data_modules.mixing.coloured_noise import coloured_noise
from data_modules.mixing.mixer import Mixer
from data_modules.mixing.options import Mixing, belz_blend
from data_modules.mixing.textures import steady_stretch, texture
from data_modules.pools.build import open_pool
from data_modules.pools.pool import Pool
from data_modules.pools.sources import Item
from diffgmm import audio
from diffgmm.audio.levels import active_level, at_factor, at_snr, frame_powers, to_mono
from diffgmm.utils.random import window_rng


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pool, Pool]:
    folder = tmp_path_factory.mktemp("mixing")
    return pools(real_or_made(folder / "corpus"), "train", folder / "cache")


def test_active_level_leaves_pauses_out() -> None:
    tone = np.sin(np.arange(RATE) * 0.3).astype(np.float32) * 0.1
    paused = np.concatenate([tone, np.zeros(3 * RATE, np.float32)])
    assert active_level(tone, RATE) == pytest.approx(-20 - 3.01, abs=0.05)
    assert active_level(paused, RATE) == pytest.approx(active_level(tone, RATE), abs=0.01)
    assert active_level(np.zeros(RATE, np.float32), RATE) == -math.inf
    assert active_level(np.zeros(0, np.float32), RATE) == -math.inf
    assert math.isfinite(active_level(tone[:7], RATE))


@given(
    snr=st.floats(-20, 40),
    level=st.floats(-60, -1),
    seed=st.integers(0, 50),
    gain=st.floats(1e-4, 10),
)
@settings(max_examples=60, deadline=None)
def test_ratio_and_level_are_as_asked(snr: float, level: float, seed: int, gain: float) -> None:
    speech, noise = voice(seed, 0.6), hiss(seed, 0.6) * np.float32(gain)
    clean, scaled, reached = at_snr(speech, noise, RATE, snr, level)
    assert reached == pytest.approx(snr, abs=1e-6)
    assert active_level(clean, RATE) - active_level(scaled, RATE) == pytest.approx(snr, abs=0.1)
    assert max(np.max(np.abs(clean + scaled)), np.max(np.abs(clean))) <= 0.9901
    got = active_level(clean, RATE)
    assert got <= level + 0.1
    if np.max(np.abs(clean + scaled)) < 0.98:
        assert got == pytest.approx(level, abs=0.1)


@given(offset=st.floats(-0.5, 0.5), seed=st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_an_offset_has_no_say_in_levels(offset: float, seed: int) -> None:
    speech, noise = voice(seed, 0.6), 0.1 * hiss(seed, 0.6)
    moved = speech + np.float32(offset)
    assert active_level(moved, RATE) == pytest.approx(active_level(speech, RATE), abs=0.1)
    assert active_level(np.full(RATE, 0.25, np.float32), RATE) == -math.inf
    clean, scaled, reached = at_snr(moved, noise + np.float32(offset), RATE, 5.0, -30.0)
    assert reached == pytest.approx(5.0, abs=1e-6)
    assert active_level(clean, RATE) - active_level(scaled, RATE) == pytest.approx(5.0, abs=0.1)


def test_pools_hold_no_offset_and_no_cancelled_stereo(tmp_path: Path) -> None:
    sound = voice(1, 0.6)
    audio.write(tmp_path / "offset.wav", sound[None] + np.float32(0.2), RATE)
    audio.write(tmp_path / "phase.wav", np.stack([sound, -0.98 * sound]), RATE)
    audio.write(tmp_path / "plain.wav", sound[None], RATE)
    items = [
        Item("train", "speech", name, str(tmp_path / f"{name}.wav")) for name in ("offset", "phase", "plain")
    ]
    pool = open_pool(items, RATE, tmp_path / "cache")
    assert not pool.skipped
    for clip in range(3):
        assert np.allclose(pool.read(clip), sound, atol=1e-3)
    independent = np.stack([hiss(1, 0.5), hiss(2, 0.5)])
    assert np.allclose(to_mono(independent), independent.mean(0))


def test_silence_in_either_part() -> None:
    silence = np.zeros(RATE, np.float32)
    clean, noise, snr = at_snr(silence, hiss(1, 1.0), RATE, 5.0, -30.0)
    assert not clean.any()
    assert active_level(noise, RATE) == pytest.approx(-30.0, abs=0.1)
    assert math.isnan(snr)
    clean, noise, snr = at_snr(voice(1, 1.0), silence, RATE, 5.0, -30.0)
    assert not noise.any()
    assert active_level(clean, RATE) == pytest.approx(-30.0, abs=0.1)
    assert math.isnan(snr)
    for part in at_snr(silence, silence, RATE, 5.0, -30.0)[:2]:
        assert not part.any()


def test_windows_hold_what_they_promise(train: tuple[Pool, Pool]) -> None:
    mixing = Mixing(noise_only=0.1, clean_only=0.1, babble=0.2, coloured=0.2, noises=(0.4, 0.3, 0.3))
    mixer = Mixer(*train, mixing)
    ratios, silent, pure = [], 0, 0
    for number in range(300):
        mixture = mixer.draw(window_rng(1, number), 16384)
        for part in (mixture.noisy, mixture.clean, mixture.noise):
            assert part.dtype == np.float32
            assert part.shape == (16384,)
            assert np.isfinite(part).all()
            assert np.max(np.abs(part)) <= 1.6
        assert np.max(np.abs(mixture.noisy)) <= 0.9901
        assert np.allclose(mixture.noisy - mixture.clean, mixture.noise, atol=1e-6)
        silent += not mixture.clean.any()
        pure += not mixture.noise.any()
        assert (mixture.group == -1) == (not mixture.clean.any())
        if math.isnan(mixture.snr):
            assert not mixture.clean.any() or not mixture.noise.any()
        else:
            got = active_level(mixture.clean, RATE) - active_level(mixture.noise, RATE)
            assert got == pytest.approx(mixture.snr, abs=0.1)
            ratios.append(mixture.snr)
    assert 10 <= silent <= 60
    assert 10 <= pure <= 60
    assert -5.0 <= min(ratios) < 0.0
    assert 15.0 < max(ratios) <= 20.0


def test_factor_keeps_recorded_levels() -> None:
    speech, noise = 0.5 * voice(1, 1.0), 0.5 * hiss(1, 1.0)
    clean, scaled, snr = at_factor(speech, noise, RATE, 0.5)
    assert np.array_equal(clean, speech)
    assert np.allclose(scaled, 0.5 * noise)
    assert snr == pytest.approx(active_level(speech, RATE) - active_level(0.5 * noise, RATE), abs=1e-3)
    assert math.isnan(at_factor(speech, 0.0 * noise, RATE, 0.5)[2])
    loud, rest, _ = at_factor(3.0 * speech, 3.0 * noise, RATE, 0.8)
    assert np.max(np.abs(loud + rest)) <= 0.9901
    assert np.allclose(rest / 2.4 * 3.0, noise * np.max(loud) / np.max(speech), atol=1e-5)


def test_belz_blend_is_voice_plus_factor_times_noise(train: tuple[Pool, Pool]) -> None:
    mixer = Mixer(*train, belz_blend())
    levels = {round(float(level), 1) for level in train[0].level}
    assert len(levels) > 1
    ratios = []
    for number in range(60):
        mixture = mixer.draw(window_rng(number), 16384)
        assert np.allclose(mixture.noisy, mixture.clean + mixture.noise, atol=1e-6)
        assert mixture.group >= 0
        ratios.append(mixture.snr)
    # Levels are the recordings' own, so ratios differ by far more than the factor does (12 dB).
    assert np.nanmax(ratios) - np.nanmin(ratios) > 15.0


def test_noise_level_holds_generated_noises_at_a_level(train: tuple[Pool, Pool]) -> None:
    mixing = Mixing(
        noise_level=(0.5, 0.5), noises=(1.0,), babble=0.3, coloured=0.4, tones=0.3, envelope=0.0, noise_only=1.0,
        clean_only=0.0,
    )  # fmt: skip
    mixer = Mixer(*train, mixing)
    for number in range(20):
        mixture = mixer.draw(window_rng(number), 16384)
        assert active_level(mixture.noise, RATE) == pytest.approx(-32.0, abs=0.1)


def test_silence_is_silence(train: tuple[Pool, Pool]) -> None:
    chain = [Codec(1.0), Clip(1.0), Quantise(1.0), SpectralTilt(1.0)]
    mixer = Mixer(*train, Mixing(silence=0.3, noise_only=0.3, clean_only=0.3), chain)
    kinds = []
    for number in range(80):
        mixture = mixer.draw(window_rng(number), 2048)
        assert np.isfinite(mixture.noisy).all()
        kinds.append((bool(mixture.clean.any()), bool(mixture.noise.any())))
        if kinds[-1] == (False, False):
            assert not mixture.noisy.any()
            assert math.isnan(mixture.snr)
    for kind in ((False, False), (False, True), (True, False), (True, True)):
        assert kinds.count(kind) >= 3, kind


def test_clips_shorter_than_the_window(tmp_path: Path) -> None:
    """A click recurs with gaps, never as a rattle; anything longer is looped without a click."""
    for name, seconds in (("click", 0.06), ("hum", 0.7)):
        audio.write(tmp_path / f"{name}.wav", hiss(3, seconds)[None], RATE)
    items = [Item("train", "noise", name, str(tmp_path / f"{name}.wav")) for name in ("click", "hum")]
    pool = open_pool(items, RATE, tmp_path / "cache")
    for number in range(20):
        click = sounds.noise_stretch(pool, 0, 3 * RATE, window_rng(number))
        hum = sounds.noise_stretch(pool, 1, 3 * RATE, window_rng(number))
        assert click.shape == hum.shape == (3 * RATE,)
        sounding = np.abs(click[: 3 * RATE // 160 * 160]).reshape(-1, 160).max(1) > 0
        assert 0 < sounding.mean() < 0.5
        assert (np.abs(hum[: 3 * RATE // 160 * 160]).reshape(-1, 160).max(1) > 0).all()


def octave_levels(sound: np.ndarray) -> np.ndarray:
    """Level in dB in each octave from 125 Hz to 8 kHz."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(len(sound), 1 / RATE)
    edges = 125.0 * 2.0 ** np.arange(7)
    octaves = itertools.pairwise(edges)
    return np.array(
        [10 * np.log10(power[(frequency >= low) & (frequency < high)].mean()) for low, high in octaves]
    )


def test_a_texture_has_the_spectrum_of_its_clip_and_never_repeats() -> None:
    clip = coloured_noise(2 * RATE, RATE, -2.0, window_rng(1))
    long = texture(clip, 60 * RATE, RATE, window_rng(2))
    assert long.shape == (60 * RATE,) and long.dtype == np.float32
    assert np.mean(long**2) == pytest.approx(1.0, rel=1e-3)
    got, want = octave_levels(long), octave_levels(clip)
    assert np.allclose(got - got.mean(), want - want.mean(), atol=1.0)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(long, 2 * len(long))) ** 2)[: len(long)]
    assert np.max(np.abs(correlation[RATE // 2 :])) < 0.2 * correlation[0]
    levels = 10 * np.log10(frame_powers(long, RATE)[:3000].reshape(-1, 25).mean(1))
    assert levels.std() < 1.5  # a steady clip gives steady noise


def test_a_texture_wavers_as_its_clip_does() -> None:
    time = np.arange(6 * RATE) / RATE
    clip = hiss(3, 6.0) * (10.0 ** (8.0 * np.sin(2 * np.pi * 0.9 * time) / 20.0)).astype(np.float32)
    levels = 10 * np.log10(
        frame_powers(texture(clip, 20 * RATE, RATE, window_rng(1)), RATE).reshape(-1, 5).mean(1)
    )
    spectrum = np.abs(np.fft.rfft(levels - levels.mean()))
    rate = np.fft.rfftfreq(len(levels), 0.1)[int(spectrum.argmax())]
    assert rate == pytest.approx(0.9, abs=0.2)
    assert levels.std() == pytest.approx(8.0 / math.sqrt(2.0), rel=0.25)


def test_steady_noise_fills_the_window(tmp_path: Path) -> None:
    for name, seconds in (("click", 0.06), ("hum", 0.7), ("rain", 9.0)):
        audio.write(tmp_path / f"{name}.wav", hiss(3, seconds)[None], RATE)
    items = [Item("train", "noise", name, str(tmp_path / f"{name}.wav")) for name in ("click", "hum", "rain")]
    pool = open_pool(items, RATE, tmp_path / "cache")
    for number in range(12):
        for clip in range(3):
            noise = steady_stretch(pool, clip, 3 * RATE, window_rng(number))
            assert noise.shape == (3 * RATE,) and noise.dtype == np.float32
            assert active_level(noise, RATE) == pytest.approx(float(pool.level[clip]), abs=1.5)
            levels = 10 * np.log10(frame_powers(noise, RATE))
            assert levels.min() > np.median(levels) - 12.0
    speech = open_pool([Item("train", "speech", "hum", str(tmp_path / "hum.wav"))], RATE, tmp_path / "cache")
    mixer = Mixer(speech, pool, Mixing(steady=1.0, noise_only=1.0, clean_only=0.0, babble=0.0, coloured=0.0))
    one, two = (mixer.draw(window_rng(5, number), 2 * RATE).noise for number in (1, 2))
    assert np.all(frame_powers(one, RATE) > 0) and not np.array_equal(one, two)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_speakers_are_drawn_by_their_balance(train: tuple[Pool, Pool], balance: float) -> None:
    speech, noise = train
    mixer = Mixer(speech, noise, Mixing(balance=balance, noise_only=0.0, snr=(60.0, 60.0), join=0.0))
    drawn = [mixer.draw(window_rng(7, number), 512).group for number in range(800)]
    drawn = [group for group in drawn if group >= 0]
    want = (np.bincount(speech.group, speech.length) / speech.sample_rate) ** balance
    shares = np.bincount(drawn, minlength=len(want)) / len(drawn)
    assert np.allclose(shares, want / want.sum(), atol=0.08)


def test_same_generator_same_window(train: tuple[Pool, Pool]) -> None:
    one, two = (Mixer(*train).draw(window_rng(3, 4, 5), 16384) for _ in range(2))
    assert np.array_equal(one.noisy, two.noisy)
    assert np.array_equal(one.clean, two.clean)
    assert not np.array_equal(one.noisy, Mixer(*train).draw(window_rng(3, 4, 6), 16384).noisy)


@given(
    length=st.integers(2, 900),
    samples=st.integers(1, 5000),
    start=st.integers(0, 5000),
    fade=st.integers(0, 400),
)
@settings(max_examples=80, deadline=None)
def test_loop_has_the_length_and_no_click(length: int, samples: int, start: int, fade: int) -> None:
    clip = np.sin(np.arange(length, dtype=np.float32) * np.float32(0.05))
    out = sounds.loop(clip, samples, start, fade)
    assert out.shape == (samples,)
    assert out.dtype == np.float32
    assert np.max(np.abs(out)) <= 1.42
    if min(fade, length // 2) >= 50:
        assert np.max(np.abs(np.diff(out)), initial=0.0) < 0.12


def test_babble_leaves_the_target_out(train: tuple[Pool, Pool], monkeypatch: pytest.MonkeyPatch) -> None:
    speech, _ = train
    heard: list[int] = []
    real = sounds.draw_voice

    def listen(
        pool: Pool, group: int, samples: int, rng: np.random.Generator, **options: object
    ) -> np.ndarray:
        heard.append(group)
        return real(pool, group, samples, rng)

    monkeypatch.setattr(sounds, "draw_voice", listen)
    for number in range(30):
        before = len(heard)
        assert (
            sounds.draw_babble(speech, 16384, window_rng(number), (3, 6), exclude=1, balance=0.5) is not None
        )
        assert 3 <= len(heard) - before <= 6
    assert 1 not in heard
    assert len(set(heard)) == len(speech.groups) - 1


def test_babble_from_afar_has_no_pauses(train: tuple[Pool, Pool]) -> None:
    """Reverberation fills the gaps between the words and lasts beyond them."""
    mixings = [Mixing(babble=1.0, coloured=0.0, far=far, voices=(1, 1), noise_only=1.0, clean_only=0.0, envelope=0.0)
               for far in (0.0, 1.0)]  # fmt: skip

    def quiet(mixing: Mixing, number: int) -> float:
        powers = frame_powers(Mixer(*train, mixing).draw(window_rng(number), 32768).noise, RATE)[20:]
        return float(np.quantile(powers, 0.1) / powers.mean())

    near, far = (np.mean([quiet(mixing, number) for number in range(12)]) for mixing in mixings)
    assert far > 1.5 * near


@pytest.mark.parametrize(("exponent", "drop"), [(0.0, 0.0), (-1.0, 3.01), (-2.0, 6.02), (1.0, -3.01)])
def test_coloured_noise_has_its_slope(exponent: float, drop: float) -> None:
    noise = coloured_noise(2**18, RATE, exponent, window_rng(1))
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / RATE)
    octaves = [
        10 * np.log10(power[(frequency >= low) & (frequency < 2 * low)].mean())
        for low in (250, 500, 1000, 2000)
    ]
    assert np.allclose(-np.diff(octaves), drop, atol=0.4)
    assert np.mean(noise**2) == pytest.approx(1.0, rel=1e-3)


def test_pauses_join_utterances(train: tuple[Pool, Pool]) -> None:
    speech, _ = train
    paused = [
        sounds.draw_voice(speech, 0, 32000, window_rng(number), join=1.0, pause=(0.2, 0.4))
        for number in range(30)
    ]
    gaps = [
        np.flatnonzero(np.convolve(one == 0.0, np.ones(2400), mode="valid") == 2400).size > 0
        for one in paused
    ]
    assert np.mean(gaps) > 0.6
    assert all(one.any() for one in paused)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"snr": (20.0, -5.0)}, "mixing.snr"),
        ({"babble": 1.5}, "mixing.babble"),
        ({"babble": 0.7, "coloured": 0.7}, "babble"),
        ({"coloured": 0.5, "tones": 0.6}, "tones"),
        ({"noise_only": 0.5, "silence": 0.6}, "silence"),
        ({"noise_level": (-0.1, 0.5)}, "noise_level"),
        ({"noise_level": (0.5, 0.1)}, "noise_level"),
        ({"balance": 2.0}, "balance"),
        ({"noises": ()}, "mixing.noises"),
        ({"level": (math.nan, 0.0)}, "mixing.level"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], part: str) -> None:
    with pytest.raises(DataError, match=part):
        Mixing(**change)  # type: ignore[arg-type]


def test_what_is_within_40_db_of_the_loudest_frame_is_active() -> None:
    from diffgmm.audio.levels import active_power

    loud = np.tile([1.0, -1.0], 800)
    for below, counted in ((30.0, True), (39.0, True), (41.0, False), (60.0, False)):
        quiet = 10 ** (-below / 20)
        power = active_power(np.concatenate([loud, quiet * loud]), 16000)
        assert power == pytest.approx((1 + quiet**2) / 2 if counted else 1.0, rel=1e-6)


def test_late_reverberation_is_scaled_with_the_speech_and_faint_noise_is_not_raised() -> None:
    from diffgmm.audio.levels import active_level, at_snr

    rng = np.random.default_rng(0)
    speech, noise, late = (
        scale * rng.standard_normal(16000).astype(np.float32) for scale in (0.2, 0.1, 0.05)
    )
    clean, alone, _ = at_snr(speech, noise, 16000, 10.0, -30.0)
    _, both, reached = at_snr(speech, noise, 16000, 10.0, -30.0, late)
    assert reached == 10.0 and active_level(clean, 16000) == pytest.approx(-30.0, abs=1e-3)
    np.testing.assert_allclose(both - alone, late * (clean[0] / speech[0]), atol=1e-7)
    faint = np.float32(1e-4) * noise  # active power 1e-10, raised as if it were 1e-6
    clean, low, reached = at_snr(speech, faint, 16000, 10.0, -30.0, floor=1e-6)
    assert (
        reached == pytest.approx(active_level(clean, 16000) - active_level(low, 16000), abs=1e-3)
        and reached > 45
    )


def test_an_envelope_stays_within_its_depth_in_db() -> None:
    from data_modules.mixing.sounds import envelope

    curves = [20 * np.log10(envelope(4000, np.random.default_rng(seed), 12.0)) for seed in range(40)]
    assert all(np.abs(curve).max() <= 12.0 + 1e-3 for curve in curves)
    assert max(np.abs(curve).max() for curve in curves) > 10.0


def test_further_noises_lie_below_the_first(
    train: tuple[Pool, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    original = sounds.to_level

    def watched(samples: np.ndarray, sample_rate: int, level: float = 0.0) -> np.ndarray:
        asked.append(level)
        return original(samples, sample_rate, level)

    mixer = Mixer(*train, Mixing(noises=(0.0, 0.0, 1.0), coloured=1.0, babble=0.0, spread=20.0))
    monkeypatch.setattr(sounds, "to_level", watched)
    for seed in range(10):
        asked.clear()
        mixer._noises(window_rng(seed), 8000, 0)
        assert asked[0] == 0.0 and len(asked) == 3 and all(-20.0 <= level < 0.0 for level in asked[1:])


def test_an_augmentation_comes_as_often_as_it_should(train: tuple[Pool, Pool]) -> None:
    rng = window_rng(0)
    for probability in (0.0, 0.3, 1.0):
        mixer = Mixer(*train, Mixing(), [Clip(probability=probability)])
        assert sum(len(mixer._chosen("noisy", rng)) for _ in range(1000)) == pytest.approx(
            1000 * probability, abs=60
        )
