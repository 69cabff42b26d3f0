"""``diffgmm data``: what it prints and writes, what it refuses, and that its help costs nothing."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from data_corpus import RATE, hiss, make_corpus, voice

from data_modules.corpora.records import of_corpus, sample
from data_modules.inspect.measure import own_snr
from data_modules.inspect.survey import distribution
from data_modules.inspect.text import table
from diffgmm import audio
from diffgmm.audio import contact_sheet
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


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a look at the mini corpus writes."""
    folder = tmp_path_factory.mktemp("data") / "look"
    assert main(["data", "mini", "--out", str(folder), "--mixtures", "3"]) == 0
    return folder


def test_help_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from diffgmm.cli.main import main; code = main(['data', '--help']);"
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'numpy', 'data_modules', 'lhotse')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--check" in done.stdout and "--import-lhotse" in done.stdout


def test_the_tables_of_the_mini_corpus(look: Path, mini: Path) -> None:
    text = (look / "summary.txt").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines()]
    assert ["train", "speech", "52", "0.08", "3", "speakers", "en", "ru"] in lines
    assert ["valid", "speech", "13", "0.01", "1", "speaker", "it"] in lines
    assert ["june", "fr", "test", "speech", "28", "1.6"] in lines
    assert ["bell", "1", "-", "-", "0.0"] in lines
    assert any(line[:3] == ["BSD-like", "22", "2.4"] for line in lines)
    assert "not looked for; --check does" in text
    report = json.loads((look / "report.json").read_text(encoding="utf-8"))
    with (mini / "manifest.csv").open(newline="", encoding="utf-8") as file:
        seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
    assert report["clips"] == 143 and report["seconds"] == pytest.approx(seconds, abs=0.01)
    assert sum(row["clips"] for row in report["licences"]) == 143
    assert all(
        row["measured"] == part["clips"] for row, part in zip(report["levels"], report["parts"], strict=True)
    )
    grades = {row["speaker"]: row for row in report["grades"]}
    assert set(grades) == {row["speaker"] for row in report["speakers"]}
    assert grades["allison"]["pause"] < -30.0 and grades["allison"]["clipped"] == 0.0
    pauses = [row["pause"] for row in report["grades"] if row["pause"] is not None]
    assert pauses == sorted(pauses, reverse=True) and "pauses, dB" in text
    assert report["mixtures"]["split"] == "train" and report["leaks"] is None
    quantiles = report["mixtures"]["snr"]["quantiles"]
    assert -5.1 < quantiles["p05"] < quantiles["p95"] < 20.1  # what Mixing draws by default


