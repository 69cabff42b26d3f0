"""Files whose header tells a wrong length, and several streams in one file: all the sound is read, and it is said."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from damage import without_count
from hypothesis import given, settings
from hypothesis import strategies as st

from diffgmm import audio
from diffgmm.audio import AudioError
from diffgmm.audio.streams import Slice, Stretch, layout

RATE = 48000


def sound(samples: int = 30000, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.4, 0.4, (samples, channels))


def wav(
    pcm: bytes, size: int | None, *, after: bytes = b"", riff: int | None = None, channels: int = 1
) -> bytes:
    """A 16-bit WAV file whose data chunk claims ``size`` bytes."""
    size = len(pcm) if size is None else size
    form = struct.pack("<IHHIIHH", 16, 1, channels, RATE, RATE * 2 * channels, 2 * channels, 16)
    body = b"WAVEfmt " + form + b"data" + struct.pack("<I", size) + pcm + after
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


PCM = (sound()[:, 0] * 32767).astype("<i2").tobytes()
LIST = b"LIST" + struct.pack("<I", 16) + b"INFOINAM" + struct.pack("<I", 4) + b"abc\0"


@pytest.mark.parametrize(
    ("claimed", "after", "samples"),
    [
        (0, b"", 30000),
        (1000, b"", 30000),
        (59998, b"", 30000),
        (None, b"", 30000),
        (None, LIST, 30000),  # chunks behind the data are no sound
        (None, b"TAG" + bytes(125), 30000),
        (0xFFFFFFFF, b"", 30000),  # written into a pipe
    ],
)
def test_a_wav_is_read_to_its_end_whatever_its_size_field_says(
    tmp_path: Path, claimed: int | None, after: bytes, samples: int
) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav(PCM, claimed, after=after))
    x, info = audio.read(path)
    assert info.format == "WAV" and info.frames == samples
    np.testing.assert_array_equal(x[0] * 32768, np.frombuffer(PCM, "<i2"))
    wrong = claimed not in (None, 0xFFFFFFFF)
    assert ("60000 are there" in info.note) == wrong and (info.note == "") == (not wrong)


def test_an_empty_data_chunk_before_others_is_empty(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(b"", 0, after=LIST))
    with pytest.raises(AudioError, match="no audio samples"):
        audio.probe(tmp_path / "x.wav")


@pytest.mark.parametrize("after", [b"", LIST])
def test_a_size_that_wrapped_at_4_gib(tmp_path: Path, after: bytes) -> None:
    """Six hours of stereo in a sparse file: the end is found and what stands there is read."""
    path = tmp_path / "x.wav"
    total = (1 << 32) + 4 * 1000
    with path.open("wb") as file:
        head = wav(b"", total & 0xFFFFFFFF, channels=2)
        file.write(head)
        file.seek(len(head) + total - len(PCM))
        file.write(PCM + after)
    info = audio.probe(path)
    assert info.frames == total // 4 and info.format == "WAV" and "all of them are read" in info.note
    blocks = list(audio.read_blocks(path, first=info.frames - 15000))
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1).T.ravel() * 32768, np.frombuffer(PCM, "<i2"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.aiff", {"subtype": "PCM_24"}),
        ("x.caf", {}),
        ("x.w64", {}),
        ("x.au", {}),
        ("x.rf64", {"subtype": "FLOAT"}),
        ("x.wav", {"format": "WAVEX", "subtype": "PCM_24"}),
        ("x.wav", {"endian": "BIG"}),
    ],
)
@pytest.mark.parametrize("claimed", ["nothing", "too little"])
def test_every_format_with_a_size_is_read_to_its_end(
    tmp_path: Path, name: str, options: dict[str, str], claimed: str
) -> None:
    path = tmp_path / name
    soundfile.write(path, sound(channels=2), RATE, **options)
    expected, right = audio.read(path)
    data = bytearray(path.read_bytes())
    little = 1200 if claimed == "too little" else 0
    if name.endswith(".aiff"):
        at = data.index(b"SSND")
        struct.pack_into(">I", data, at + 4, little + 8)
        struct.pack_into(">I", data, data.index(b"COMM") + 10, little // 6)
        del data[at + 16 + 30000 * 6 :]
    elif name.endswith(".caf"):
        struct.pack_into(">q", data, data.index(b"data") + 4, little + 4 if little else -1)
    elif name.endswith(".w64"):
        at = data.index(b"data")
        struct.pack_into("<Q", data, at + 16, little + 24)
        struct.pack_into("<Q", data, 16, at + 24 + little)
    elif name.endswith(".au"):
        struct.pack_into(">I", data, 8, little)
    elif name.endswith(".rf64"):
        struct.pack_into("<QQ", data, 20, little, little)
    else:
        order = ">I" if data[:4] == b"RIFX" else "<I"
        struct.pack_into(order, data, data.index(b"data") + 4, little)
    path.write_bytes(data)
    x, info = audio.read(path)
    np.testing.assert_array_equal(x, expected)
    assert info.frames == right.frames and info.note


ORDINARY = [
    ("x.wav", {"subtype": "PCM_16"}),
    ("x.wav", {"subtype": "FLOAT"}),
    ("x.wav", {"subtype": "MS_ADPCM"}),
    ("x.wav", {"subtype": "GSM610"}),
    ("x.wav", {"format": "WAVEX", "subtype": "PCM_24"}),
    ("x.aiff", {}),
    ("x.au", {}),
    ("x.caf", {"subtype": "ALAC_16"}),
    ("x.w64", {}),
    ("x.rf64", {}),
    ("x.flac", {}),
    ("x.ogg", {}),
    ("x.opus", {"format": "OGG", "subtype": "OPUS"}),
    ("x.mp3", {}),
]


@pytest.mark.parametrize(("name", "options"), ORDINARY)
@pytest.mark.parametrize("samples", [1, 777, 70001])
def test_ordinary_files_are_left_to_libsndfile(
    tmp_path: Path, name: str, options: dict[str, str], samples: int
) -> None:
    path = tmp_path / name
    soundfile.write(path, sound(samples), RATE, **options)
    assert layout(path).streams == ()
    plain = soundfile.read(path, dtype="float32", always_2d=True)[0]
    x, info = audio.read(path)
    np.testing.assert_array_equal(x, plain.T)
    assert info.note == "" and info.frames == soundfile.info(path).frames


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.ogg", {}),
        ("x.opus", {"format": "OGG", "subtype": "OPUS"}),
        ("x.mp3", {}),
        ("x.flac", {}),
        ("x.wav", {}),
        ("x.aiff", {}),
        ("x.au", {}),
    ],
)
def test_files_that_were_joined_are_read_one_after_the_other(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    parts, joined = [], b""
    for i, samples in enumerate((20000, 3000, 40000)):
        path = tmp_path / f"{i}{name}"
        soundfile.write(path, sound(samples, 2, seed=i), RATE, **options)
        parts.append(audio.read(path)[0])
        joined += path.read_bytes()
    (tmp_path / name).write_bytes(joined)
    x, info = audio.read(tmp_path / name)
    assert info.frames == 63000
    np.testing.assert_array_equal(x, np.concatenate(parts, axis=1))
    stretch = np.concatenate(list(audio.read_blocks(tmp_path / name, first=19990, count=3020)), axis=1)
    assert np.abs(stretch - x[:, 19990:23010]).max() < 1e-2  # decoders of MP3 start a little differently


@pytest.mark.parametrize("name", ["x.ogg", "x.mp3", "x.wav", "x.flac"])
def test_streams_of_several_rates_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    joined = b""
    for rate in (48000, 44100):
        soundfile.write(tmp_path / name, sound(20000), rate)
        joined += (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(joined)
    with pytest.raises(AudioError, match=r"2 streams.*48000 Hz.*44100 Hz.*split") as caught:
        audio.read(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("rate", "subtype"), [(48000, "PCM_16"), (11025, "PCM_24"), (96000, "PCM_S8")])
@pytest.mark.parametrize("samples", [1, 4095, 4096, 50001])
def test_flac_without_a_length_is_read_like_one_with(
    tmp_path: Path, rate: int, subtype: str, samples: int
) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, sound(samples, 2), rate, subtype=subtype)
    expected = audio.read(path)[0]
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    x, info = audio.read(path)
    np.testing.assert_array_equal(x, expected)
    assert info.frames == samples and info.note == ""
    path.write_bytes(data[: len(data) * 2 // 3])
    if samples == 50001:
        with pytest.raises(AudioError, match="truncated"):
            audio.read(path)


def varying(seconds: float = 6.0) -> np.ndarray:
    """A quiet tone, then noise, so that a variable bit rate varies."""
    time = np.arange(round(seconds * RATE)) / RATE
    x = 0.01 * np.sin(2 * np.pi * 300 * time)
    x[len(x) // 3 :] += sound(len(x) - len(x) // 3)[:, 0]
    return x


@pytest.mark.parametrize("loud_first", [False, True])
def test_variable_mp3_without_a_count_is_read_to_its_end(tmp_path: Path, loud_first: bool) -> None:
    """The guess from the first frames is too short after loud ones, too long after quiet ones."""
    x = varying()
    path = tmp_path / "x.mp3"
    with soundfile.SoundFile(path, "w", RATE, 1, bitrate_mode="VARIABLE", compression_level=0.3) as file:
        file.write(x[::-1] if loud_first else x)
    counted = audio.read(path)[0]
    path.write_bytes(without_count(path.read_bytes()))
    guessed = soundfile.info(path).frames
    y, info = audio.read(path)
    assert abs(guessed - info.frames) > RATE  # or nothing would be tested
    assert info.frames == y.shape[1] and info.frames % 1152 == 0
    assert 0 <= y.shape[1] - counted.shape[1] < 4 * 1152  # the encoder's padding is left in
    delay = 1105  # of encoder and decoder, which the count's frame would have told
    near = y[0, delay : delay + counted.shape[1]]
    assert np.corrcoef(near[RATE:-RATE], counted[0, RATE:-RATE])[0, 1] > 0.999


def test_an_mp3_that_went_on_after_its_count_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    soundfile.write(path, sound(40000), RATE)
    data = path.read_bytes()
    path.write_bytes(data + without_count(data))
    x, info = audio.read(path)
    assert x.shape[1] > 2 * 40000 - 1152 and "all of them are read" in info.note


def test_a_block_of_mp3_does_not_depend_on_where_blocks_end(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    soundfile.write(path, sound(200000), RATE)
    path.write_bytes(without_count(path.read_bytes()))
    plain = soundfile.read(path, dtype="float32")[0]
    blocks = np.concatenate(list(audio.read_blocks(path, frames=5000)), axis=1)
    np.testing.assert_array_equal(blocks[0, : len(plain)], plain)


CUT = {"x.wav": {}, "x.flac": {}, "x.ogg": {}, "x.mp3": {}, "x.aiff": {}, "x.w64": {}}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("share", [0.6, 0.999])
def test_salvage_takes_what_is_there_and_says_so(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    soundfile.write(path, sound(60000), RATE)
    expected = audio.read(path)[0]
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    if name != "x.mp3" or share < 0.9:
        with pytest.raises(AudioError, match="--salvage"):
            audio.read(path)
    info = audio.probe(path, salvage=True)
    x = np.concatenate(list(audio.read_blocks(path, salvage=True)), axis=1)
    assert x.shape[1] == info.frames and 60000 * share - 20000 < info.frames <= 60000
    if name in ("x.wav", "x.aiff", "x.w64", "x.flac"):
        np.testing.assert_array_equal(x, expected[:, : info.frames])
    assert "truncated" in info.note or name == "x.mp3"


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=400), magic=st.sampled_from([b"RIFF", b"FORM", b"caff", b"riff", b"RF64", b".snd",
    b"OggS", b"fLaC", b"\xff\xfb\x90\x00", b"ID3\x04", b""]))  # fmt: skip
def test_any_bytes_are_laid_out_or_left_alone(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.wav"
    path.write_bytes(magic + data)
    for stretch in layout(path).streams:
        assert 0 <= stretch.start <= stretch.end <= len(magic + data)
    with pytest.raises(AudioError):
        audio.read(path)


@pytest.mark.parametrize("form", ["WAV", "AIFF", "AU", "FLAC"])
def test_id3_tags_before_a_file_are_passed_over(tmp_path: Path, form: str) -> None:
    """Players skip them in front of anything."""
    path = tmp_path / f"x.{form.lower()}"
    soundfile.write(path, sound(5000), RATE)
    expected = audio.read(path)[0]
    path.write_bytes(b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + path.read_bytes())
    np.testing.assert_array_equal(audio.read(path)[0], expected)


def test_a_count_that_reaches_past_its_mp3_frame_is_none(tmp_path: Path) -> None:
    frames = bytearray((bytes([0xFF, 0xF3, 0x14, 0xC4]) + bytes(20)) * 8)  # 24 bytes each
    frames[13:17] = b"Xing"
    (tmp_path / "x.mp3").write_bytes(frames)
    assert audio.read(tmp_path / "x.mp3")[1].frames == 8 * 576


def test_a_slice_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    with Slice(path, Stretch(10, 20, b"head")) as piece:
        assert piece.read() == b"head" + bytes(range(10, 20))
        assert piece.seek(-3, os.SEEK_END) == 11 and piece.read(2) == bytes([17, 18])
        assert piece.seek(2) == 2 and piece.read(4) == b"ad" + bytes([10, 11])


def test_an_rf64_that_ends_in_its_sizes_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(100), RATE, "PCM_16", format="RF64")
    whole = (tmp_path / "a.wav").read_bytes()
    assert whole[12:16] == b"ds64"
    for end in range(12, 40):
        (tmp_path / "a.wav").write_bytes(whole[:end])
        with pytest.raises(AudioError):
            audio.read(tmp_path / "a.wav")
