"""Reading, writing, resampling: what goes in comes out, and what cannot is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from diffgmm import audio
from diffgmm.audio import AudioError


def noise(channels: int, samples: int, peak: float = 0.5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-peak, peak, (channels, samples)).astype(np.float32)


# (ending, subtype, sample rate, largest error per sample; None for codecs that keep no samples)
FILES = [
    (".wav", "PCM_16", 44100, 0.5 / 2**15),
    (".wav", "PCM_24", 192000, 0.5 / 2**23),
    (".wav", "PCM_32", 8000, 2.0**-24),
    (".wav", "PCM_U8", 8000, 0.5 / 2**7),
    (".wav", "FLOAT", 48000, 0.0),
    (".wav", "DOUBLE", 48000, 0.0),
    (".wav", "ULAW", 8000, 0.03),
    (".flac", "PCM_16", 16000, 0.5 / 2**15),
    (".flac", "PCM_24", 96000, 0.5 / 2**23),
    (".aiff", "PCM_16", 22050, 0.5 / 2**15),
    (".ogg", "VORBIS", 16000, None),
    (".opus", "OPUS", 48000, None),
    (".mp3", "MPEG_LAYER_III", 44100, None),
]


@pytest.mark.parametrize(("ending", "subtype", "rate", "error"), FILES)
def test_round_trip_keeps_format_length_and_samples(
    tmp_path: Path, ending: str, subtype: str, rate: int, error: float | None
) -> None:
    path = tmp_path / f"x{ending}"
    channels = 2 if error is None else 3
    time = np.arange(20000) / rate
    tone = 0.3 * np.sin(2 * np.pi * np.array([440, 700, 1000])[:channels, None] * time)
    x = (tone if error is None else noise(channels, 20000)).astype(np.float32)
    assert audio.write(path, x, rate, subtype=subtype) == 1.0
    y, info = audio.read(path)
    assert (info.sample_rate, info.channels, info.frames, info.subtype) == (rate, channels, 20000, subtype)
    assert y.shape == x.shape and y.dtype == np.float32
    if error is None:
        assert np.corrcoef(x.ravel(), y.ravel())[0, 1] > 0.99
    else:
        assert np.abs(y - x).max() <= error + 1e-9


@pytest.mark.parametrize(("subtype", "ending"), [("PCM_16", ".wav"), ("PCM_24", ".flac"), ("PCM_U8", ".wav")])
def test_writing_what_was_read_changes_no_bit(tmp_path: Path, subtype: str, ending: str) -> None:
    first, second = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    x = noise(1, 5000, peak=1.0)
    x[0, :2] = 1.0, -1.0
    audio.write(first, x, 16000, subtype=subtype)
    audio.write(second, audio.read(first)[0], 16000, subtype=subtype)
    assert first.read_bytes() == second.read_bytes()


def test_only_what_would_clip_is_rescaled_and_the_gain_is_told(tmp_path: Path) -> None:
    loud = noise(2, 300000, peak=0.9)
    loud[1, 200000] = -1.6
    assert audio.write(tmp_path / "float.wav", loud, 16000, subtype="FLOAT") == 1.0
    np.testing.assert_array_equal(audio.read(tmp_path / "float.wav")[0], loud)
    gain = audio.write(tmp_path / "int.flac", loud, 16000)
    assert gain == pytest.approx(1 / 1.6)
    assert np.abs(audio.read(tmp_path / "int.flac")[0] - gain * loud).max() < 2**-15
    assert audio.write(tmp_path / "lossy.ogg", loud, 16000) == pytest.approx(1 / 1.6)
    assert audio.write(tmp_path / "full.wav", np.ones((1, 10), np.float32), 16000) == 1.0


@pytest.mark.parametrize("channels", [1, 2, 5, 8])
@pytest.mark.parametrize("samples", [1, 2, 65536, 65537])
def test_any_shape(tmp_path: Path, channels: int, samples: int) -> None:
    x = noise(channels, samples)
    audio.write(tmp_path / "x.wav", x, 192000, subtype="FLOAT")
    blocks = list(audio.read_blocks(tmp_path / "x.wav", frames=1000))
    assert all(block.shape[1] <= 1000 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), x)


def test_mono_and_rate_on_reading(tmp_path: Path) -> None:
    x = noise(2, 44100)
    audio.write(tmp_path / "x.wav", x, 44100, subtype="FLOAT")
    y, info = audio.read(tmp_path / "x.wav", sample_rate=16000, mono=True)
    assert y.shape == (1, 16000) and info.sample_rate == 44100 and info.seconds == 1.0
    np.testing.assert_allclose(y, audio.resample(x.mean(axis=0, keepdims=True), 44100, 16000), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(0, 3000),
    channels=st.integers(1, 8),
    rates=st.tuples(*[st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000])] * 2),
)
def test_resampled_length_is_exact(samples: int, channels: int, rates: tuple[int, int]) -> None:
    x = noise(channels, samples)
    y = audio.resample(x, *rates)
    assert y.shape == (channels, -(-samples * rates[1] // rates[0])) and np.isfinite(y).all()
    assert not audio.resample(np.zeros_like(x), *rates).any()


@pytest.mark.parametrize("rate", [11025, 44100, 48000, 192000])
def test_resampling_does_not_shift_a_tone(rate: int) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)[None]
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert np.abs(audio.resample(tone, rate, 16000)[0] - expected)[500:-500].max() < 1e-3
    assert audio.resample(tone, rate, rate) is tone
    assert audio.resample(tone[None], rate, 16000).shape == (1, 1, 16000)


def test_fit_length() -> None:
    x = noise(2, 10)
    np.testing.assert_array_equal(audio.fit_length(x, 4), x[:, :4])
    assert audio.fit_length(x, 12).shape == (2, 12) and not audio.fit_length(x, 12)[:, 10:].any()


def _truncated(path: Path, subtype: str | None = None) -> None:
    whole = path.with_name("whole" + path.suffix)
    soundfile.write(whole, noise(1, 48000).T, 16000, subtype=subtype)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def _spoilt(path: Path, value: float) -> None:
    x = noise(2, 70000)
    x[1, 66000] = value
    soundfile.write(path, x.T, 16000, subtype="FLOAT")


BAD = {
    "missing.wav": (lambda p: None, "no such file"),
    "folder.wav": (lambda p: p.mkdir(), "is a directory"),
    "empty.wav": (lambda p: p.touch(), "empty"),
    "text.wav": (lambda p: p.write_text("not audio at all\n" * 50), "not an audio file"),
    "text.mp3": (lambda p: p.write_text("not audio at all\n" * 50), "not an audio file"),
    "header.wav": (lambda p: p.write_bytes(b"RIFF\x24\x00\x00\x00WAVE"), "not an audio file"),
    "no_samples.wav": (lambda p: soundfile.write(p, np.zeros((0, 1)), 16000), "no audio samples"),
    "cut.wav": (_truncated, "truncated"),
    "cut_float.wav": (lambda p: _truncated(p, "FLOAT"), "truncated"),
    "cut.aiff": (_truncated, "truncated"),
    "cut.flac": (_truncated, "truncated"),
    "cut.mp3": (_truncated, "truncated"),
    "cut.ogg": (_truncated, "truncated"),
    "cut.w64": (_truncated, "truncated"),
    "nan.wav": (lambda p: _spoilt(p, np.nan), "NaN at sample 66000 of channel 2"),
    "inf.wav": (lambda p: _spoilt(p, -np.inf), "Inf at sample 66000 of channel 2"),
    "slow.wav": (lambda p: soundfile.write(p, np.zeros((10, 1)), 1), "sample rate"),
    "fast.wav": (lambda p: soundfile.write(p, np.zeros((10, 1)), 1_073_749_824), "sample rate"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    make, message = BAD[name]
    path = tmp_path / name
    make(path)
    with pytest.raises(AudioError, match=message) as caught:
        audio.read(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(1, 1000).T, 16000)
    data = bytearray(path.read_bytes())
    start = data.index(b"data") + 4
    data[start : start + 4] = b"\xff\xff\xff\xff"  # what ffmpeg leaves when it cannot seek back to the header
    path.write_bytes(data)
    assert audio.read(path)[0].shape == (1, 1000)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    audio.write(path, noise(1, 100), 16000)
    assert audio.read(path)[0].shape == (1, 100)


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writing_leaves_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    x = noise(1, 1000)
    audio.write(path, x, 16000)
    before = path.read_bytes()
    with pytest.raises(AudioError, match="exists already"):
        audio.write(path, x, 16000)
    bad = x.copy()
    bad[0, 500] = np.nan
    with pytest.raises(AudioError, match="NaN or Inf"):
        audio.write(path, bad, 16000, overwrite=True)
    with pytest.raises(RuntimeError), audio.Writer(path, 16000, 1, overwrite=True) as writer:
        writer.write(x)
        raise RuntimeError("the caller gave up")
    assert path.read_bytes() == before and left_over(tmp_path) == ["x.wav"]
    audio.write(path, 0.5 * x, 16000, overwrite=True)
    assert path.read_bytes() != before and left_over(tmp_path) == ["x.wav"]


@pytest.mark.parametrize(
    ("name", "channels", "rate", "message"),
    [
        ("nowhere/x.wav", 1, 16000, "no such folder"),
        ("x.txt", 1, 16000, "no audio format"),
        ("x", 1, 16000, "no audio format"),
        ("x.mp3", 8, 16000, "8 channel"),
        ("x.mp3", 1, 192000, "192000 Hz"),
        ("x.opus", 1, 44100, "44100 Hz"),
    ],
)
def test_what_cannot_be_written_is_said(
    tmp_path: Path, name: str, channels: int, rate: int, message: str
) -> None:
    with pytest.raises(AudioError, match=message):
        audio.write(tmp_path / name, noise(channels, 100), rate)
    assert left_over(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(AudioError, match="no permission"):
            audio.write(tmp_path / "x.wav", noise(1, 100), 16000)
    finally:
        tmp_path.chmod(0o700)


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        audio.write(tmp_path / "x.wav", noise(1, 100), 16000)
    finally:
        os.umask(old)
    assert (tmp_path / "x.wav").stat().st_mode & 0o777 == 0o640


def test_format_of_a_new_file(tmp_path: Path) -> None:
    source = tmp_path / "x.wav"
    soundfile.write(source, noise(1, 100).T, 16000, subtype="PCM_24", format="WAVEX")
    info = audio.probe(source)
    assert audio.choose_format("y.wav", info) == ("WAVEX", "PCM_24")
    assert audio.choose_format("y.flac", info) == ("FLAC", "PCM_24")
    assert audio.choose_format("y.ogg", info) == ("OGG", "VORBIS")
    assert audio.choose_format("y.opus") == ("OGG", "OPUS")
    assert audio.is_audio("A.WAV") and not audio.is_audio("a.txt")


@pytest.mark.parametrize("shape", [(2, 0), (0,), (0, 5)])
def test_resampling_nothing_gives_nothing(shape: tuple[int, ...]) -> None:
    assert audio.resample(np.zeros(shape, np.float32), 44100, 16000).size == 0
