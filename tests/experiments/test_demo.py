"""The demo: it replaces its own folder only, counts missing scores, and runs from beginning to end."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_modules.errors import DataError
from experiments import demo

ROOT = Path(__file__).resolve().parents[2]


def run_demo(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "experiments.demo", "--folder", str(folder), *options]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_replaces_only_what_a_demo_wrote(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="was not written by the demo"):
        demo.fresh(theirs)
    assert (theirs / "thesis.txt").read_text() == "years of work"
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / demo.MARK).touch()
    (ours / "scores.csv").touch()
    demo.fresh(ours)
    assert not ours.exists()
    demo.fresh(ours)  # nothing there: nothing to do
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DataError):
        demo.fresh(file)


def test_refusal_is_one_line_and_a_usage_error(tmp_path):
    (tmp_path / "thesis.txt").touch()
    run = run_demo(tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith("demo: error: ") and run.stderr.count("\n") == 1


def row(name: str, before: float, after: float) -> dict[str, str]:
    scores = {score: str(after) for score in demo.SCORES}
    return {"name": name, **scores, **{f"noisy_{score}": str(before) for score in demo.SCORES}}


def test_table_groups_by_ratio_and_leaves_missing_scores_out():
    rows = [row("a", 1.0, 2.0), row("b", 3.0, 2.5), row("c", math.nan, math.nan)]
    text = demo.table(rows, {"a": 0.0, "b": 5.0, "c": 5.0})
    lines = {line.split("  ")[1]: line for line in text.splitlines() if "->" in line and "noisy" not in line}
    assert "1.00 -> 2.00" in lines["0 dB"] and lines["0 dB"].split()[2] == "1"
    assert "3.00 -> 2.50" in lines["5 dB"]
    assert "2.00 -> 2.25" in lines["all"]
    assert "nan" in lines["10 dB"]
    assert text.splitlines()[-1].endswith("-0.5 dB (b)")


@pytest.mark.slow
def test_runs_from_beginning_to_end(tmp_path):
    folder = tmp_path / "demo"
    for _ in range(2):  # twice: the second replaces the first
        run = run_demo(folder, "--pairs", "4", "--minutes", "0.1")
        assert run.returncode == 0, run.stdout + run.stderr
    assert "$ diffgmm denoise" in run.stdout and "$ diffgmm fit" in run.stdout
    assert all((folder / name).exists() for name in demo.CONTENTS)
    for denoised in ("denoised", "denoised-run"):
        names = {path.name for path in (folder / denoised).iterdir()}
        assert {path.name for path in (folder / "noisy").iterdir()} < names
        assert sum(name.endswith(".png") for name in names) == 4