def test_pictures_and_mixtures(look: Path) -> None:
    for name in ("contact_sheet.png", "histograms.png"):
        picture = (look / name).read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
    with (look / "mixtures" / "mixtures.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["000.wav", "001.wav", "002.wav"]
    for row in rows:
        noisy, clean = (audio.read(look / "mixtures" / side / row["name"])[0] for side in ("noisy", "clean"))
        assert noisy.shape == clean.shape == (1, 4 * RATE) and noisy.any()
        assert np.array_equal(noisy, clean) <= (row["snr"] == "")  # without noise there is no ratio


def test_the_look_is_the_same_each_time(look: Path, tmp_path: Path) -> None:
    assert main(["data", "mini", "--out", str(tmp_path / "again"), "--mixtures", "3"]) == 0
    for name in ("report.json", "mixtures/noisy/001.wav", "summary.txt"):
        assert (tmp_path / "again" / name).read_bytes() == (look / name).read_bytes()


def test_nothing_is_replaced_unless_told_and_nothing_foreign_at_all(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["data", str(corpus), "--out", str(out), "--mixtures", "0", "--clips", "2"]
    assert main(command) == 0
    (out / "mark").touch()
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert not (out / "mark").exists() and not list(tmp_path.glob(".out*"))
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "a.jpg").touch()
    assert main(["data", str(corpus), "--out", str(foreign), "--overwrite"]) == 2
    assert "was not written by" in capsys.readouterr().err and (foreign / "a.jpg").exists()


def test_json_to_a_file_and_to_standard_output(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    assert main(["data", str(corpus), "--json", str(file)]) == 0
    assert "speaker_a" in capsys.readouterr().out
    assert main(["data", str(corpus), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(file.read_text(encoding="utf-8"))
    assert main(["data", str(corpus), "--json", str(file)]) == 2


def test_a_clean_corpus_passes_and_a_planted_copy_does_not(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", str(real), "--check", "--mixtures", "0"]) == 0
    assert "no leaks: no speaker, file or recording is in two splits" in capsys.readouterr().out
    original = next((real / "train" / "speech" / "allison").iterdir())
    x = audio.read(original)[0]
    audio.write(real / "test/speech/june/copy.ogg", 0.3 * x[:, 4000:], RATE)
    out = tmp_path / "out"
    assert main(["data", str(real), "--check", "--out", str(out), "--mixtures", "0"]) == 1
    text = capsys.readouterr().out
    assert "1 leak(s) between splits" in text and "same recording" in text
    assert f"train: {original.relative_to(real)}" in text and "test: test/speech/june/copy.ogg" in text
    with (out / "leaks.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["what"] == "recording" and float(row["offset_seconds"]) == pytest.approx(0.25, abs=0.002)


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
        "speaker speaker_a: in train and test, such as train/speech/speaker_a/0.wav"
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
        (["mini", "--workers", "0"], 2, "--workers must be at least 1"),
        (["--config", "none.yaml"], 1, "none.yaml: can't be read as YAML"),
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
    assert main(["data", str(tmp_path / "pairs"), "--check", "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "train  noisy" in out and "mixtures" not in out and "no leaks" in out
    assert (tmp_path / "out" / "contact_sheet.png").exists() and not (tmp_path / "out" / "mixtures").exists()


def test_an_experiment_says_corpus_and_mixing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["data", "--config", str(ROOT / "experiments" / "mini.yaml"), "--json", "-", "--clips", "2"])
        == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert report["clips"] == 143
    quantiles = report["mixtures"]["snr"]["quantiles"]
    assert -0.1 < quantiles["p05"] < quantiles["p95"] < 15.1  # snr: [0, 15] in that file
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("data: {class_path: data_modules.noisy_speech.NoisySpeech, init_args: {corpse: mini}}\n")
    assert main(["data", "--config", str(wrong)]) == 1
    assert "corpse" in capsys.readouterr().err


def test_own_snr_is_that_of_the_pauses() -> None:
    rng = np.random.default_rng(0)
    x = 1e-4 * rng.standard_normal(4 * RATE)
    x[: 2 * RATE] += 0.1 * math.sqrt(2) * np.sin(2 * np.pi * 500 * np.arange(2 * RATE) / RATE)
    assert own_snr(x.astype(np.float32), RATE) == pytest.approx(60.5, abs=1.0)
    assert own_snr((0.1 * x).astype(np.float32), RATE) == pytest.approx(60.5, abs=1.0)
    assert math.isnan(own_snr(np.zeros(RATE, np.float32), RATE))


def test_distribution_counts_everything_finite() -> None:
    found = distribution([*range(-100, 101), math.nan, -math.inf], (-20.0, 80.0, 2.0))
    assert found["count"] == sum(found["histogram"]) == 201
    assert found["quantiles"]["p50"] == 0.0 and found["histogram"][10] == 2
    assert distribution([math.nan], (-20.0, 80.0, 2.0))["quantiles"]["p50"] is None


def test_a_sample_has_every_group_and_stays_put(mini: Path) -> None:
    clips = of_corpus(str(mini)).by_part()["train", "noise"]
    few = sample(clips, 20)
    assert len({one.item.group for one in few}) == 20
    assert sample(list(reversed(clips)), 20) == few and sample(clips, 100) == clips


def test_tables_line_up() -> None:
    assert table([("a", "bb"), ("ccc", "d")], right={1}) == "a    bb\nccc   d"


def test_sheets_take_any_clips(tmp_path: Path) -> None:
    rows = [
        contact_sheet.Row("none", "", []),
        contact_sheet.Row("odd", "note", [("silence", np.zeros(100, np.float32))]),
    ]
    contact_sheet.contact_sheet(rows, RATE, tmp_path / "a.png", title="odd")
    contact_sheet.histograms(
        {"nothing, dB": {"train": contact_sheet.Histogram(0.0, 1.0, [0, 0])}}, tmp_path / "b.png"
    )
    contact_sheet.histograms({}, tmp_path / "c.png")
    assert all((tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in "abc")


def test_mp3_and_float_files_are_measured_too(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = voice(5, 2.0, rate=44100)
    soundfile.write(corpus / "train/speech/speaker_a/loud.wav", 2.0 * x, 44100, subtype="FLOAT")
    soundfile.write(corpus / "train/speech/speaker_a/b.mp3", x, 44100)
    assert main(["data", str(corpus), "--json", "-"]) == 0
    captured = capsys.readouterr()
    row = json.loads(captured.out)["levels"][0]
    assert row["measured"] == 10 and row["silent"] == 0
