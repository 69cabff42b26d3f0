"""What a denoised file keeps of its source: depth, codec, bit rate, places of channels, tags, cover, length."""

from __future__ import annotations

import base64
import os
import struct
import subprocess
import sys
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, TIT2, TPE1, TSSE, TXXX
from mutagen.mp3 import MP3

from diffgmm import audio
from diffgmm.audio import AudioError, AudioInfo, Writer, choose_format
from diffgmm.audio.streams import chunks

RATE = 48000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def noise(samples: int = 96000, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.4, 0.4, (channels, samples)).astype(np.float32)


def source(
    path: Path, samples: int = 96000, channels: int = 1, rate: int = RATE, **options: object
) -> AudioInfo:
    with soundfile.SoundFile(path, "w", rate, channels, **options) as file:
        file.write(noise(samples, channels).T)
    return audio.probe(path)


def copied(like: AudioInfo, target: Path) -> Writer:
    """The sound of a file written as the denoised one would be."""
    form, subtype = choose_format(target, like)
    with Writer(
        target, like.sample_rate, like.channels, format=form, subtype=subtype, like=like, frames=like.frames
    ) as writer:
        for block in audio.read_blocks(like.path):
            writer.write(block)
    return writer


@pytest.mark.parametrize(
    ("name", "subtype", "target", "expected"),
    [
        ("x.mp3", "MPEG_LAYER_III", "y.wav", ("WAV", "PCM_16")),
        ("x.mp3", "MPEG_LAYER_III", "y.flac", ("FLAC", "PCM_16")),
        ("x.mp3", "MPEG_LAYER_III", "y.aiff", ("AIFF", "PCM_16")),
        ("x.mp3", "MPEG_LAYER_III", "y.caf", ("CAF", "PCM_16")),
        ("x.mp3", "MPEG_LAYER_III", "y.opus", ("OGG", "OPUS")),
        ("x.ogg", "VORBIS", "y.opus", ("OGG", "OPUS")),
        ("x.ogg", "VORBIS", "y.mp3", ("MP3", "MPEG_LAYER_III")),
        ("x.ogg", "VORBIS", "y.w64", ("W64", "PCM_16")),
        ("x.opus", "OPUS", "y.ogg", ("OGG", "OPUS")),
        ("x.opus", "OPUS", "y.wav", ("WAV", "PCM_16")),
        ("x.wav", "FLOAT", "y.flac", ("FLAC", "PCM_24")),
        ("x.wav", "FLOAT", "y.aiff", ("AIFF", "FLOAT")),
        ("x.wav", "DOUBLE", "y.caf", ("CAF", "DOUBLE")),
        ("x.wav", "PCM_32", "y.flac", ("FLAC", "PCM_24")),
        ("x.wav", "PCM_24", "y.flac", ("FLAC", "PCM_24")),
        ("x.wav", "PCM_U8", "y.flac", ("FLAC", "PCM_S8")),
        ("x.wav", "PCM_U8", "y.aiff", ("AIFF", "PCM_U8")),
        ("x.wav", "ULAW", "y.flac", ("FLAC", "PCM_16")),
        ("x.wav", "ULAW", "y.au", ("AU", "ULAW")),
        ("x.wav", "MS_ADPCM", "y.flac", ("FLAC", "PCM_16")),
        ("x.caf", "ALAC_24", "y.wav", ("WAV", "PCM_24")),
        ("x.caf", "ALAC_20", "y.flac", ("FLAC", "PCM_24")),
        ("x.caf", "ALAC_16", "y.caf", ("CAF", "ALAC_16")),
        ("x.flac", "PCM_24", "y.mp3", ("MP3", "MPEG_LAYER_III")),
        ("x", "PCM_24", "x.denoised", ("WAV", "PCM_24")),
    ],
)
def test_another_format_gets_the_best_it_can_hold(
    tmp_path: Path, name: str, subtype: str, target: str, expected: tuple[str, str]
) -> None:
    form = {"": "WAV", **audio.FORMATS}[Path(name).suffix]
    like = source(tmp_path / name, 9600, subtype=subtype, format=form)
    assert choose_format(tmp_path / target, like) == expected
    copied(like, tmp_path / target)
    with soundfile.SoundFile(tmp_path / target) as file:
        assert (file.format, file.subtype) == expected and file.frames >= 9600


