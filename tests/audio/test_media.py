"""Containers of AAC and video: what -o names is written, pictures are copied and stay in step with the sound."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from page_commands import commands

from diffgmm import audio
from diffgmm.cli.main import main

av = pytest.importorskip("av", reason="needs PyAV: pip install av")

RATE, FPS, SECONDS = 48000, 25, 3


def bursts(seconds: float = SECONDS) -> np.ndarray:
    """Half a second of silence, then a tenth of a second of a tone, and so on; ``[samples]``."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * 1000 * time) * ((time % 0.6) >= 0.5)).astype(np.float32)


def video(
    path: Path, pictures: str = "libx264", sound: str = "aac", told: Callable[[float], float] | None = None
) -> Path:
    """A film whose frames grow brighter, with :func:`bursts` as its sound.

    Args:
        told: the time stamp that a packet of the sound gets, in seconds, by where it belongs.
    """
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Tïtle"
        stream = container.add_stream(pictures, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        heard = container.add_stream(sound, rate=RATE, layout="mono")
        for i in range(SECONDS * FPS):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 3 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        x, packets = bursts(), []
        for start in range(0, x.size, 960):
            frame = av.AudioFrame.from_ndarray(x[None, start : start + 960], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), start
            packets += heard.encode(frame)
        for packet in [*packets, *heard.encode(None)]:
            if told:
                stamp = round(told(float(packet.pts * packet.time_base)) / packet.time_base)
                packet.pts = packet.dts = stamp
            container.mux(packet)
    return path


def pictures(path: Path) -> list[tuple[Fraction, str]]:
    """Time and content of every packet of the pictures, coded as they are."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
        return [
            (packet.pts * packet.time_base, hashlib.sha256(bytes(packet)).hexdigest()) for packet in packets
        ]


def starts(path: Path) -> np.ndarray:
    """When bursts begin, in seconds, by the time stamps that a player goes by."""
    sounding: list[np.ndarray] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            x = np.abs(frame.to_ndarray().reshape(-1))
            times = float(frame.pts * frame.time_base) + np.arange(x.size) / frame.sample_rate
            sounding.append(times[x > 0.25])
    times = np.concatenate(sounding)
    return times[np.diff(times, prepend=-1.0) > 0.2]


def run(source: Path, target: Path) -> int:
    """Denoise with strength 0, which leaves the sound as it is."""
    return main(["denoise", str(source), "-o", str(target), "--model", "small", "--strength", "0"])


@pytest.mark.parametrize(
    ("codec", "sound", "source", "target"),
    [
        ("libx264", "aac", "a.mp4", "b.mp4"),
        ("libx264", "aac", "a.mkv", "b.mov"),
        ("libx264", "aac", "a.mp4", "b.mkv"),
        ("libvpx-vp9", "libopus", "a.webm", "b.webm"),
    ],
)
def test_a_video_keeps_its_pictures(
    codec: str,
    sound: str,
    source: str,
    target: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    film = video(tmp_path / source, codec, sound)
    assert run(film, tmp_path / target) == 0
    assert "not kept" not in capsys.readouterr().out
    before, after = pictures(film), pictures(tmp_path / target)
    assert [content for _, content in after] == [content for _, content in before] and len(
        after
    ) == SECONDS * FPS
    assert max(abs(float(a - b)) for (a, _), (b, _) in zip(after, before, strict=True)) < 2e-3
    np.testing.assert_allclose(starts(tmp_path / target), starts(film), atol=2e-3)
    with av.open(str(tmp_path / target)) as container:
        assert container.metadata["title"] == "Tïtle"
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.streams.audio[0].rate == RATE
    x, y = (audio.read(path)[0][0] for path in (film, tmp_path / target))
    size = min(x.size, y.size)
    assert abs(x.size - y.size) <= 2048 and np.abs(x[:size] - y[:size]).mean() < 0.01


@pytest.mark.parametrize(
    "told",
    [lambda t: t + 0.5, lambda t: t + 0.4 * (t > 1.2), lambda t: 0.93 * t],
    ids=["begins late", "breaks off", "slow clock"],
)
def test_sound_stays_with_its_pictures(told: Callable[[float], float], tmp_path: Path) -> None:
    """Sound that a recorder lost, or counted by another clock than the pictures."""
    film = video(tmp_path / "a.mkv", told=told)
    expected = starts(film)
    assert abs(expected - starts(video(tmp_path / "plain.mkv"))).max() > 0.15
    assert run(film, tmp_path / "b.mkv") == 0
    np.testing.assert_allclose(starts(tmp_path / "b.mkv"), expected, atol=0.04)


def test_the_ending_chooses_the_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stereo = np.stack([bursts(), 0.5 * bursts()])
    soundfile.write(tmp_path / "a.wav", stereo.T, RATE)
    for ending, codec in {
        ".m4a": "aac",
        ".aac": "aac",
        ".mka": "opus",
        ".webm": "opus",
        ".mp4": "aac",
    }.items():
        target = tmp_path / f"b{ending}"
        assert run(tmp_path / "a.wav", target) == 0
        with av.open(str(target)) as container:
            assert [stream.codec_context.name for stream in container.streams] == [codec]
        y, info = audio.read(target)
        assert (info.sample_rate, info.channels) == (RATE, 2)
        delay = (
            info.frames - y.shape[1] + int(np.argmax(np.abs(y[0]) > 0.25)) - int(np.argmax(stereo[0] > 0.25))
        )
        assert abs(delay) < 1100
        assert np.abs(y[1]).max() == pytest.approx(0.25, rel=0.15)  # channels in their places
    film = video(tmp_path / "a.mp4")
    for ending in (".m4a", ".flac", ".mp3"):
        assert run(film, tmp_path / f"c{ending}") == 0
    with av.open(str(tmp_path / "c.m4a")) as container:
        assert [stream.type for stream in container.streams] == ["audio"]
        assert container.metadata["title"] == "Tïtle" and container.metadata["major_brand"] == "M4A "
    capsys.readouterr()
    soundfile.write(tmp_path / "odd.wav", stereo.T, 44100)
    assert run(tmp_path / "odd.wav", tmp_path / "odd.webm") == 0
    assert "not kept: the rate of 44100 Hz, it is 48000" in capsys.readouterr().out


def test_tags_cover_and_chapters_go_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mutagen.flac import FLAC, Picture

    soundfile.write(tmp_path / "a.flac", bursts(), RATE)
    with av.open(str(tmp_path / "cover.jpg"), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8), format="rgb24"))
        )
        container.mux(stream.encode(None))
    tagged, cover = FLAC(tmp_path / "a.flac"), Picture()
    cover.data, cover.mime, cover.type = (tmp_path / "cover.jpg").read_bytes(), "image/jpeg", 3
    tagged["artist"] = "Anybody"
    tagged.add_picture(cover)
    tagged.save()
    assert run(tmp_path / "a.flac", tmp_path / "b.m4a") == 0
    assert "not kept" not in capsys.readouterr().out
    with av.open(str(tmp_path / "b.m4a")) as container:
        assert container.metadata["artist"] == "Anybody"
        (picture,) = [packet for packet in container.demux(video=0) if packet.size]
        assert bytes(picture) == cover.data
    assert run(tmp_path / "a.flac", tmp_path / "b.mka") == 0
    assert "not kept: cover" in capsys.readouterr().out
    # A second hand: the chapters of an audio book.
    with (
        av.open(str(tmp_path / "b.m4a")) as old,
        av.open(str(tmp_path / "book.m4b"), "w", format="mp4") as new,
    ):
        copy = new.add_stream_from_template(old.streams.audio[0])
        new.set_chapters(
            [{"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
        )
        for packet in old.demux(audio=0):
            if packet.dts is not None:
                packet.stream = copy
                new.mux(packet)
    assert run(tmp_path / "book.m4b", tmp_path / "book2.m4b") == 0
    with av.open(str(tmp_path / "book2.m4b")) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One"]


def test_what_can_not_be_written_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = video(tmp_path / "a.mp4")
    before = {path.name for path in tmp_path.iterdir()}
    assert run(film, tmp_path / "b.webm") == 1
    assert capsys.readouterr().err == (
        f"diffgmm: error: {tmp_path}/b.webm: webm holds no pictures of h264; choose .mkv, or the video's own ending\n"
    )
    assert run(film, tmp_path / "b.wma") == 1
    assert "the name's ending is no audio format; use one of" in capsys.readouterr().err
    soundfile.write(tmp_path / "nine.wav", np.zeros((4800, 9)), RATE)
    assert run(tmp_path / "nine.wav", tmp_path / "nine.m4a") == 1
    assert "9 channels are too many for this format; choose .wav or .flac" in capsys.readouterr().err
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    assert run(damaged, tmp_path / "c.mp4") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == before | {"nine.wav", "damaged.mp4"}


def test_without_pyav_the_package_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", bursts(), RATE)
    monkeypatch.setattr("diffgmm.audio.writer.av_is_installed", lambda: False)
    assert run(tmp_path / "a.wav", tmp_path / "b.m4a") == 1
    assert "b.m4a: only PyAV writes this kind of file; pip install av" in capsys.readouterr().err


def test_the_command_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    ((program, *arguments),) = [line.split() for line in commands(page)]
    monkeypatch.chdir(tmp_path)
    film = video(Path("film.mp4"))
    assert program == "diffgmm" and main(arguments) == 0
    assert len(pictures(film)) == len(pictures(Path("denoised.mp4")))
    assert np.square(audio.read("denoised.mp4")[0]).mean() < np.square(audio.read(film)[0]).mean()


def test_a_folder_of_videos_becomes_wav_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    video(tmp_path / "in" / "a.mp4")
    assert run(tmp_path / "in", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.wav"]
