"""Lossy codecs: known qualities, aligned, the same every time, and the target loses what the codec takes away."""

from __future__ import annotations

import numpy as np
import pytest
from data_corpus import voice

from data_modules.augment.codecs import KINDS, Codec, character, transcode
from diffgmm.audio.levels import active_level
from diffgmm.utils.random import window_rng

SETTINGS = [(kind, level) for kind, codec in KINDS.items() for level in codec.levels or (None,)]


def ratio(reference: np.ndarray, estimate: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(reference**2) / np.sum((estimate - reference) ** 2)))


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize(("kind", "level"), SETTINGS)
def test_speech_comes_back_aligned_and_the_same_every_time(kind: str, level: float | None, rate: int) -> None:
    speech = voice(1, 0.5, rate=rate)
    delay, top = character(kind, level, rate)
    assert 3000 <= top <= rate / 2
    coded, again = (transcode(speech, rate, kind, level, delay) for _ in range(2))
    assert np.array_equal(coded, again)
    assert coded.dtype == np.float32
    assert coded.shape == speech.shape
    assert 5.0 < ratio(speech, coded) < 60.0
    middle = slice(rate // 8, -rate // 8)
    best = max(range(-20, 21), key=lambda by: np.dot(np.roll(coded, by)[middle], speech[middle]))
    assert abs(best) <= 1
    assert active_level(coded, rate) == pytest.approx(active_level(speech, rate), abs=2.5)


@pytest.mark.parametrize("kind", ["mu_law", "a_law"])
@pytest.mark.parametrize("height", [0.06, 0.5])
def test_g711_has_its_known_quality(kind: str, height: float) -> None:
    tone = (height * np.sin(np.arange(8000) * 0.2)).astype(np.float32)
    assert 34 < ratio(tone, transcode(tone, 8000, kind)) < 41  # about 38 dB over a wide range of levels


def test_target_loses_the_band_that_a_telephone_takes() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    noisy, clean = Codec(1.0, {"gsm": 1.0}).damage(noise, noise.copy(), 16000, window_rng(1))
    for part in (noisy, clean):
        power = np.abs(np.fft.rfft(part)) ** 2
        assert power[4100:].sum() < 1e-3 * power[:3400].sum()
    same = Codec(1.0, {"gsm": 1.0}).damage(noise[:8000], noise[:8000], 8000, window_rng(1))[1]
    assert np.array_equal(same, noise[:8000])


def test_kinds_come_as_often_as_asked_and_other_rates_work() -> None:
    sound = voice(1, 0.3, rate=11025)
    codec = Codec(1.0, {"mu_law": 1.0, "adpcm": 3.0})
    references = {kind: transcode(sound, 11025, kind) for kind in codec.kinds}
    heard = [codec.damage(sound, sound, 11025, window_rng(number))[0] for number in range(80)]
    shares = [np.mean([np.array_equal(one, references[kind]) for one in heard]) for kind in codec.kinds]
    assert shares == pytest.approx([0.25, 0.75], abs=0.15)
    assert transcode(sound, 11025, "opus", 0.96).shape == sound.shape
