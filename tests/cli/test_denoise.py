"""`diffgmm denoise` as seen from the shell: files in, files out, and what can be wrong with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from damage import claim_size

from diffgmm import audio
from diffgmm.cli.main import main
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.pretrained import available_models
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.sampler_options import ESTIMATES
from diffgmm.diffusion.saving import save_model
from diffgmm.inference import Denoiser
from diffgmm.networks import UNet

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained, tiny mixture model on disk: it changes the audio, which is all that matters here."""
    torch.manual_seed(0)
    stem = tmp_path_factory.mktemp("model") / "tiny"
    network = UNet([8, 8], [[4, 1], [2, 1]])
    save_model(stem, MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), network), {}, {"nfe": 1})
    return f"{stem}.json"


def make(path: Path, seconds: float = 0.3, rate: int = 16000, channels: int = 1, **options: str) -> Path:
    """A noise file, written by soundfile itself rather than by what is tested."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(len(path.name)).uniform(-0.3, 0.3, (max(1, round(seconds * rate)), channels))
    soundfile.write(path, x, rate, **options)
    return path


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files included: nothing half-written may hide."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def facts(path: Path) -> tuple[int, int, int, str, str]:
    info = soundfile.info(path)
    return info.samplerate, info.channels, info.frames, info.format, info.subtype


def test_one_file_beside_itself(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path / "a.wav", rate=44100, channels=2, subtype="PCM_24")
    assert main(["denoise", str(source), "--model", model]) == 0
    target = tmp_path / "a.denoised.wav"
    assert facts(target) == facts(source) and names(tmp_path) == ["a.denoised.wav", "a.wav"]
    x, y = audio.read(source)[0], audio.read(target)[0]
    expected = Denoiser.from_pretrained(model).denoise(x, 44100)
    assert np.abs(y - expected).max() <= 2**-23 and np.abs(y - x).max() > 1e-3
    out = capsys.readouterr().out
    assert f"{source} -> {target}: 0.3 s in " in out and "(rtf " in out and "so as not to clip" not in out


CASES = [
    ("a.wav", 8000, 1, {"subtype": "PCM_16"}),
    ("b.wav", 48000, 2, {"subtype": "FLOAT"}),
    ("c.flac", 16000, 1, {"subtype": "PCM_16"}),
    ("d.flac", 96000, 2, {"subtype": "PCM_24"}),
    ("e.ogg", 22050, 1, {}),
    ("f.mp3", 44100, 2, {}),
    ("g.wav", 192000, 8, {"subtype": "PCM_16"}),
    ("h.aiff", 11025, 3, {}),
    ("deep/er/i.WAV", 16000, 1, {}),
]


def test_folder_in_folder_out(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    for name, rate, channels, options in CASES:
        make(folder / name, 0.2, rate, channels, **options)
    (folder / "notes.txt").write_text("not audio")
    (folder / ".hidden.wav").write_text("nobody's recording")
    assert main(["denoise", str(folder), "-o", str(tmp_path / "out"), "--model", model, "--recursive"]) == 0
    assert names(tmp_path / "out") == sorted(case[0] for case in CASES)
    for case in CASES:
        assert facts(tmp_path / "out" / case[0]) == facts(folder / case[0])
    out = capsys.readouterr().out
    assert "skipped 1 that are no audio: notes.txt" in out
    assert f"{len(CASES)} of {len(CASES)} files denoised, 1.8 s of audio in" in out
    assert main(["denoise", str(folder), "--model", model]) == 0  # without -o and --recursive
    assert len(names(tmp_path / "in.denoised")) == len(CASES) - 1


@pytest.mark.parametrize(("name", "form"), [("y.flac", "FLAC"), ("y.ogg", "OGG"), ("y.wav", "WAV")])
def test_output_ending_chooses_the_format(tmp_path: Path, model: str, name: str, form: str) -> None:
    source = make(tmp_path / "x.wav", subtype="PCM_24")
    assert main(["denoise", str(source), "-o", str(tmp_path / name), "--model", model]) == 0
    assert facts(tmp_path / name)[:4] == (16000, 1, 4800, form)


@pytest.mark.parametrize("output", ["new", "new/", "there", "there/"])
def test_output_that_is_a_folder(tmp_path: Path, model: str, output: str) -> None:
    source = make(tmp_path / "x.wav")
    (tmp_path / "there").mkdir()
    assert main(["denoise", str(source), "-o", f"{tmp_path}/{output}", "--model", model]) == 0
    assert facts(tmp_path / output / "x.wav") == facts(source)


def test_a_wrong_size_in_a_header_is_told(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make(tmp_path / "x.wav", subtype="PCM_16")
    claim_size(source, 1000)
    assert main(["denoise", str(source), "-o", str(tmp_path / "y.wav"), "--model", model]) == 0
    error = capsys.readouterr().err
    assert error.count(f"warning: {source}: the header promises 1000 bytes of samples, 9600 are there") == 1
    assert facts(tmp_path / "y.wav")[2] == 4800


def test_parts_that_are_lowered_are_told_once_with_the_way_out(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts of one recording: each lowered by itself, they would step in level where they join."""
    loud = np.sign(np.random.default_rng(0).standard_normal(4800)).astype(np.float32)
    for name in ("a.ogg", "b.ogg"):
        soundfile.write(tmp_path / name, loud, 16000)
        assert np.abs(soundfile.read(tmp_path / name)[0]).max() > 1.0  # as lossy formats do
    command = [
        "denoise",
        str(tmp_path / "a.ogg"),
        str(tmp_path / "b.ogg"),
        "--model",
        model,
        "--strength",
        "0",
    ]
    for clip, told in (("scale", 1), ("keep", 0)):
        out = tmp_path / clip
        assert main([*command, "-o", f"{out}/", "--clip", clip]) == 0
        assert capsys.readouterr().out.count("--clip keep leaves them at one level") == told