@pytest.mark.parametrize("kbits", [64, 128, 320])
@pytest.mark.parametrize("target", ["y.mp3", "y.opus", "y.ogg"])
def test_the_bit_rate_of_an_mp3_is_kept(tmp_path: Path, kbits: int, target: str) -> None:
    like = source(
        tmp_path / "x.mp3", 240000, 2, bitrate_mode="CONSTANT", compression_level=(320 - kbits) / 288 * 0.999
    )
    assert MP3(like.path).info.bitrate == 1000 * kbits
    copied(like, tmp_path / target)
    if target == "y.mp3":
        assert MP3(tmp_path / target).info.bitrate == 1000 * kbits
    elif target == "y.opus":
        seconds = like.seconds
        assert (tmp_path / target).stat().st_size * 8 / 1000 / seconds == pytest.approx(kbits, rel=0.15)
    else:
        assert mutagen.File(tmp_path / target).info.bitrate == pytest.approx(1000 * kbits, rel=0.1)


@pytest.mark.parametrize("level", [0.2, 0.6, 0.9])
@pytest.mark.parametrize(("channels", "rate"), [(1, 16000), (2, 44100)])
def test_the_quality_of_vorbis_is_kept(tmp_path: Path, level: float, channels: int, rate: int) -> None:
    like = source(tmp_path / "x.ogg", 20000, channels, rate, compression_level=level)
    copied(like, tmp_path / "y.ogg")
    nominal = [mutagen.File(tmp_path / name).info.bitrate for name in ("x.ogg", "y.ogg")]
    assert nominal[0] == nominal[1]


def test_what_has_no_bit_rate_gets_the_usual_one(tmp_path: Path) -> None:
    like = source(tmp_path / "x.wav")
    copied(like, tmp_path / "y.mp3")
    soundfile.write(tmp_path / "plain.mp3", noise().T, RATE)
    sizes = [(tmp_path / name).stat().st_size for name in ("y.mp3", "plain.mp3")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


@pytest.mark.parametrize("mask", [0x3F, 0x60F])  # 5.1 with speakers at the back, and at the sides
def test_channels_keep_their_places(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "x.wav"
    source(path, 1000, 6, format="WAVEX", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"fmt ") + 8 + 20, mask)
    path.write_bytes(data)
    copied(audio.probe(path), tmp_path / "y.wav")
    written = (tmp_path / "y.wav").read_bytes()
    assert struct.unpack_from("<I", written, written.index(b"fmt ") + 8 + 20) == (mask,)


@pytest.mark.parametrize("mask", [0x3F, 0x60F])
def test_channels_keep_their_places_in_flac_and_back(tmp_path: Path, mask: int) -> None:
    """In the tag that RFC 9639 has for it; soundfile writes none, and players would take the speakers at the sides."""
    path = tmp_path / "x.wav"
    source(path, 1000, 6, format="WAVEX", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"fmt ") + 8 + 20, mask)
    path.write_bytes(data)
    copied(audio.probe(path), tmp_path / "y.flac")
    tags = FLAC(tmp_path / "y.flac").tags
    assert (tags or {}).get("WAVEFORMATEXTENSIBLE_CHANNEL_MASK", []) == ([] if mask == 0x60F else ["0x003F"])
    copied(audio.probe(tmp_path / "y.flac"), tmp_path / "z.wav")
    written = (tmp_path / "z.wav").read_bytes()
    assert struct.unpack_from("<I", written, written.index(b"fmt ") + 8 + 20) == (mask,)


