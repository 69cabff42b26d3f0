"""Files as people have them: odd formats are read rightly, bad ones named and counted, or stopped at with strict."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from data_corpus import RATE, hiss, voice

from data_modules.errors import DataError
from data_modules.noisy_speech import NoisySpeech
from data_modules.pools.build import open_pool
from data_modules.pools.sources import Item, folder_items
from diffgmm.audio import resample


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "PCM_U8", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_depth_and_number_of_channels(tmp_path: Path, subtype: str, channels: int) -> None:
    sound = voice(1, 0.5)
    every = np.stack([sound * np.float32(gain) for gain in np.linspace(0.2, 1.0, channels)], axis=1)
    path = tmp_path / "a.wav"
    soundfile.write(path, every, RATE, subtype=subtype)
    pool = open_pool([Item("train", "speech", "a", str(path))], RATE, tmp_path / "cache", strict=True)
    tolerance = {"PCM_U8": 8e-3, "ULAW": 2e-2}.get(subtype, 1e-4)
    assert np.max(np.abs(pool.read(0) - every.mean(1))) < tolerance


def test_floats_above_full_scale_and_other_rates_keep_their_level(tmp_path: Path) -> None:
    sound = 4.0 * voice(1, 0.5, rate=44100)
    assert np.max(np.abs(sound)) > 1.0
    soundfile.write(tmp_path / "a.wav", sound, 44100, subtype="FLOAT")
    pool = open_pool([Item("train", "speech", "a", str(tmp_path / "a.wav"))], RATE, tmp_path / "cache")
    assert np.max(np.abs(pool.read(0) - resample(sound, 44100, RATE))) < 1e-4 * 4.0


def bad_folder(root: Path) -> dict[str, str]:
    """Files that can't be used, and a word of the reason for each; beside them one that can."""
    root.mkdir(parents=True)
    soundfile.write(root / "good.wav", voice(1, 2.0), RATE)
    soundfile.write(root / "silent.wav", np.zeros(RATE), RATE, subtype="PCM_24")
    soundfile.write(root / "none.wav", np.zeros(0), RATE)
    (root / "zero.flac").write_bytes(b"")
    broken = voice(1, 0.5)
    broken[100] = np.nan
    soundfile.write(root / "nan.wav", broken, RATE, subtype="FLOAT")
    whole = (root / "good.wav").read_bytes()
    (root / "noise.ogg").write_bytes(np.random.default_rng(0).bytes(5000))
    (root / "cut.wav").write_bytes(whole[: len(whole) // 3])
    return {
        "silent.wav": "silent",
        "none.wav": "",
        "zero.flac": "",
        "nan.wav": "NaN",
        "noise.ogg": "",
        "cut.wav": "",
    }


def test_each_bad_file_is_named_with_its_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = bad_folder(tmp_path / "bad")
    items = folder_items(tmp_path / "bad", "noise")
    with caplog.at_level(logging.WARNING):
        pool = open_pool(items, RATE, tmp_path / "cache", title="train noise")
    assert len(pool) == 1
    reasons = {Path(path).name: reason for path, reason in pool.skipped}
    assert reasons.keys() == bad.keys()
    for name, word in bad.items():
        assert reasons[name]
        assert word.lower() in reasons[name].lower()
    (record,) = caplog.records
    assert "train noise: 6 of 7 files left out" in record.message
    with pytest.raises(DataError, match="6 of 7 files left out"):
        open_pool(items, RATE, tmp_path / "cache", strict=True)


def test_a_run_leaves_bad_files_out_or_stops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A noise of a tenth of a second, a silent one and a broken one: the first is used, the others are told."""
    for speaker in "ab":
        (tmp_path / "speech" / speaker).mkdir(parents=True)
        soundfile.write(tmp_path / "speech" / speaker / "1.wav", voice(ord(speaker), 3.0), RATE)
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "short.wav", hiss(1, 0.1), RATE)
    soundfile.write(tmp_path / "noise" / "other.wav", hiss(2, 0.3), RATE)
    soundfile.write(tmp_path / "noise" / "silent.wav", np.zeros(RATE), RATE)
    (tmp_path / "noise" / "broken.flac").write_text("no audio")

    def data(strict: bool) -> NoisySpeech:
        return NoisySpeech(
            speech=str(tmp_path / "speech"), noise=str(tmp_path / "noise"), batch_size=4, epoch_size=32, strict=strict,
            valid_speech=str(tmp_path / "speech"), valid_noise=str(tmp_path / "noise"), cache=str(tmp_path / "pools"),
        )  # fmt: skip

    with caplog.at_level(logging.WARNING):
        good = data(strict=False)
        good.setup("fit")
    text = " ".join(record.message for record in caplog.records)
    assert "silent.wav (silent)" in text
    assert "broken.flac" in text
    for batch in good.train_dataloader():
        assert batch["noisy"].isfinite().all()
    with pytest.raises(DataError, match="train noise: 2 of 4 files left out"):
        data(strict=True).setup("fit")
