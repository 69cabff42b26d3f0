"""``diffgmm evaluate``: exact counts with every kind of bad file, one table from any number of processes."""

from __future__ import annotations

import csv
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from damage import claim_size, without_count
from threadpoolctl import threadpool_limits

from diffgmm import metrics
from diffgmm.cli.main import main
from diffgmm.evaluation import evaluate, pairing, results, scores
from diffgmm.utils.processes import Workers

RATE = 16000
PairOfSignals = tuple[np.ndarray, np.ndarray]


def put(path: Path, x: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, rate, subtype=subtype)
    return path


@pytest.fixture
def folders(tmp_path: Path, pair: PairOfSignals) -> Path:
    """Folders clean, noisy and enhanced: 3 good pairs, 7 with a fault, 3 files without counterpart."""
    clean, noisy = pair
    better = clean + 0.3 * (noisy - clean)
    names = [
        "good",
        "sub/other.take2",
        "short",
        "silent",
        "nan",
        "rate",
        "channels",
        "longer",
        "text",
        "mute",
    ]
    for name in names:
        put(tmp_path / "clean" / f"{name}.wav", clean)
        put(tmp_path / "noisy" / f"{name}.wav", noisy)
        put(tmp_path / "enhanced" / f"{name}.wav", better)
    (tmp_path / "enhanced" / "good.wav").unlink()  # the ending may differ
    put(tmp_path / "enhanced" / "good.flac", better, subtype="PCM_24")
    put(tmp_path / "clean" / "short.wav", clean[:3000])
    put(tmp_path / "noisy" / "short.wav", noisy[:3000])
    put(tmp_path / "enhanced" / "short.wav", better[:3000])
    put(tmp_path / "clean" / "silent.wav", 0 * clean)
    put(tmp_path / "enhanced" / "mute.wav", 0 * clean)
    put(tmp_path / "enhanced" / "nan.wav", np.where(np.arange(clean.size) == 5, np.nan, better))
    put(tmp_path / "enhanced" / "rate.wav", better, 8000)
    put(tmp_path / "enhanced" / "channels.wav", np.stack([better, better], 1))
    put(tmp_path / "enhanced" / "longer.wav", np.r_[better, np.zeros(100)])
    (tmp_path / "enhanced" / "text.wav").write_text("not audio")
    put(tmp_path / "clean" / "never_enhanced.wav", clean)
    put(tmp_path / "enhanced" / "no_clean.wav", better)
    (tmp_path / "noisy" / "sub" / "other.take2.wav").unlink()
    (tmp_path / "clean" / "CREDITS.txt").write_text("not audio, not looked at")
    put(tmp_path / "clean" / ".hidden.wav", clean)
    return tmp_path


def run(folder: Path, *options: str, noisy: bool = True) -> int:
    noisy_options = ["--noisy", str(folder / "noisy")] if noisy else []
    paths = ["--clean", str(folder / "clean"), "--enhanced", str(folder / "enhanced"), *noisy_options]
    return main(["evaluate", *paths, "-o", str(folder / "scores.csv"), *options])


