"""Records of runs, what they took, and the verb that lists and compares them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from diffgmm.cli.main import main
from diffgmm.training.run_folders import RunsError, differences, find_runs, order, rises
from diffgmm.utils import provenance


def make_run(folder: Path, loss: list[float], pesq: list[float], started: str, **settings: object) -> Path:
    folder.mkdir(parents=True)
    lines = ["epoch,step,val/loss,val/pesq_wb"]
    lines += [f"{i},{10 * i},{a},{b}" for i, (a, b) in enumerate(zip(loss, pesq, strict=True))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n3,30,0.0")  # the last line was cut short
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"model": {"lr": 1.0, **settings}, "trainer": {"max_epochs": 2}})
    )
    record = {
        "started": started, "seconds": 60.0, "seconds_in_all": 90.0, "steps": 20, "git_revision": "a" * 40,
        "git_modified": True, "versions": {"torch": "2"},
    }  # fmt: skip
    (folder / "record.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_run(
        tmp_path / "runs" / "a" / "version_0", [3.0, 1.0, 2.0], [1.0, 1.2, 1.1], "2026-01-02T00:00:00+0000"
    )
    make_run(
        tmp_path / "runs" / "b" / "version_0", [2.0, 1.5, 1.5], [1.0, 1.5, 1.4], "2026-01-01T00:00:00+0000", lr=2.0,
        head={"components": 3},
    )  # fmt: skip
    return tmp_path


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("val/si_sdr", "a"), ("val/loss/si_sdr", "b"), ("val/loss/snr", "b"), ("val/si_sdr_improvement", "a"),
        ("val/si_sdr_snr_below_0", "a"), ("val/si_sdr_noisy", "a"), ("val/lsd", "b"), ("val/lsd_improvement", "a"),
        ("val/pesq_wb_valid", "a"), ("val/mixture_nll", "b"),
    ],
)  # fmt: skip
def test_the_best_run_is_the_one_with_more_of_a_score_or_less_of_a_loss(
    name: str, better: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run, value in (("a", 12.0), ("b", -3.0)):
        (tmp_path / run).mkdir()
        (tmp_path / run / "metrics.csv").write_text(f"step,{name}\n1,{value}\n2,{value}\n")
    assert main(["runs", str(tmp_path), "--best", name]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / better)


def test_runs_are_found_ordered_and_compared(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = find_runs(["runs"])
    assert [run.folder.parts[-2] for run in found] == ["b", "a"]  # by their start
    assert rises("val/pesq_wb") and not rises("val/loss") and not rises("val/lsd")
    assert [run.folder.parts[-2] for run in order(found, "val/loss")] == ["a", "b"]
    last = order(found, "val/loss", "last")  # not 0.0, of the line that was cut short
    assert [run.folder.parts[-2] for run in last] == ["b", "a"]
    assert [run.folder.parts[-2] for run in order(found, "val/pesq_wb")] == ["b", "a"]
    told = {one.key: (one.first, one.second) for one in differences(*find_runs(["runs"]))}
    assert told == {"model.lr": (2.0, 1.0), "model.head.components": (3, "-")}

    assert main(["runs"]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.split() == ["run", "started", "steps", "min", "val/loss", "val/pesq_wb", "revision"]
    assert rows[0].split() == [
        "runs/b/version_0",
        "2026-01-01T00:00",
        "20",
        "1.5",
        "1.5",
        "1.5*",
        "aaaaaaaa+",
    ]
    assert main(["runs", "--best", "val/loss"]) == 0
    assert capsys.readouterr().out.strip() == "runs/a/version_0"
    assert main(["runs", "runs/a", "runs/b", "--diff"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "model.lr",
        "model.head.components",
    ]
    assert main(["runs", "--json", "--last"]) == 0
    assert [one["values"]["val/pesq_wb"] for one in json.loads(capsys.readouterr().out)] == [1.4, 1.1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none"], "none: no such folder"),
        (["empty"], "empty: no run there"),
        (["--sort", "val/pesq"], "no run has logged val/pesq; there are val/pesq_wb"),
        (["--diff"], "--diff takes two runs, got 1"),
        (["runs", "runs/a", "--diff"], "runs: has 2 runs, name one"),
    ],
)
def test_mistakes_are_told_in_one_line(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (runs / "empty").mkdir()
    assert main(["runs", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_damaged_run_is_named(runs: Path) -> None:
    (runs / "runs" / "a" / "version_0" / "record.json").write_text("{")
    with pytest.raises(RunsError, match="version_0: damaged"):
        find_runs(["runs"])


def test_a_changed_tree_can_be_had_again_from_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    (tmp_path / "diffgmm").mkdir()
    source = tmp_path / "diffgmm" / "provenance.py"
    source.write_text("one\n")
    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "first")
    monkeypatch.setattr(provenance, "__file__", str(source))
    assert provenance.changes() == "" and provenance.facts()["git_modified"] is False
    source.write_text("two  \n")
    difference = provenance.changes()
    assert difference and provenance.facts()["git_modified"] is True
    git("checkout", "-q", ".")
    (tmp_path / "changes.diff").write_text(difference)
    git("apply", "changes.diff")
    assert source.read_text() == "two  \n"