def test_chunks_of_a_broadcast_wav_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    source(path, 1001, subtype="PCM_24")
    bext = (
        b"bext"
        + struct.pack("<I", 602)
        + b"scene 1".ljust(338, b"\0")
        + struct.pack("<Q", 123456)
        + bytes(256)
    )
    title = b"LIST" + struct.pack("<I", 16) + b"INFOINAM" + struct.pack("<I", 4) + b"abc\0"
    extra = bext + b"iXML" + struct.pack("<I", 5) + b"<x/>\n\0" + title
    data = bytearray(path.read_bytes() + extra)
    assert len(data) % 2 == 0  # 3003 bytes of samples and one of padding
    struct.pack_into("<I", data, 4, len(data) - 8)
    path.write_bytes(data)
    like = audio.probe(path)
    assert like.frames == 1001
    writer = copied(like, tmp_path / "y.wav")
    out = (tmp_path / "y.wav").read_bytes()
    assert writer.lost == [] and extra in out and struct.unpack_from("<I", out, 4) == (len(out) - 8,)
    assert [chunk.name for chunk in chunks(out)][-3:] == [b"bext", b"iXML", b"LIST"]
    np.testing.assert_array_equal(audio.read(tmp_path / "y.wav")[0], audio.read(path)[0])
    assert soundfile.SoundFile(tmp_path / "y.wav").title == "abc"
    for name in ("y.flac", "y.mp3", "y.w64"):  # what other kinds of file have no place for is told
        lost = copied(like, tmp_path / name).lost
        assert lost[-2:] == ["broadcast time and description (BWF)", "iXML"], (name, lost)


def test_tags_and_cover_of_an_mp3(tmp_path: Path) -> None:
    like = source(tmp_path / "x.mp3")
    tags = ID3()
    tags.add(TIT2(encoding=3, text="Título"))
    tags.add(TPE1(encoding=3, text="someone"))
    tags.add(TXXX(encoding=3, desc="place", text="here"))
    tags.add(COMM(encoding=3, lang="eng", desc="", text="by the sea"))
    tags.add(TSSE(encoding=3, text="another encoder"))
    tags.add(APIC(encoding=3, mime="image/png", type=3, desc="front", data=PNG))
    tags.save(like.path)
    like = audio.probe(like.path)
    assert copied(like, tmp_path / "y.mp3").lost == []
    kept = ID3(tmp_path / "y.mp3")
    assert kept["TIT2"].text == ["Título"] and kept["TXXX:place"].text == ["here"]
    assert kept.getall("APIC")[0].data == PNG and not kept.getall("TSSE")
    assert audio.probe(tmp_path / "y.mp3").frames == like.frames

    copied(like, tmp_path / "y.flac")
    flac = FLAC(tmp_path / "y.flac")
    assert flac["title"] == ["Título"] and flac["artist"] == ["someone"] and flac.pictures[0].data == PNG
    copied(like, tmp_path / "y.opus")
    opus = mutagen.File(tmp_path / "y.opus")
    assert opus["title"] == ["Título"]
    assert Picture(base64.b64decode(opus["metadata_block_picture"][0])).data == PNG
    wav = copied(like, tmp_path / "y.wav")
    assert soundfile.SoundFile(tmp_path / "y.wav").title == "Título" and wav.lost == ["cover"]
    w64 = copied(like, tmp_path / "y.w64")
    assert w64.lost == ["tags", "cover"]


