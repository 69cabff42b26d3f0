"""Benchmarks as a whole: what is kept, what makes a step run again, and that cited figures are told from measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from diffgmm.cli.main import main
from diffgmm.evaluation.results import FileScores, MetricInfo, PairInfo, Results, SetInfo, System
from diffgmm.utils.code_version import code_version
from diffgmm.workflows.reproduce.plan import Plan, ReproduceError, find_plan, read_plan, record_expected
from diffgmm.workflows.reproduce.steps import Steps
from diffgmm.workflows.reproduce.table import checks, expectations, render, write_markdown

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "experiments" / "benchmarks"
FILES = sorted(BENCHMARKS.glob("*.yaml"))


def results(*values: float, weights: str = "w1") -> Results:
    pairs = tuple(PairInfo(str(i), 16000, 4.0) for i in range(len(values)))
    files = tuple(FileScores(str(i), {"si_sdr": value}) for i, value in enumerate(values))
    system = System("base-nfe1-mean", "model", {"weights": weights}, files=files)
    return Results(
        "benchmark", "today", (), SetInfo("set", pairs=pairs), (system,), (MetricInfo("si_sdr", "dB"),)
    )


def plan(path: Path, **changes: Any) -> Plan:
    path.write_text(
        "# What readers are told stays.\ntitle: t\ncorpus: {name: mini}\nset: {kind: pairs, pairs: 2}\n"
        "systems: {models: [base]}\nmetrics: [si_sdr]\ntolerance: {si_sdr: 0.1}\n"
        "published: [{system: other, values: {si_sdr: 12.5}, source: a paper}]\n"
    )
    return replace(read_plan(path), **changes)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_benchmarks_of_the_repository_can_be_read_and_name_what_there_is(file: Path) -> None:
    from data_modules.corpora.index import RECIPES

    one = read_plan(file)
    assert one.corpus["name"] in (*RECIPES, "mini") and one.training.is_file()
    assert set(one.tolerance) == set(one.metrics)
    for row in one.published:
        assert set(row["values"]) <= set(one.metrics) and len(row["source"]) > 20


def test_the_benchmarks_that_are_asked_for_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"dsn", "voicebank-demand", "belz", "birds", "mini"} <= set(listed)
    assert find_plan("dsn", BENCHMARKS) == BENCHMARKS / "dsn.yaml"
    with pytest.raises(ReproduceError, match="no benchmark 'dns'; there are"):
        find_plan("dns", BENCHMARKS)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "which benchmark?"),
        (["none"], "no benchmark 'none'"),
        (["mini", "--jobs", "0"], "must be a whole number from 1"),
        (["mini", "--set", "a=1"], "--set goes with --train"),
        (["mini", "--again", "cook"], "no step cook"),
        (["bad.yaml"], "unknown 'extra'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("extra: 1\n")
    assert main(["reproduce", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_step_is_done_once_and_again_when_anything_that_went_in_changes(tmp_path: Path) -> None:
    told: list[str] = []
    made: list[int] = []

    def step(
        inputs: dict[str, Any], *, whole: bool = True, anew: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            made.append(len(made))
            return {"number": made[-1]}

        return Steps(tmp_path, ("one", "two"), told.append, anew).run("two", inputs, work, lambda kept: whole)

    assert step({"data": "a", "code": "1"}) == step({"data": "a", "code": "1"}) == {"number": 0}
    assert "[2/2] two: done before" in told[-1]
    assert step({"data": "b", "code": "1"}) == {"number": 1} and "changed: data" in told[-2]
    assert step({"data": "b", "code": "2"}) == {"number": 2} and "changed: code" in told[-2]
    assert step({"data": "b", "code": "2"}, whole=False) == {"number": 3} and "gone or damaged" in told[-2]
    assert step({"data": "b", "code": "2"}, anew=frozenset({"two"})) == {"number": 4}

    def fail() -> dict[str, Any]:
        raise ValueError("broken step")

    with pytest.raises(ValueError, match="broken step"):
        Steps(tmp_path, ("two",), told.append).run("two", {"data": "c"}, fail, lambda kept: True)
    assert step({"data": "b", "code": "2"}) == {
        "number": 4
    }  # what failed has not taken the place of what was done
    (tmp_path / "steps.json").write_text("{")
    assert step({"data": "b", "code": "2"}) == {"number": 5}


def test_code_is_another_when_it_does_another_thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from diffgmm.utils import code_version as code

    package = tmp_path / "ourpack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "top.py").write_text("from ourpack import low\n\nx = low.y\n")
    monkeypatch.syspath_prepend(tmp_path)

    def version(low: str) -> str:
        (package / "low.py").write_text(low)
        importlib.invalidate_caches()
        code._file.cache_clear()
        return code_version.__wrapped__("ourpack.top", ours=("ourpack",))

    first = version('"""Old words."""\ny = 1\n')
    assert version('"""New words."""\n\n# why\ny = (1)\n') == first
    assert version("y = 2\n") != first
    code._file.cache_clear()


def test_figures_are_checked_and_cited_ones_told_apart(tmp_path: Path) -> None:
    one = plan(tmp_path / "p.yaml")
    assert "never run here" in render(one, results(1.0, 2.0), [])
    record_expected(one, expectations(one, results(1.0, 2.0)), results(1.0, 2.0))
    text = one.path.read_text()
    assert text.startswith("# What readers are told stays.") and "edit nothing below" in text
    known = read_plan(one.path)
    assert known.expected == {"base-nfe1-mean": {"weights": "w1", "values": {"si_sdr": 1.5}}}

    good, bad, other = (
        checks(known, found)
        for found in (results(1.0, 2.19), results(1.0, 2.3), results(1.0, 2.0, weights="w2"))
    )
    assert [one.ok for one in (*good, *bad, *other)] == [True, False, False]
    assert "--record" in other[0].text() and "DIFFERS" in bad[0].text()
    shown = render(known, results(1.0, 2.0), good)
    assert "1.50  measured here" in shown and "12.50  cited [1]" in shown and "[1] a paper" in shown
    assert "this run measured none of them" in shown
    write_markdown(tmp_path / "table.md", known, results(1.0, 2.0), good)
    assert "| other | 12.50 | cited [1] |" in (tmp_path / "table.md").read_text()

    # New weights: new figures take the old ones' place.
    record_expected(known, expectations(known, results(3.0)), results(3.0))
    assert read_plan(one.path).expected["base-nfe1-mean"]["values"] == {"si_sdr": 3.0}
    assert one.path.read_text().count("expected:") == 1


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path / "home"))
    return tmp_path


def reproduce(*arguments: str, code: int = 0) -> str:
    command = [
        sys.executable,
        "-m",
        "diffgmm.cli.main",
        "reproduce",
        *arguments,
        "--jobs",
        "1",
        "--timing",
        "skip",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_mini_benchmark_from_an_empty_cache_again_and_after_damage(workspace: Path) -> None:
    (workspace / "benchmarks").mkdir()
    for file in (BENCHMARKS / "mini.yaml", BENCHMARKS.parent / "mini.yaml"):
        shutil.copy(file, workspace / "benchmarks" / file.name)  # --record writes into it
    name = workspace / "benchmarks" / "small.yaml"
    text = (BENCHMARKS / "mini.yaml").read_text().replace("pairs: 24", "pairs: 4").replace("../mini", "mini")
    name.write_text(text.partition("\n# Measured here")[0] + "\n")
    first = reproduce(str(name))
    assert first.count(" begins\n") == 4 and "never run here" in first
    assert "recorded the figures of noisy, base-nfe1-mean" in reproduce(str(name), "--record")
    second = reproduce(str(name))
    assert second.count("done before") == 4 and second.count("agrees") == 8
    out = workspace / "runs" / "reproduce" / "small"
    assert (out / "table.md").is_file() and (out / "report.html").is_file()
    audio = next((workspace / "home" / "benchmarks").rglob("noisy/*.wav"))
    audio.write_bytes(audio.read_bytes()[:-2000])
    third = reproduce(str(name))
    assert "set: begins again: its result is gone or damaged" in third and third.count("agrees") == 8

    small = [
        "model.network.channels=[4,6]", "model.network.strides=[[4,1],[4,1]]", "model.network.hidden=8",
        "data.epoch_size=8", "data.batch_size=4", "data.valid_pairs=2", "data.valid_seconds=1.5",
        "trainer.max_epochs=1", "trainer.log_every_n_steps=1",
    ]  # fmt: skip
    settings = [word for one in small for word in ("--set", one)]
    trained = reproduce(str(name), "--train", *settings)
    assert "trained-nfe1-mean" in trained and "Nothing is expected yet of trained-nfe1-mean" in trained
    assert "train: done before" in reproduce(str(name), "--train", *settings)
    (checkpoint,) = out.glob("train-*/version_0/checkpoints/last.ckpt")
    checkpoint.unlink()
    assert "train: begins again" in reproduce(str(name), "--train", *settings)

    told = yaml.safe_load(name.read_text())
    told["expected"]["base-nfe1-mean"]["values"]["pesq_wb"] += 1
    name.write_text(yaml.safe_dump(told))
    assert "DIFFERS" in reproduce(str(name), code=1)
    assert json.loads((out / "steps.json").read_text())["benchmark"]["inputs"]["set"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["voicebank-demand", "birds", "belz"])
def test_benchmarks_of_public_corpora_run_on_miniatures_of_them(workspace: Path, name: str) -> None:
    from corpus_miniatures import miniature

    from data_modules.corpora.build.engine import prepare

    told = yaml.safe_load((BENCHMARKS / f"{name}.yaml").read_text())
    if told["set"]["kind"] == "pairs":
        told["set"] |= {"pairs": 2, "seconds": 2.016}
    told["train"]["config"] = str((BENCHMARKS / told["train"]["config"]).resolve())
    (workspace / f"{name}.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    corpus, archives = told["corpus"]["name"], workspace / "archives"
    prepare(miniature(corpus, archives), workspace / "home" / "corpora", downloads=archives, workers=1)
    text = reproduce(f"{name}.yaml")
    assert "measured here" in text and "never run here" in text
    assert text.count("cited [") == len(told.get("published", []))
    assert "done before" in reproduce(f"{name}.yaml")