def table(path: Path) -> dict[str, dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_exact_counts_with_every_kind_of_bad_file(
    folders: Path, pair: PairOfSignals, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folders, "--jobs", "1") == 1
    out, err = capsys.readouterr()
    # Ten pairs. No score at all: nan, rate, channels, text (errors), silent, mute (silence); short: no PESQ,
    # no STOI. The noisy files score where the clean ones are neither silent nor short, but for one that is missing.
    counts = dict(re.findall(r"^(\w+) .* (\d+/\d+)", out, re.MULTILINE))
    assert counts == {"pesq_wb": "2/10", "stoi": "2/10", "estoi": "2/10", "si_sdr": "3/10"}
    assert re.search(r"^pesq_wb .* 2/10 \*$", out, re.MULTILINE)
    assert (
        "* the means are over the files that have both a noisy and an enhanced score: pesq_wb without 1 noisy and 1 "
        "enhanced, stoi" in out
    )
    assert "1 of 10 pairs differ in length (most: longer, +100 samples); the common part was scored" in out
    assert "6 of 10 pairs scored, 4 with errors" in out
    assert "  short: pesq_wb, noisy pesq_wb: shorter than 0.25 s" in out
    assert "  mute: pesq_wb, stoi, estoi, si_sdr: estimate is silent" in out
    assert "reference is silent" in out

    errors = [line.removeprefix("diffgmm: error: ") for line in err.splitlines()]
    for path, why in [
        ("enhanced/channels.wav", "2 channels against 1"),
        ("enhanced/nan.wav", "holds NaN at sample 5"),
        ("enhanced/rate.wav", "8000 Hz against 16000 Hz of the clean file; use --resample"),
        ("enhanced/text.wav", "not a"),
        ("clean/never_enhanced.wav", f"no file of this name in {folders / 'enhanced'}"),
        ("enhanced/no_clean.wav", f"no file of this name in {folders / 'clean'}"),
        ("clean/sub/other.take2.wav", f"no file of this name in {folders / 'noisy'}"),
    ]:
        found = [line for line in errors if line.startswith(f"{folders / path}: ")]
        assert len(found) == 1 and why in found[0], path
    assert len(errors) == 7

    rows = table(folders / "scores.csv")
    assert len(rows) == 10 and rows["longer"]["length_difference"] == "100"
    clean, noisy = pair
    expected = metrics.pesq_wb(clean + 0.3 * (noisy - clean), clean, RATE)
    assert float(rows["longer"]["pesq_wb"]) == pytest.approx(expected, abs=1e-3)
    gain = float(rows["good"]["pesq_wb"]) - float(rows["good"]["noisy_pesq_wb"])
    assert float(rows["good"]["improvement_pesq_wb"]) == pytest.approx(gain) and gain > 0
    assert rows["nan"]["pesq_wb"] == "nan" and "NaN" in rows["nan"]["error"]
    assert rows["sub/other.take2"]["noisy_si_sdr"] == "nan" and not rows["sub/other.take2"]["error"]


def test_serial_and_parallel_agree_bit_for_bit(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However many threads the numerical libraries are set to: workers have one."""
    with threadpool_limits(4):
        assert run(folders, "--jobs", "1", "--metrics", "pesq_wb", "estoi,sdr", "lsd") == 1
    serial, shown = (folders / "scores.csv").read_bytes(), capsys.readouterr()
    assert run(folders, "--jobs", "2", "--overwrite", "--metrics", "pesq_wb,estoi,sdr,lsd") == 1
    assert (folders / "scores.csv").read_bytes() == serial
    assert capsys.readouterr() == shown


def test_resample_is_asked_for(folders: Path, pair: PairOfSignals) -> None:
    for name in ("rate", "good"):
        (folders / "a" / f"{name}.wav").parent.mkdir(exist_ok=True)
        put(folders / "a" / f"{name}.wav", np.stack([pair[0]] * 2, 1), 48000)
        put(folders / "b" / f"{name}.wav", np.stack([pair[1]] * 2, 1), 48000 if name == "good" else 44100)
    arguments = ["evaluate", "--clean", str(folders / "a"), "--enhanced", str(folders / "b"), "--jobs", "1"]
    assert main([*arguments, "-o", str(folders / "1.csv")]) == 1
    one = table(folders / "1.csv")
    assert "pesq_wb is defined at 16000 Hz, not 48000" in one["good"]["error"]
    assert math.isfinite(float(one["good"]["stoi"])) and math.isnan(float(one["rate"]["stoi"]))
    assert main([*arguments, "-o", str(folders / "2.csv"), "--resample"]) == 0
    two = table(folders / "2.csv")
    assert all(math.isfinite(float(row["pesq_wb"])) and not row["error"] for row in two.values())
    # 44.1 kHz holds the same samples played slower: the common part is judged, the difference told.
    assert int(two["rate"]["length_difference"]) > 0


def test_channels_are_averaged(tmp_path: Path, pair: PairOfSignals) -> None:
    clean, noisy = pair
    put(tmp_path / "c.wav", np.stack([clean, clean], 1))
    put(tmp_path / "e.wav", np.stack([noisy, clean + 0.5 * (noisy - clean)], 1))
    row = evaluate.evaluate_pair(pairing.Pair("x", tmp_path / "c.wav", tmp_path / "e.wav"), ["snr"])
    assert row.scores["snr"].value == pytest.approx(5.0 + 10 * math.log10(4) / 2, abs=1e-3)
    put(tmp_path / "e.wav", np.stack([noisy, 0 * clean], 1))
    row = evaluate.evaluate_pair(pairing.Pair("x", tmp_path / "c.wav", tmp_path / "e.wav"), ["snr"])
    assert math.isnan(row.scores["snr"].value) and row.scores["snr"].reason == "channel 2: estimate is silent"


# --- what makes figures lie


def test_a_system_is_compared_with_its_input_on_the_same_files(
    tmp_path: Path, pair: PairOfSignals, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does nothing on two easy files and mutes two hard ones: no better, though the noisy mean of all is lower."""
    clean, noisy = pair
    for i, (loud, mute) in enumerate(((0.3, 0), (0.3, 0), (2.0, 1), (2.0, 1))):
        mixed = clean + loud * (noisy - clean)
        for kind, x in {"clean": clean, "noisy": mixed, "enhanced": 0 * clean if mute else mixed}.items():
            put(tmp_path / kind / f"{i}.wav", x)
    assert run(tmp_path, "--jobs", "1", "--metrics", "si_sdr") == 0
    out = capsys.readouterr().out
    easy = metrics.si_sdr(clean + 0.3 * (noisy - clean), clean, RATE)
    assert re.search(
        rf"^si_sdr +dB +{easy:.2f} ± 0.00 +{easy:.2f} ± 0.00 +\+0.00 .* 2/4 \*$", out, re.MULTILINE
    )
    assert "both a noisy and an enhanced score: si_sdr without 2 noisy" in out


def test_an_improvement_is_over_the_time_that_all_three_files_have(
    tmp_path: Path, pair: PairOfSignals
) -> None:
    """The enhanced file is the noisy one's first second, where there is less noise: nothing is gained."""
    clean, noise = pair[0], np.random.default_rng(1).standard_normal(pair[0].size)
    noisy = clean + np.where(np.arange(clean.size) < RATE, 0.001, 0.05) * noise
    paths = [
        put(tmp_path / f"{kind}.wav", x) for kind, x in (("c", clean), ("e", noisy[:RATE]), ("n", noisy))
    ]
    row = evaluate.evaluate_pair(pairing.Pair("x", *paths), ["si_sdr"])
    assert row.scores["si_sdr"] == row.noisy["si_sdr"] and row.seconds == 1.0
    assert row.scores["si_sdr"].value == pytest.approx(
        metrics.si_sdr(noisy[:RATE], clean[:RATE], RATE), abs=1e-4
    )
    assert row.length_difference == RATE - clean.size


def test_files_whose_headers_are_wrong_are_scored_whole_and_told(
    tmp_path: Path, pair: PairOfSignals, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, noisy = pair
    put(tmp_path / "clean" / "a.wav", clean)
    wrong = put(tmp_path / "enhanced" / "a.wav", noisy, subtype="PCM_16")
    claim_size(wrong, 1000)
    assert run(tmp_path, "--jobs", "1", "--metrics", "si_sdr", noisy=False) == 0
    out = capsys.readouterr().out
    assert f"put right to read them:\n  {wrong}: the header promises 1000 bytes" in out
    row = table(tmp_path / "scores.csv")["a"]
    assert float(row["si_sdr"]) == pytest.approx(metrics.si_sdr(noisy, clean, RATE), abs=0.01)
    assert row["length_difference"] == "0"


def test_an_mp3_of_varying_rate_without_an_index_is_scored_whole(tmp_path: Path, pair: PairOfSignals) -> None:
    clean = np.concatenate(
        [np.zeros(2 * RATE), *3 * [pair[0]]]
    )  # quiet first: the guessed length is too great
    put(tmp_path / "c.wav", clean)
    mp3 = tmp_path / "e.mp3"
    soundfile.write(mp3, clean, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.1)
    mp3.write_bytes(without_count(mp3.read_bytes()))
    assert abs(soundfile.info(mp3).frames - clean.size) > RATE / 2  # or nothing would be tested
    row = evaluate.evaluate_pair(pairing.Pair("x", tmp_path / "c.wav", mp3, None), ["si_sdr"], align=True)
    assert not row.errors and row.seconds == pytest.approx(clean.size / RATE, abs=0.1)
    assert row.scores["si_sdr"].value > 12.0


@pytest.mark.parametrize("delay", [-800, -3, 3, 160, 2400])
def test_a_delay_is_told_and_taken_out_when_asked(
    delay: int, tmp_path: Path, pair: PairOfSignals, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, noisy = pair
    better = clean + 0.3 * (noisy - clean)
    late = np.r_[np.zeros(max(delay, 0)), better[max(-delay, 0) :]][: clean.size]
    for kind, x in {"clean": clean, "noisy": noisy, "enhanced": late}.items():
        put(tmp_path / kind / "a.wav", x)
    assert run(tmp_path, "--jobs", "1", "--metrics", "si_sdr") == 0
    told = f"1 of 1 enhanced files lag their clean ones (most: a, {delay:+d} samples, {delay / 16:+.1f} ms): "
    assert told + "scored as they are; --align shifts them back" in capsys.readouterr().out
    row = table(tmp_path / "scores.csv")["a"]
    assert int(row["delay"]) == delay and float(row["si_sdr"]) < 8
    assert run(tmp_path, "--jobs", "1", "--metrics", "si_sdr", "--align", "--overwrite") == 0
    assert told + "shifted back before scoring" in capsys.readouterr().out
    row = table(tmp_path / "scores.csv")["a"]
    begin, end = max(0, -delay), clean.size - max(0, delay)
    for column, x in (("si_sdr", better), ("noisy_si_sdr", noisy)):
        expected = metrics.si_sdr(x[begin:end], clean[begin:end], RATE)
        assert float(row[column]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["opposite phase", "offset"])
def test_a_delay_is_told_of_channels_of_opposite_phase_and_beside_an_offset(
    kind: str, tmp_path: Path, pair: PairOfSignals
) -> None:
    clean = pair[0]
    late = np.r_[np.zeros(160), clean[:-160]]
    if kind == "offset":
        signals = clean, 0.2 * late + 0.5
    else:
        signals = np.stack([clean, -clean], 1), np.stack([late, -late], 1)
    paths = [put(tmp_path / f"{name}.wav", x) for name, x in zip("ce", signals, strict=True)]
    row = evaluate.evaluate_pair(pairing.Pair("x", *paths, None), ["si_sdr"], align=True)
    assert row.delay == 160 and row.scores["si_sdr"].value > 30


def test_noise_alone_is_no_delay(pair: PairOfSignals) -> None:
    clean, noisy = pair
    rng = np.random.default_rng(0)
    assert evaluate.estimate_delay(noisy, clean, RATE) == 0
    assert evaluate.estimate_delay(clean + 0.3 * rng.standard_normal(clean.size), clean, RATE) == 0
    assert evaluate.estimate_delay(rng.standard_normal(clean.size), clean, RATE) == 0
    assert evaluate.estimate_delay(-clean, clean, RATE) == 0  # inverted, in time
    assert evaluate.estimate_delay(0 * clean, clean, RATE) == 0


def test_links_to_folders_are_followed_and_loops_are_not(tmp_path: Path, pair: PairOfSignals) -> None:
    put(tmp_path / "disk" / "p1" / "a.wav", pair[0])
    put(tmp_path / "clean" / "b.wav", pair[0])
    (tmp_path / "clean" / "p1").symlink_to("../disk/p1")
    (tmp_path / "disk" / "p1" / "again").symlink_to("..")
    (tmp_path / "clean" / "self").symlink_to(".")
    for name in ("p1/a", "b"):
        put(tmp_path / "enhanced" / f"{name}.wav", pair[1])
    found = pairing.pair_folders(tmp_path / "clean", tmp_path / "enhanced")
    assert [pair.name for pair in found.pairs] == ["b", "p1/a"] and not found.unmatched


# --- manifest


def test_manifest(tmp_path: Path, pair: PairOfSignals, capsys: pytest.CaptureFixture[str]) -> None:
    clean, noisy = pair
    for name in ("a", "b"):
        put(tmp_path / "audio" / f"{name}_clean.wav", clean)
        put(tmp_path / "audio" / f"{name}_noisy.wav", noisy)
        put(tmp_path / "out" / f"{name}.flac", clean + 0.3 * (noisy - clean), subtype="PCM_24")
    lines = [
        "name,clean,noisy,enhanced,snr,noise,note",
        "a,audio/a_clean.wav,audio/a_noisy.wav,out/a.flac,5.0,rain + wind,mine",
        "b,audio/b_clean.wav,,out/missing.flac,,,",
    ]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    arguments = ["evaluate", "--manifest", str(tmp_path / "list.csv"), "--metrics", "snr", "--jobs", "1"]
    outputs = ["-o", str(tmp_path / "scores.csv"), "--results", str(tmp_path / "results.json")]
    assert main([*arguments, *outputs]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"^snr +dB +5\.00 .* 1/2$", out, re.MULTILINE) and "missing.flac" in err
    found = results.read_results(tmp_path)
    assert [one.name for one in found.systems] == ["noisy", "enhanced"] and found.kind == "evaluate"
    first, second = found.set.pairs
    assert (first.id, first.snr, first.noise, first.clean) == (
        "a",
        5.0,
        ("rain", "wind"),
        "audio/a_clean.wav",
    )
    assert second.snr is None and second.noisy is None
    enhanced = found.system("enhanced")
    assert enhanced.files[0].audio == "out/a.flac" and enhanced.values("snr")[0] == pytest.approx(
        15.46, abs=0.01
    )
    assert enhanced.files[1].scores == {"snr": None} and "missing.flac" in enhanced.files[1].reasons["snr"]

    # With a folder: matched by name, what has no counterpart is listed.
    put(tmp_path / "out" / "more.wav", clean)
    (tmp_path / "list.csv").write_text("\n".join([*lines, "c.wav,audio/a_clean.wav,,,,,"]) + "\n")
    assert main([*arguments, "--enhanced", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert "2 of 2 pairs scored" in out and err.count("\n") == 2
    assert f"list.csv, line 4: no file named c in {tmp_path}/out" in err
    assert f"{tmp_path}/out/more.wav: no pair of this name in {tmp_path}/list.csv" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clean\na.wav\n", "has no column 'enhanced', or give a folder with --enhanced"),
        ("enhanced\na.wav\n", "has no column 'clean'"),
        ("", "has no column 'clean'"),
        ("clean,enhanced\n", "no pair to score"),
        ("clean,enhanced\na.wav,b.wav\na.flac,b.wav\n", "line 3: the name a is used twice"),
        ("clean,enhanced\n,b.wav\n", "line 2: the column 'clean' is empty"),
        ("clean,enhanced,snr\na.wav,b.wav,loud\n", "line 2: snr 'loud' is no number of dB"),
    ],
)
def test_manifests_that_are_none(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.csv").write_text(text)
    assert main(["evaluate", "--manifest", str(tmp_path / "list.csv")]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


# --- against another system


def test_comparison_with_another_system(
    tmp_path: Path, pair: PairOfSignals, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, noisy = pair
    for i in range(8):
        put(tmp_path / "clean" / f"{i}.wav", clean[4000 * i : 4000 * i + 16000])
        for folder, gain in (("enhanced", 0.3 + 0.01 * i), ("other", 0.5)):
            x = clean + gain * (noisy - clean)
            put(tmp_path / folder / f"{i}.wav", x[4000 * i : 4000 * i + 16000])
    (tmp_path / "other" / "0.wav").unlink()
    put(tmp_path / "other" / "1.wav", 0 * clean)
    put(tmp_path / "other" / "odd.wav", clean)
    arguments = ["--jobs", "1", "--metrics", "snr", "lsd", "--vs", str(tmp_path / "other")]
    assert run(tmp_path, *arguments, "--results", str(tmp_path / "results.json"), noisy=False) == 1
    out, err = capsys.readouterr()
    assert f"{tmp_path}/enhanced/0.wav: no file of this name in {tmp_path}/other" in err
    assert f"{tmp_path}/other/odd.wav: belongs to no pair" in err and err.count("\n") == 2
    gains = [20 * math.log10(0.5 / (0.3 + 0.01 * i)) for i in range(2, 8)]  # 0 is missing, 1 silent
    # Six gains: p = 2 / 2^6 alone, twice that for two metrics; a distance that fell is a gain too.
    wanted = rf"^snr +dB +\+{np.mean(gains):.2f} .* \+1\.00 +0\.062 +6/8 +undecided$"
    assert re.search(wanted, out, re.MULTILINE) and re.search(r"^lsd +dB +\+", out, re.MULTILINE)
    assert [one.name for one in results.read_results(tmp_path).systems] == ["enhanced", "other"]

    put(tmp_path / "other" / "1.wav", (clean + 0.5 * (noisy - clean))[4000:20000])
    assert run(tmp_path, *arguments, "--overwrite", noisy=False) == 1
    out = capsys.readouterr().out
    assert re.search(r"^snr .* 0\.031 +7/8 +better$", out, re.MULTILINE)


def test_narrow_band_files_get_narrow_band_pesq(tmp_path: Path, pair: PairOfSignals) -> None:
    put(tmp_path / "clean" / "a.wav", pair[0], 8000)
    put(tmp_path / "enhanced" / "a.wav", pair[1], 8000)
    assert run(tmp_path, noisy=False) == 0
    assert list(table(tmp_path / "scores.csv")["a"])[5:9] == ["pesq_nb", "stoi", "estoi", "si_sdr"]


def test_two_files(tmp_path: Path, pair: PairOfSignals, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = put(tmp_path / "a.wav", pair[0]), put(tmp_path / "b.wav", pair[1])
    assert main(["evaluate", "--clean", str(a), "--enhanced", str(b), "--metrics", "all"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^snr +dB +5\.00 +1/1", out, re.MULTILINE) and re.search(
        r"^lsd +dB \(lower is better\)", out, re.MULTILINE
    )


def test_usage_errors(tmp_path: Path, pair: PairOfSignals, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "clean" / "a.wav", pair[0])
    put(tmp_path / "enhanced" / "a.wav", pair[1])
    put(tmp_path / "else" / "b.wav", pair[1])
    (tmp_path / "empty").mkdir()

    def says(*arguments: str) -> str:
        assert main(["evaluate", *arguments]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err

    clean, enhanced = f"--clean={tmp_path}/clean", f"--enhanced={tmp_path}/enhanced"
    assert "no such folder" in says(clean, f"--enhanced={tmp_path}/missing")
    assert "no audio files" in says(clean, f"--enhanced={tmp_path}/empty")
    assert "is a file, give a folder" in says(clean, f"--enhanced={tmp_path}/enhanced/a.wav")
    assert "has the name of one in" in says(clean, f"--enhanced={tmp_path}/else")
    assert "unknown metric 'mos'; choose from" in says(clean, enhanced, "--metrics", "snr", "mos")
    assert "must be a whole number from 1" in says(clean, enhanced, "--jobs", "0")
    assert "no such folder to write into" in says(clean, enhanced, "-o", f"{tmp_path}/no/scores.csv")
    assert "is a directory" in says(clean, enhanced, "-o", str(tmp_path))
    assert "give --clean and --enhanced, or --manifest" in says(enhanced)
    assert "must end in .csv" in says(clean, enhanced, "-o", f"{tmp_path}/scores.txt")
    assert "has the name of a pair" in says(clean, enhanced, f"--vs={tmp_path}/else")
    assert "leave out --clean" in says(clean, enhanced, "--manifest", "x.csv")
    (tmp_path / "scores.csv").write_text("mine")
    assert "exists already" in says(clean, enhanced, "-o", f"{tmp_path}/scores.csv")
    assert (tmp_path / "scores.csv").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clean", "else", "empty", "enhanced", "scores.csv"]


def test_one_name_twice_is_told(
    tmp_path: Path, pair: PairOfSignals, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "clean" / "a.wav", pair[0])
    put(tmp_path / "clean" / "a.flac", pair[0], subtype="PCM_16")
    put(tmp_path / "enhanced" / "a.wav", pair[1])
    assert run(tmp_path, noisy=False) == 1
    assert f"{tmp_path}/clean/a.wav: same name as a.flac, which is used" in capsys.readouterr().err


def test_lower_is_better_makes_the_improvement_positive() -> None:
    row = evaluate.Row("a", scores={"lsd": metrics.Score(2.0)}, noisy={"lsd": metrics.Score(5.0)})
    assert scores.columns([row], "lsd")["improvement"] == [
        3.0
    ]  # lower is better: the improvement is positive


def _call(x: int) -> int:
    if x == 2:
        os._exit(1)  # as if killed for memory
    return x * x


def test_a_dying_process_costs_one_result() -> None:
    with Workers(_call, 2) as workers:
        for x in range(5):
            workers.submit(x)
        results = list(workers.results())
        assert results[:2] + results[3:] == [0, 1, 9, 16] and isinstance(results[2], Exception)
        workers.submit(5)  # and the rest goes on
        assert list(workers.results()) == [25]
