"""Names that are long, odd or missing, folders that lead back to themselves, pipes, and what is said of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffgmm import audio
from diffgmm.cli.main import main
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.saving import save_model
from diffgmm.networks import UNet

RATE = 16000


def noise(samples: int = 8000, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.3, 0.3, (samples, channels))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained, tiny mixture model on disk."""
    torch.manual_seed(0)
    stem = tmp_path_factory.mktemp("model") / "tiny"
    network = UNet([8, 8], [[4, 1], [2, 1]])
    save_model(stem, MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), network), {}, {"nfe": 1})
    return f"{stem}.json"


def command(*words: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "diffgmm.cli.main", *map(str, words)]
    return subprocess.run(line, capture_output=True, check=False, timeout=120, **options)  # type: ignore[call-overload]


def test_a_folder_without_a_name(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "takes" / "inner"
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", noise(), RATE)
    monkeypatch.chdir(folder)
    assert main(["denoise", ".", "--model", model]) == 0
    assert (tmp_path / "takes" / "inner.denoised" / "a.wav").is_file()
    soundfile.write(folder.parent / "b.wav", noise(), RATE)
    assert main(["denoise", "..", "--model", model]) == 0
    assert (tmp_path / "takes.denoised" / "b.wav").is_file()
    assert sorted(path.name for path in folder.iterdir()) == ["a.wav"]


@pytest.mark.parametrize("name", ["絆" * 80 + ".wav", "😀" * 62 + ".wav", "a" * 251 + ".wav"])
def test_names_as_long_as_a_system_allows(tmp_path: Path, model: str, name: str) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / name, noise(), RATE)
    assert main(["denoise", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_a_name_that_gets_too_long_is_told(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("a" * 251 + ".wav")
    soundfile.write(path, noise(), RATE)
    assert main(["denoise", str(path), "--model", model]) != 0
    error = capsys.readouterr().err
    assert "File name too long" in error and error.count("\n") == 1


def test_names_that_are_not_utf8_do_not_stop_a_batch(tmp_path: Path, model: str) -> None:
    names = [b"a\xfcb.wav", b"b.wav", b"c\xff\xfe.wav"]
    for name in names:
        audio.write(tmp_path / "x.wav", noise().T, RATE, overwrite=True)
        (tmp_path / "in").mkdir(exist_ok=True)
        os.rename(tmp_path / "x.wav", os.fsencode(tmp_path / "in") + b"/" + name)  # noqa: PTH104 - bytes
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = command("denoise", tmp_path / "in", "-o", tmp_path / "out", "--model", model, env=environment)
    assert done.returncode == 0 and done.stderr == b""
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == names  # noqa: PTH208 - bytes
    assert b"3 of 3 files denoised" in done.stdout


def test_a_file_without_an_ending_keeps_its_format(tmp_path: Path, model: str) -> None:
    soundfile.write(tmp_path / "take", noise(), RATE, format="FLAC", subtype="PCM_24")
    assert main(["denoise", str(tmp_path / "take"), "--model", model]) == 0
    info = soundfile.info(tmp_path / "take.denoised")
    assert (info.format, info.subtype, info.frames) == ("FLAC", "PCM_24", 8000)


def test_links_are_followed_and_loops_are_not(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    (folder / "one").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    soundfile.write(folder / "one" / "a.wav", noise(), RATE)
    soundfile.write(tmp_path / "elsewhere" / "b.wav", noise(), RATE)
    (folder / "self").symlink_to(".")
    (folder / "one" / "up").symlink_to("..")
    (folder / "linked").symlink_to("../elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to("../in")
    (folder / "gone.wav").symlink_to("nowhere.wav")
    assert main(["denoise", str(folder), "-o", str(tmp_path / "out"), "--recursive", "--model", model]) == 1
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.wav"))
    assert written == ["linked/b.wav", "one/a.wav"]
    told = capsys.readouterr()
    assert "gone.wav: no such file" in told.err and "2 of 3 files" in told.out


def test_from_standard_input_to_standard_output(tmp_path: Path, model: str) -> None:
    soundfile.write(tmp_path / "a.flac", noise(channels=2), RATE)
    assert main(["denoise", str(tmp_path / "a.flac"), "--model", model]) == 0
    data = (tmp_path / "a.flac").read_bytes()
    through = command("denoise", "-", "--model", model, input=data, cwd=tmp_path)
    assert through.returncode == 0 and b"- -> -: 0.5 s in" in through.stderr
    assert through.stdout == (tmp_path / "a.denoised.flac").read_bytes()
    named = command("denoise", "-", "-o", "b.wav", "--model", model, input=data, cwd=tmp_path)
    assert named.returncode == 0 and soundfile.info(tmp_path / "b.wav").format == "WAV"
    (tmp_path / "folder").mkdir()
    inside = command("denoise", "-", "-o", "folder", "--model", model, input=data, cwd=tmp_path)
    assert inside.returncode == 0 and (tmp_path / "folder" / "stdin.flac").is_file()
    out = command("denoise", "a.flac", "-o", "-", "--model", model, cwd=tmp_path)
    assert out.stdout == through.stdout
    assert not (tmp_path / "-").exists()


def test_bad_standard_input_is_named(tmp_path: Path, model: str) -> None:
    done = command("denoise", "-", "--model", model, input=b"nothing that sounds")
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.startswith(b"diffgmm: error: standard input: not an audio file")
    done = command("denoise", "-", "--model", model, "--picture", input=b"")
    assert done.returncode == 2 and b"--picture" in done.stderr and done.stderr.count(b"\n") == 1


def test_named_pipes(tmp_path: Path, model: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    for name in ("in.wav", "out.wav"):
        os.mkfifo(tmp_path / name)
    feed = subprocess.Popen(["sh", "-c", f"cat '{tmp_path}/a.wav' > '{tmp_path}/in.wav'"])
    drain = subprocess.Popen(["sh", "-c", f"cat '{tmp_path}/out.wav' > '{tmp_path}/got.wav'"])
    done = command("denoise", tmp_path / "in.wav", "-o", tmp_path / "out.wav", "--model", model)
    assert (feed.wait(10), drain.wait(10)) == (0, 0) and done.returncode == 0, done
    assert main(["denoise", str(tmp_path / "a.wav"), "--model", model]) == 0
    assert (tmp_path / "got.wav").read_bytes() == (tmp_path / "a.denoised.wav").read_bytes()
    assert (tmp_path / "out.wav").is_fifo()


def test_devices_without_an_end_and_folders_without_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    assert main(["denoise", "/dev/zero", "-o", str(tmp_path / "b.wav")]) == 2
    assert capsys.readouterr().err == (
        "diffgmm: error: /dev/zero: is a device, no recording; send its sound through a pipe\n"
    )
    assert main(["denoise", str(tmp_path / "a.wav"), "-o", "/proc/b.wav"]) == 1
    assert capsys.readouterr().err == "diffgmm: error: /proc/b.wav: No such file or directory\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_signals_leave_nothing_half_written(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", noise(RATE * 240), RATE)
    line = [sys.executable, "-m", "diffgmm.cli.main", "denoise", tmp_path / "in", "-o", tmp_path / "out"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out").is_dir() or not any((tmp_path / "out").iterdir()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(sent)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code and b"Traceback" not in error
    assert not any((tmp_path / "out").iterdir())


def test_salvage(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)
    path.write_bytes(path.read_bytes()[:-20])  # ten samples are missing
    assert main(["denoise", str(path), "--model", model]) == 1
    assert "denoise --salvage" in capsys.readouterr().err
    assert main(["denoise", str(path), "--model", model, "--salvage", "--picture"]) == 0
    assert "a.wav: truncated, 15980 of 16000 bytes are there" in capsys.readouterr().err
    assert soundfile.info(tmp_path / "a.denoised.wav").frames == 7990


def test_clip_is_told_once(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        soundfile.write(tmp_path / "in" / f"{i}.wav", 6.0 * noise(), RATE, subtype="FLOAT")
        os.link(tmp_path / "in" / f"{i}.wav", tmp_path / f"{i}.wav")
    job = ["denoise", str(tmp_path / "in"), "--model", model, "--strength", "0"]
    audio_in = audio.read(tmp_path / "in" / "0.wav")[0]
    for i in range(3):  # 16 bits have no headroom
        audio.write(tmp_path / "in" / f"{i}.flac", np.clip(audio_in, -1, 1), RATE)
        (tmp_path / "in" / f"{i}.wav").unlink()
    assert main([*job, "-o", str(tmp_path / "scaled")]) == 0
    assert "--clip keep" not in capsys.readouterr().out  # nothing was beyond full scale
    kept = tmp_path / "kept.flac"
    assert main(["denoise", str(tmp_path / "0.wav"), "-o", str(kept), *job[2:], "--clip", "keep"]) == 0
    assert "samples cut off at full scale" in capsys.readouterr().out
    assert np.abs(audio.read(kept)[0] - np.clip(audio_in, -1, 1)).max() < 2**-15
    files = [str(tmp_path / f"{i}.wav") for i in range(3)]
    for i in range(3):
        audio.write(tmp_path / f"{i}.w64", audio_in, RATE, subtype="FLOAT")
    assert main(["denoise", *files, "-o", str(tmp_path / "floats"), *job[2:]]) == 0
    assert "lowered" not in capsys.readouterr().out  # floats hold it


@pytest.mark.parametrize("ending", [".m4a", ".mp4", ".webm"])
def test_containers_are_read_through_pyav(tmp_path: Path, model: str, ending: str) -> None:
    av = pytest.importorskip("av")
    codec, rate = ("libopus", 48000) if ending == ".webm" else ("aac", RATE)
    time_axis = np.arange(rate) / rate
    tone = (0.3 * np.sin(2 * np.pi * 440 * time_axis)).astype(np.float32)
    with av.open(str(tmp_path / f"a{ending}"), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    x, info = audio.read(tmp_path / f"a{ending}")
    assert info.sample_rate == rate and 0 <= info.frames - rate <= 2048 and info.frames == x.shape[1]
    heard = np.abs(np.fft.rfft(x[0, 3000 : 3000 + rate // 2]))
    assert heard.argmax() == 440 // 2  # nothing missing, nothing twice
    later = np.concatenate(list(audio.read_blocks(info.path, first=5000, count=3000)), axis=1)
    np.testing.assert_array_equal(later, x[:, 5000:8000])
    assert main(["denoise", str(tmp_path / f"a{ending}"), "--model", model]) == 0
    assert soundfile.info(tmp_path / "a.denoised.wav").subtype == "PCM_16"
    assert soundfile.info(tmp_path / "a.denoised.wav").frames == info.frames


def test_containers_without_pyav_are_named(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffgmm.audio.reader.av_is_installed", lambda: False)
    for name in ("a.m4a", "b.mp4", "c.webm"):
        (tmp_path / name).write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    soundfile.write(tmp_path / "d.wav", noise(), RATE)
    assert main(["denoise", str(tmp_path), "-o", str(tmp_path / "out"), "--model", model]) == 1
    told = capsys.readouterr()
    for name in ("a.m4a", "b.mp4", "c.webm"):
        assert f"{name}: only PyAV reads this kind of file; pip install av" in told.err
    assert "1 of 4 files denoised" in told.out


def test_out_of_phase_stereo_is_drawn(tmp_path: Path) -> None:
    from diffgmm.audio import plots
    from diffgmm.audio.figures import before_after

    x = noise()[:, 0].astype(np.float32)
    assert np.array_equal(plots.mono(np.stack([x, -x])), x)
    figure = before_after(np.stack([x, -x]), np.stack([0.5 * x, -0.5 * x]), RATE)
    alone = before_after(x, 0.5 * x, RATE)
    for stereo, mono in zip(figure.axes, alone.axes, strict=True):
        for ours, theirs in zip(stereo.images, mono.images, strict=True):
            np.testing.assert_array_equal(ours.get_array(), theirs.get_array())
        for ours, theirs in zip(stereo.collections, mono.collections, strict=True):
            for path, other in zip(ours.get_paths(), theirs.get_paths(), strict=True):
                np.testing.assert_array_equal(path.vertices, other.vertices)
        for ours, theirs in zip(stereo.get_lines(), mono.get_lines(), strict=True):
            np.testing.assert_array_equal(ours.get_xydata(), theirs.get_xydata())
    assert sum(len(axes.images) for axes in figure.axes) >= 3
    _, high = plots.scale({"before": plots.mono(np.stack([x, -x]))}, RATE)
    assert high == plots.scale({"before": x}, RATE)[1]