@pytest.mark.parametrize("name", ["x.flac", "x.ogg", "x.opus"])
@pytest.mark.parametrize("target", ["same", "y.mp3", "y.wav"])
def test_comments_of_flac_and_ogg(tmp_path: Path, name: str, target: str) -> None:
    like = source(tmp_path / name, format=audio.FORMATS[Path(name).suffix],
                  subtype={"x.flac": "PCM_16", "x.ogg": "VORBIS", "x.opus": "OPUS"}[name])  # fmt: skip
    picture = Picture()
    picture.data, picture.mime, picture.type = PNG, "image/png", 3
    tags = mutagen.File(like.path)
    if tags.tags is None:
        tags.add_tags()
    tags["title"], tags["artist"], tags["encoder"] = ["T"], ["A", "B"], ["none of ours"]
    if name == "x.flac":
        tags.add_picture(picture)
    else:
        tags["metadata_block_picture"] = [base64.b64encode(picture.write()).decode()]
    tags.save()
    out = tmp_path / (f"y{Path(name).suffix}" if target == "same" else target)
    lost = copied(audio.probe(like.path), out).lost
    kept = mutagen.File(out, easy=True)
    if target == "same":
        assert (
            kept["title"] == ["T"]
            and kept["artist"] == ["A", "B"]
            and kept.get("encoder") != ["none of ours"]
        )
        data = (
            kept.pictures[0].data if name == "x.flac" else base64.b64decode(kept["metadata_block_picture"][0])
        )
        assert PNG in data and lost == []
    elif target == "y.mp3":
        assert kept["title"] == ["T"] and ID3(out).getall("APIC")[0].data == PNG and lost == []
    else:
        assert soundfile.SoundFile(out).title == "T" and lost == ["cover"]


@pytest.mark.parametrize("name", ["y.wav", "y.flac", "y.mp3"])
def test_without_tags_nothing_is_added(tmp_path: Path, name: str) -> None:
    like = source(tmp_path / f"x{Path(name).suffix}")
    form, subtype = choose_format(tmp_path / name, like)
    copied(like, tmp_path / name)
    audio.write(tmp_path / f"plain{name}", audio.read(like.path)[0], RATE, format=form, subtype=subtype)
    if name != "y.mp3":  # its bit rate is kept now
        assert (tmp_path / name).read_bytes() == (tmp_path / f"plain{name}").read_bytes()
    assert mutagen.File(tmp_path / name).tags in (None, [])


def test_damaged_tags_do_not_stop_the_sound(tmp_path: Path) -> None:
    like = source(tmp_path / "x.mp3")
    like.path.write_bytes(
        b"ID3\x09\x00\x00\x00\x00\x00\x0a" + bytes(10) + like.path.read_bytes()
    )  # version 2.9
    writer = copied(audio.probe(like.path), tmp_path / "y.mp3")
    assert len(writer.lost) == 1 and "tags" in writer.lost[0]
    assert audio.probe(tmp_path / "y.mp3").frames == like.frames