def test_strength_zero_returns_the_input(tmp_path: Path, model: str) -> None:
    for name in ("a.wav", "b.flac"):
        source, target = make(tmp_path / name, rate=44100), tmp_path / f"out{name}"
        assert main(["denoise", str(source), "-o", str(target), "--model", model, "--strength", "0"]) == 0
        np.testing.assert_array_equal(audio.read(target)[0], audio.read(source)[0])


def test_seed_makes_sampling_repeatable(tmp_path: Path, model: str) -> None:
    source, results = make(tmp_path / "x.wav", subtype="FLOAT"), []
    for run, seed in enumerate("112"):
        target = tmp_path / f"{run}.wav"
        options = ["--estimate", "sample", "--nfe", "2", "--samples", "2", "--seed", seed]
        assert main(["denoise", str(source), "-o", str(target), "--model", model, *options]) == 0
        results.append(audio.read(target)[0])
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-5


def test_silence_and_one_sample(tmp_path: Path, model: str) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros((50000, 2)), 44100)
    soundfile.write(tmp_path / "one.wav", np.full((1, 1), 0.5), 16000)
    assert main(["denoise", str(tmp_path / "silent.wav"), str(tmp_path / "one.wav"), "--model", model]) == 0
    silent = audio.read(tmp_path / "silent.denoised.wav")[0]
    assert silent.shape == (2, 50000) and not silent.any()
    assert facts(tmp_path / "one.denoised.wav")[2] == 1


def test_what_would_clip_is_rescaled_and_said(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).uniform(-3, 3, (16000, 1))
    soundfile.write(tmp_path / "x.wav", x, 16000, subtype="FLOAT")
    options = ["--model", model, "--strength", "0"]
    assert main(["denoise", str(tmp_path / "x.wav"), "-o", str(tmp_path / "y.flac"), *options]) == 0
    assert ", level -9.5 dB so as not to clip" in capsys.readouterr().out
    y = audio.read(tmp_path / "y.flac")[0]
    assert np.corrcoef(y[0], x[:, 0])[0, 1] > 0.99999 and np.abs(y).max() > 0.9999
    assert main(["denoise", str(tmp_path / "x.wav"), *options]) == 0
    assert "so as not to clip" not in capsys.readouterr().out  # floating point holds it as it is


def test_picture(tmp_path: Path, model: str) -> None:
    source = make(tmp_path / "x.wav", 1.0, rate=44100, channels=2)
    assert (
        main(["denoise", str(source), "-o", str(tmp_path / "out" / ""), "--model", model, "--picture"]) == 0
    )
    assert (tmp_path / "out" / "x.png").read_bytes().startswith(b"\x89PNG")
    assert names(tmp_path / "out") == ["x.png", "x.wav"]


