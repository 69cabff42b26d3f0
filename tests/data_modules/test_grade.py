"""Grades of speech: known answers, and what training makes of them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from data_corpus import RATE, hiss, voice
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.errors import DataError
from data_modules.noisy_speech import NoisySpeech
from data_modules.pools.build import open_pool
from data_modules.pools.grade import Grade, grade, group_weights, medians
from data_modules.pools.pool import GRADES, Pool
from data_modules.pools.sources import Item
from diffgmm import audio
from diffgmm.audio.levels import active_level
from diffgmm.utils.random import window_rng


def words(floor: float, pause: float = 0.15, tail: float = 1.0) -> np.ndarray:
    """Bursts of noise at -20 dBFS with pauses between, hiss `floor` dB below them throughout, then digital silence."""
    rng = np.random.default_rng(3)
    word = np.concatenate([np.ones(round(0.2 * RATE)), np.zeros(round(pause * RATE))])
    gate = np.tile(word, 8)
    sound = 0.1 * rng.standard_normal(len(gate)) * gate
    sound += 0.1 * 10.0 ** (floor / 20.0) * rng.standard_normal(len(gate))
    return np.concatenate([sound, np.zeros(round(tail * RATE))]).astype(np.float32)


@pytest.mark.parametrize("floor", [-20.0, -28.0, -45.0])
def test_hiss_in_pauses_is_measured_and_the_gate_behind_them_does_not_hide_it(floor: float) -> None:
    found = grade(words(floor), RATE)
    assert found.pause == pytest.approx(floor, abs=2.0)  # the quietest of several frames lies a little below
    assert found.gated == pytest.approx(1.0 / (8 * 0.35 + 1.0), abs=0.03)
    assert found.clipped == 0.0


def test_only_short_pauses_count() -> None:
    assert np.isnan(grade(words(-20.0, pause=0.5), RATE).pause)
    assert np.isnan(grade(words(-20.0, pause=0.03), RATE).pause)
    assert np.isnan(grade(hiss(1, 1.0), RATE).pause)


@given(level=st.floats(-50.0, 0.0), offset=st.floats(-0.2, 0.2))
@settings(max_examples=20, deadline=None)
def test_grades_do_not_depend_on_level_and_offset(level: float, offset: float) -> None:
    sound = words(-30.0, tail=0.0)
    gain = np.float32(10.0 ** ((level - 20.0) / 20.0) / 0.1)
    plain, moved = grade(sound, RATE), grade(gain * sound + np.float32(offset), RATE)
    assert moved.pause == pytest.approx(plain.pause, abs=0.3)
    assert moved.bandwidth == plain.bandwidth


@pytest.mark.parametrize("top", [3000.0, 4000.0, 5500.0])
def test_bandwidth(top: float) -> None:
    spectrum = np.fft.rfft(hiss(0, 2.0))
    spectrum[np.fft.rfftfreq(2 * RATE, 1 / RATE) > top] *= 1e-4
    found = grade(np.fft.irfft(spectrum).astype(np.float32), RATE)
    assert found.bandwidth == pytest.approx(top, abs=250.0)
    assert grade(hiss(0, 2.0), RATE).bandwidth == 8000.0


def test_clipping_is_found_at_any_level() -> None:
    sound = words(-60.0)
    clipped = np.clip(sound, -0.15, 0.15)
    share = float(np.mean(np.abs(sound) > 0.15))
    assert 0.0 < grade(0.3 * clipped, RATE).clipped < share  # single samples are no flat tops
    tone = np.sin(np.arange(RATE) * 0.02).astype(np.float32)
    assert grade(np.clip(tone, -0.7, 0.7), RATE).clipped == pytest.approx(
        np.mean(np.abs(tone) > 0.7), abs=0.01
    )
    assert grade(tone, RATE).clipped == 0.0


def test_odd_clips_have_grades_too() -> None:
    assert grade(np.zeros(RATE, np.float32), RATE).gated == 1.0
    for sound in (np.zeros(0, np.float32), hiss(1, 0.01), hiss(1, 0.05), np.full(RATE, 0.5, np.float32)):
        assert isinstance(grade(sound, RATE), Grade)


def test_medians_and_weights() -> None:
    grades = np.array(
        [[-30.0, 0, 1, 2], [-20.0, 0, 1, 2], [np.nan, 0, 1, 2], [-50.0, 0, 1, 2], [np.nan, 1, 1, 1]]
    )
    found = medians(grades, np.array([0, 0, 0, 1, 2]), 3)
    assert found[0].tolist() == [-25.0, 0.0, 1.0, 2.0]
    assert found[1, 0] == -50.0 and np.isnan(found[2, 0])
    weights = group_weights(np.array([-27.9, -28.0, -30.5, -33.0, -60.0, np.nan]), -28.0)
    assert weights.tolist() == [0.0, 0.25, 0.625, 1.0, 1.0, 0.5]


def corpus(root: Path) -> Path:
    for name, floor in (("clean", -45.0), ("fair", -31.0), ("hissy", -18.0)):
        for take in range(2):
            (root / "train/speech" / name).mkdir(parents=True, exist_ok=True)
            sound = np.roll(words(floor, tail=0.0), take * 999)
            audio.write(root / "train/speech" / name / f"{take}.wav", sound[None], RATE)
    for split, name in (("valid", "hissy_too"), ("test", "other")):
        (root / split / "speech" / name).mkdir(parents=True)
        audio.write(root / split / "speech" / name / "0.wav", voice(ord(name[0]), 2.0)[None], RATE)
    for split in ("train", "valid", "test"):
        (root / split / "noise/rain").mkdir(parents=True)
        audio.write(root / split / "noise/rain/0.wav", hiss(len(split), 2.0)[None], RATE)
    return root


def test_hissy_speakers_do_not_train(tmp_path: Path) -> None:
    data = NoisySpeech(
        str(corpus(tmp_path / "corpus")), window=4096, batch_size=2, epoch_size=4, valid_pairs=1, valid_seconds=0.5,
        max_pause_level=-28.0, cache=str(tmp_path / "cache"),
    )  # fmt: skip
    data.setup("fit")
    speech = data.pools["train"][0]
    assert speech.groups == ["clean", "fair", "hissy"]
    assert speech.weights[0] == 1.0 and 0.25 <= speech.weights[1] < 1.0 and speech.weights[2] == 0.0
    for pool in (speech, pickle.loads(pickle.dumps(speech))):
        drawn = [pool.draw_group(window_rng(number)) for number in range(300)]
        assert 2 not in drawn and drawn.count(0) > drawn.count(1) > 20
        assert all(pool.draw_group(window_rng(number), exclude=0) == 1 for number in range(20))
    assert data.pools["valid"][0].weights.tolist() == [1.0]
    assert next(iter(data.train_dataloader()))["noisy"].shape == (2, 1, 4096)
    strict = NoisySpeech(str(tmp_path / "corpus"), max_pause_level=-60.0, cache=str(tmp_path / "cache"))
    with pytest.raises(DataError, match="none of the 3 groups may be drawn"):
        strict.setup("fit")


def test_grades_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = corpus(tmp_path / "corpus") / "train/speech"
    items = [Item("train", "speech", path.parent.name, str(path)) for path in sorted(folder.rglob("*.wav"))]
    pool = open_pool(items, RATE, tmp_path / "cache")
    found = pool.grades()
    assert found.shape == (6, 4) and (pool.folder / GRADES).is_file()
    again = Pool(pool.folder)
    monkeypatch.setattr(again, "read", None)
    assert np.array_equal(again.grades(), found, equal_nan=True)
    (pool.folder / GRADES).write_bytes(b"damaged")
    assert np.array_equal(Pool(pool.folder).grades(), found, equal_nan=True)
    assert active_level(pool.read(0), RATE) == pytest.approx(-20.0, abs=1.5)