def test_a_wav_beyond_4_gib_is_rf64_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit lowered to 4 kB; `test_four_gib` writes a true one."""
    monkeypatch.setattr("diffgmm.audio.writer.MOST_BYTES", 4000)
    x = noise(2000)
    for name, options in (("a.wav", {"subtype": "FLOAT"}), ("b.wav", {"subtype": "PCM_24"})):
        audio.write(tmp_path / name, x, RATE, **options)
        assert soundfile.info(tmp_path / name).format == "RF64"
        assert audio.probe(tmp_path / name).frames == 2000
        with Writer(tmp_path / name, RATE, 1, **options, overwrite=True) as writer:  # length not known before
            writer.write(x[:, :900])
            writer.write(x[:, 900:])
        assert soundfile.info(tmp_path / name).format == "RF64"
        assert np.abs(audio.read(tmp_path / name)[0] - x).max() < 2**-23
    with pytest.raises(AudioError, match="more than AIFF holds"):
        Writer(tmp_path / "c.aiff", RATE, 1, subtype="FLOAT", frames=2000)
    with pytest.raises(AudioError, match="more than AU holds"), Writer(tmp_path / "c.au", RATE, 1) as writer:
        for _ in range(10):
            writer.write(x)
    audio.write(tmp_path / "d.w64", x, RATE, subtype="FLOAT")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav", "d.w64"]


@pytest.mark.slow
def test_four_gib(tmp_path: Path) -> None:
    """A true file of 4.1 GiB (8 GiB of disk for half a minute): its last samples are there."""
    block = np.zeros((2, 1 << 20), np.float32)
    count = 550
    with Writer(tmp_path / "x.wav", RATE, 2, subtype="FLOAT", frames=count << 20) as writer:
        for i in range(count):
            block[0, -1] = i / count
            writer.write(block)
    info = audio.probe(tmp_path / "x.wav")
    assert info.frames == count << 20 and info.frames * 8 > 1 << 32
    (last,) = audio.read_blocks(tmp_path / "x.wav", first=info.frames - 1)
    assert last[0, 0] == np.float32((count - 1) / count)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_clip_keep_leaves_the_level(tmp_path: Path, subtype: str) -> None:
    x = noise(1000)
    x[0, :3] = 1.5, -2.0, 0.999
    with Writer(tmp_path / "x.wav", RATE, 1, subtype=subtype, clip="keep", frames=1000) as writer:
        writer.write(x)
    y = audio.read(tmp_path / "x.wav")[0]
    expected = x if subtype == "FLOAT" else np.clip(x, -1, 1)
    assert np.abs(y - expected).max() <= 2**-15
    assert writer.gain == 1.0 and writer.clipped == (0 if subtype == "FLOAT" else 2)
    with pytest.raises(ValueError, match="clip must be scale or keep"):
        Writer(tmp_path / "y.wav", RATE, 1, clip="loud")  # type: ignore[arg-type]


FILL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import numpy as np
from diffgmm import audio
audio.probe(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    audio.write(sys.argv[2], np.random.default_rng(0).uniform(-.5, .5, (1, 300_000)), 48000, subtype=sys.argv[3])
except audio.AudioError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("y.wav", "FLOAT"), ("y.wav", "PCM_16"), ("y.flac", "PCM_24"), ("y.mp3", "MPEG_LAYER_III")],
)
def test_a_full_disk_is_told_in_the_systems_words(tmp_path: Path, name: str, subtype: str) -> None:
    """Files may not pass 100 kB here, which the system refuses at the same place as a full disk."""
    like = source(tmp_path / "x.wav", 1000)
    limit = 100_000 if subtype != "MPEG_LAYER_III" else 30_000
    program = FILL.replace("100_000, 100_000", f"{limit}, {limit}")
    command = [sys.executable, "-c", program, like.path, tmp_path / name, subtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{name}: writing failed: File too large" in done.stdout and done.stdout.count("\n") == 1, done
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.wav"]


def test_temporary_names_are_cut_by_bytes(tmp_path: Path) -> None:
    for name in ("絆" * 80 + ".wav", "😀" * 62 + ".wav"):
        audio.write(tmp_path / name, noise(10), RATE)
        assert audio.probe(tmp_path / name).frames == 10


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.mp3"])
def test_a_file_gets_its_name_when_its_last_sample_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whoever watches the folder opens what appears at once."""
    rename, whole = os.replace, []

    def watched(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        whole.append(Path(source).read_bytes())
        rename(source, target)

    monkeypatch.setattr(os, "replace", watched)
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 40000)).astype(np.float32)
    with Writer(tmp_path / name, 16000, 1) as writer:
        writer.write(sound)
    assert whole == [(tmp_path / name).read_bytes()]
    assert soundfile.info(tmp_path / name).frames == 40000


@pytest.mark.parametrize("name", ["x.wav", "x.aiff"])
def test_a_file_that_was_joined_to_another_is_no_chunk_of_it(tmp_path: Path, name: str) -> None:
    """Its sound is read after the first one's; copied as a chunk, too, it made an output that nothing opens."""
    path = tmp_path / name
    source(path, 1000, 2, subtype="PCM_16")
    path.write_bytes(path.read_bytes() * 2)
    out = tmp_path / f"y{path.suffix}"
    copied(audio.probe(path), out)
    assert soundfile.info(out).frames == audio.probe(path).frames == 2000
