"""``diffgmm data``: what it prints and writes, what it refuses, and that its help costs nothing."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from data_corpus import RATE, hiss, make_corpus, voice

from data_modules.corpora.records import of_corpus, sample
from data_modules.inspect.survey import by_part
from diffgmm import audio
from diffgmm.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "corpus")


@pytest.fixture
def real(tmp_path: Path, mini: Path) -> Path:
    """A few clips of the mini corpus. (Voices that are made up of the same harmonics are one recording.)"""
    root = tmp_path / "real"
    for split in ("train", "test"):
        for kind in ("speech", "noise"):
            for path in sorted((mini / split / kind).rglob("*.flac"))[:3]:
                target = root / split / kind / path.parent.name / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    return root


def test_help_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from diffgmm.cli.main import main; code = main(['data', '--help']);"
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'numpy', 'data_modules')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--check" in done.stdout


def test_the_tables_of_the_mini_corpus(
    mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "mini", "--json", str(tmp_path / "report.json")]) == 0
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    assert ["train", "speech", "52", "0.08", "3", "en", "ru"] in lines
    assert ["valid", "speech", "13", "0.01", "1", "it"] in lines
    assert ["june", "fr", "test", "speech", "28", "1.6"] in lines
    assert ["bell", "1", "-", "-", "0.0"] in lines
    assert any(line[:3] == ["BSD-like", "22", "2.4"] for line in lines)
    assert "not looked for; --check does" in text
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    with (mini / "manifest.csv").open(newline="", encoding="utf-8") as file:
        seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
    assert report["clips"] == 143 and report["seconds"] == pytest.approx(seconds, abs=0.01)
    assert sum(row["clips"] for row in report["licences"]) == 143
    assert all(
        row["measured"] == part["clips"] for row, part in zip(report["levels"], report["parts"], strict=True)
    )
    assert -20.0 < report["levels"][0]["level"]["p50"] < -14.0
    grades = {row["speaker"]: row for row in report["grades"]}
    assert set(grades) == {row["speaker"] for row in report["speakers"]}
    assert grades["allison"]["pause"] < -30.0 and grades["allison"]["clipped"] == 0.0
    pauses = [row["pause"] for row in report["grades"] if row["pause"] is not None]
    assert pauses == sorted(pauses, reverse=True) and "pauses, dB" in text
    assert report["leaks"] is None


def test_json_to_a_file_and_to_standard_output(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    assert main(["data", str(corpus), "--json", str(file)]) == 0
    assert "speaker_a" in capsys.readouterr().out
    assert main(["data", str(corpus), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(file.read_text(encoding="utf-8"))
    assert main(["data", str(corpus), "--json", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["data", str(corpus), "--json", str(file), "--overwrite", "--clips", "1"]) == 0


def test_a_clean_corpus_passes_and_a_planted_copy_does_not(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", str(real), "--check"]) == 0
    assert "no leaks: no speaker, file or recording is in two splits" in capsys.readouterr().out
    original = next((real / "train" / "speech" / "allison").iterdir())
    x = audio.read(original)[0]
    audio.write(real / "test/speech/june/copy.wav", 0.3 * x, RATE)
    assert main(["data", str(real), "--check", "--json", str(tmp_path / "report.json")]) == 1
    text = capsys.readouterr().out
    assert "1 leak(s) between splits" in text and "same recording" in text
    assert f"train: {original.relative_to(real)}" in text and "test: test/speech/june/copy.wav" in text
    (leak,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["leaks"]
    assert leak["what"] == "recording" and leak["first"] == str(original)


def test_a_speaker_in_two_splits_is_told_and_with_strict_refused(
    corpus: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    audio.write(corpus / "test/speech/speaker_g" / "x.wav", voice(99, 1.0)[None], RATE)
    (corpus / "test/speech/speaker_g").rename(corpus / "test/speech/speaker_a")
    assert main(["data", str(corpus)]) == 0
    assert "speaker_a in train and test" in caplog.text
    capsys.readouterr()
    assert main(["data", str(corpus), "--check"]) == 1
    assert (
        "speaker speaker_a\n    train: train/speech/speaker_a/0.wav\n    test: test/speech/speaker_a/0.wav"
        in capsys.readouterr().out
    )
    assert main(["data", str(corpus), "--strict"]) == 1
    error = capsys.readouterr().err
    assert (
        error.count("\n") == 1 and "1 speaker(s) in more than one split: speaker_a in train and test" in error
    )


def test_unreadable_files_are_counted_and_named(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = real / "train/speech/allison"
    whole = next(folder.iterdir()).read_bytes()
    (folder / "empty.wav").touch()
    (folder / "half.flac").write_bytes(whole[: len(whole) // 2])
    for options in ([], ["--check"]):
        assert main(["data", str(real), *options]) == 0
        out = capsys.readouterr().out
        assert "2 file(s) can't be read" in out
        assert "empty.wav: the file is empty" in out and "allison/half.flac: " in out
    assert main(["data", str(real), "--strict"]) == 1
    assert "2 file(s) can't be read, and --strict was given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give a corpus"),
        (["no-such-corpus"], 1, "no such corpus"),
        (["{empty}"], 1, "not a corpus"),
        (["{folders}"], 1, "no audio files below this folder"),
        (["mini", "--speech", "x", "--noise", "y"], 2, "give a corpus"),
        (["--speech", "x"], 2, "give a corpus"),
        (["mini", "--workers", "0"], 2, "must be a whole number from 1"),
        (["mini", "--clips", "-1"], 2, "must be a whole number from 0"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folders" / "train" / "speech").mkdir(parents=True)
    places = {name: tmp_path / name for name in ("empty", "folders")}
    assert main(["data", *(one.format(**places) for one in arguments)]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_manifest_of_files_that_are_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,split,kind,group,seconds\na.wav,train,speech,anna,3\nb.wav,train,noise,rain,\n")
    assert main(["data", str(manifest)]) == 1
    error = capsys.readouterr().err
    assert "none of the 2 files can be read" in error and "no such file" in error


def test_own_folders_are_split_as_training_splits_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abcdefghij":
        for kind, sound in (("speech", voice(ord(name), 1.0)), ("noise", hiss(ord(name), 1.0))):
            (tmp_path / kind / name).mkdir(parents=True)
            audio.write(tmp_path / kind / name / "0.wav", sound[None], RATE)
    assert (
        main(
            ["data", "--speech", str(tmp_path / "speech"), "--noise", str(tmp_path / "noise"), "--json", "-"]
        )
        == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert {(part["split"], part["kind"]): part["groups"] for part in report["parts"]} == {
        ("train", "speech"): 9,
        ("train", "noise"): 9,
        ("valid", "speech"): 1,
        ("valid", "noise"): 1,
    }


def test_a_corpus_of_pairs(
    real: Path, noise: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        for path in sorted((real / split / "speech").rglob("*.flac")):
            clean = audio.read(path)[0]
            for kind, x in (("clean", clean), ("noisy", clean + 0.03 * np.resize(noise, clean.shape))):
                folder = tmp_path / "pairs" / split / kind / path.parent.name
                folder.mkdir(parents=True, exist_ok=True)
                audio.write(folder / path.name, x, RATE)
    assert main(["data", str(tmp_path / "pairs"), "--check"]) == 0
    out = capsys.readouterr().out
    assert "train  noisy" in out and "no leaks" in out


def test_a_sample_has_every_group_and_stays_put(mini: Path) -> None:
    clips = by_part(of_corpus(str(mini)))["train", "noise"]
    few = sample(clips, 20)
    assert len({clip.group for clip in few}) == 20
    assert sample(list(reversed(clips)), 20) == few and sample(clips, 100) == clips


def test_mp3_and_float_files_are_measured_too(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = voice(5, 2.0, rate=44100)
    soundfile.write(corpus / "train/speech/speaker_a/loud.wav", 2.0 * x, 44100, subtype="FLOAT")
    soundfile.write(corpus / "train/speech/speaker_a/b.mp3", x, 44100)
    assert main(["data", str(corpus), "--json", "-"]) == 0
    captured = capsys.readouterr()
    row = json.loads(captured.out)["levels"][0]
    assert row["measured"] == 10 and row["silent"] == 0