def test_a_bad_file_does_not_stop_the_batch(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [make(tmp_path / "in" / name) for name in ("a.wav", "z.flac")]
    (tmp_path / "in" / "text.wav").write_text("hello")
    nan = np.zeros(30000)
    nan[20000] = np.nan
    soundfile.write(tmp_path / "in" / "nan.wav", nan, 16000, subtype="FLOAT")
    assert main(["denoise", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", model]) == 1
    assert names(tmp_path / "out") == [path.name for path in good]
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 2 and all(line.startswith("diffgmm: error: ") for line in lines)
    assert "text.wav: not an audio file" in lines[0]
    assert "nan.wav: holds NaN at sample 20000 of channel 1" in lines[1]
    assert "2 of 4 files denoised" in captured.out


# What is wrong with an input file, and what the one line says. All of it is exit code 1, a failed file.
BAD_FILES = {
    "missing.wav": (lambda p: None, "no such file"),
    "empty.wav": (lambda p: p.touch(), "empty"),
    "text.flac": (lambda p: p.write_text("hello"), "not an audio file"),
    "image.png": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64)), "not an audio file"),
    "cut.wav": (lambda p: p.write_bytes(make(p, 1.0).read_bytes()[:9000]), "truncated"),
    "cut.flac": (lambda p: p.write_bytes(make(p, 1.0).read_bytes()[:9000]), "truncated"),
    "inf.wav": (lambda p: soundfile.write(p, np.full((9, 1), np.inf), 16000, subtype="FLOAT"), "holds Inf"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(tmp_path: Path, model: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    build, message = BAD_FILES[name]
    build(tmp_path / name)
    before = names(tmp_path)
    assert main(["denoise", str(tmp_path / name), "-o", str(tmp_path / "out.wav"), "--model", model]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"diffgmm: error: {tmp_path / name}: ") and message in captured.err
    assert captured.err.count("\n") == 1 and captured.out == ""
    assert names(tmp_path) == before


# Command lines that cannot be meant, in a folder with a.wav, b.wav, sub/, full/, mute/. Exit code 2.
BAD_USAGE = {
    "a.wav -o full/a.wav": "full/a.wav exists already; --overwrite replaces it",
    "a.wav b.wav -o full": "full/a.wav exists already; --overwrite replaces it",
    "a.wav -o a.wav": "a.wav: would overwrite an input",
    "a.wav -o a.wav --overwrite": "would overwrite an input",
    "a.wav -o . --overwrite": "would overwrite an input",
    "full -o full --overwrite": "would overwrite an input",
    "a.wav -o link.wav --overwrite": "would overwrite an input",
    "a.wav sub/a.wav -o out": "would both be written to out/a.wav",
    "a.wav b.wav -o out.wav": "several inputs need a folder",
    "a.wav b.wav -o notes.txt": "several inputs need a folder",
    "a.wav -o out.xyz": ".xyz is no audio format",
    "a.wav -o notes.txt --overwrite": ".txt is no audio format",
    "a.wav -o nowhere/out.wav": "there is no folder nowhere",
    "a.wav -o notes.txt/out/": "cannot write there",
    "mute": "no audio files",
    "a.wav --model nosuch": "unknown model 'nosuch'",
    "a.wav --model nosuch.ckpt": "nosuch.ckpt: no such model file",
    "a.wav --model notes.txt": "unknown model 'notes.txt'",
    "a.wav --device tpu": "unknown device 'tpu'",
    "a.wav --device cuda:99": "torch sees",
    "a.wav --nfe 0": "whole number from 1",
    "a.wav --nfe many": "whole number from 1",
    "a.wav --samples -1": "whole number from 1",
    "a.wav --nfe 1000000000": "whole number from 1 to 1000, got",
    "a.wav --samples 1001": "whole number from 1 to 1000, got",
    "a.wav --substeps 1001": "whole number from 1 to 1000, got",
    "a.wav --jobs 1000000": "whole number from 1 to 1024, got",
    "a.wav --threads 9999999999999999999999999999999999999999": "whole number from 1 to 1024, got",
    "a.wav --seed 9999999999999999999999999999999999999999": "whole number from 0 to 9223372036854775807, got",
    "a.wav --seed -1": "whole number from 0",
    "a.wav --threads 0": "whole number from 1",
    "a.wav --strength 2": "0..1",
    "a.wav --strength nan": "0..1",
    "a.wav --estimate median": "invalid choice: 'median'",
    "-o out": "required: IN",
}


@pytest.mark.parametrize("line", BAD_USAGE)
def test_bad_usage(
    tmp_path: Path, model: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav", "sub/a.wav", "full/a.wav"):
        make(tmp_path / name)
    (tmp_path / "mute").mkdir()
    Path("notes.txt").write_text("no audio")
    Path("link.wav").symlink_to("a.wav")
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    arguments = line.split() if "--model" in line else [*line.split(), "--model", model]
    assert main(["denoise", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("diffgmm: error: ") and captured.err.count("\n") == 1
    assert BAD_USAGE[line] in captured.err and captured.out == ""
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_overwrite(tmp_path: Path, model: str) -> None:
    source, target = make(tmp_path / "x.wav"), tmp_path / "y.wav"
    target.write_text("old")
    assert main(["denoise", str(source), "-o", str(target), "--model", model, "--overwrite"]) == 0
    assert facts(target) == facts(source)


def test_a_damaged_model_is_a_failure(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = make(tmp_path / "x.wav")
    for name, content in (("m.ckpt", b"not a checkpoint"), ("n.json", b"{"), ("o.safetensors", b"")):
        (tmp_path / name).write_bytes(content)
        assert main(["denoise", str(source), "--model", str(tmp_path / name)]) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith("diffgmm: error: ") and captured.err.count("\n") == 1
    assert "x.denoised.wav" not in names(tmp_path)


def test_estimates_are_those_of_the_samplers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", "--help"]) == 0
    assert f"{{{','.join(ESTIMATES)}}}" in capsys.readouterr().out


def run(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "diffgmm.cli.main", "denoise", *arguments],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_the_command_itself(tmp_path: Path, model: str) -> None:
    make(tmp_path / "a.wav", rate=48000, channels=2)
    out, err = (process := run("a.wav", "b.wav", "--model", model, cwd=tmp_path)).communicate(timeout=120)
    assert process.returncode == 1
    assert err == "diffgmm: error: b.wav: no such file\n"
    assert out.startswith("a.wav -> a.denoised.wav: 0.3 s in ") and "1 of 2 files denoised" in out
    assert facts(tmp_path / "a.denoised.wav") == facts(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [(signal.SIGINT, 130, "diffgmm: error: interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_interrupted_leaves_nothing(
    tmp_path: Path, model: str, number: signal.Signals, code: int, message: str
) -> None:
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).uniform(-1, 1, 16000 * 1800), 16000)
    process = run("long.wav", "--model", model, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while len(names(tmp_path)) == 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(names(tmp_path)) == 2, "the file being written"
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code and err == message
    assert names(tmp_path) == ["long.wav"]


@pytest.mark.skipif("base" not in available_models(), reason="no model is shipped yet")
def test_the_shipped_model_needs_no_option(tmp_path: Path) -> None:
    source = make(tmp_path / "x.wav", 2.0)
    assert main(["denoise", str(source)]) == 0
    x, y = audio.read(source)[0], audio.read(tmp_path / "x.denoised.wav")[0]
    assert 20 * np.log10(y.std() / x.std()) < -10  # nothing but noise


def test_uncertainty_beside_the_output(tmp_path: Path, model: str) -> None:
    source = make(tmp_path / "a.wav", 1.0, 44100, 2, subtype="FLOAT")
    assert main(["denoise", str(source), "--model", model, "--uncertainty"]) == 0
    assert names(tmp_path) == [
        "a.denoised.uncertainty.csv",
        "a.denoised.uncertainty.png",
        "a.denoised.wav",
        "a.wav",
    ]
    with (tmp_path / "a.denoised.uncertainty.csv").open(encoding="utf-8") as file:
        assert file.readline().strip() == "seconds,std_1,confidence_1,std_2,confidence_2"
        table = np.loadtxt(file, delimiter=",")
    x = audio.read(source)[0]
    told = Denoiser.from_pretrained(model).denoise_with_uncertainty(x, 44100)
    places = np.arange(50) * 882
    np.testing.assert_allclose(table[:, 0], places / 44100)
    np.testing.assert_allclose(table[:, 1::2], told.std[:, places].T, rtol=1e-3)
    np.testing.assert_allclose(table[:, 2::2], told.confidence[:, places].T, rtol=1e-3)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.denoised.wav")[0], told.waveform)
    before = (tmp_path / "a.denoised.uncertainty.csv").stat().st_mtime_ns
    assert main(["denoise", str(source), "-o", str(tmp_path / "b.wav"), "--model", model]) == 0
    (tmp_path / "a.denoised.wav").unlink()
    assert main(["denoise", str(source), "--model", model, "--uncertainty"]) == 2  # the table is there
    assert (tmp_path / "a.denoised.uncertainty.csv").stat().st_mtime_ns == before


def test_several_at_a_time_give_the_same(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        make(tmp_path / "in" / f"{number}.wav", 0.3 + 0.5 * number, 16000 if number % 2 else 22050)
    (tmp_path / "in" / "broken.wav").write_bytes((tmp_path / "in" / "4.wav").read_bytes()[:60])
    for jobs in ("1", "3"):
        command = ["denoise", str(tmp_path / "in"), "-o", str(tmp_path / jobs), "--model", model]
        options = ["--threads", "1", "--estimate", "sample", "--jobs", jobs]
        assert main([*command, *options]) == 1
        out, err = capsys.readouterr()
        assert [line.split(" -> ")[0][-5:] for line in out.splitlines()[:-1]] == [
            f"{n}.wav" for n in range(5)
        ]
        assert "5 of 6 files denoised" in out and err.count("broken.wav") == 1
    assert names(tmp_path / "1") == names(tmp_path / "3") == [f"{n}.wav" for n in range(5)]
    for name in names(tmp_path / "1"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()
