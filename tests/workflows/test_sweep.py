"""Sweeps: what is drawn, who gets which trial, what survives a kill, and that the best result comes out again."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from diffgmm.cli.main import main
from diffgmm.workflows.sweep.space import SweepError, draw, parse_space, read_space, settings

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "experiments" / "mini.yaml"
SPACE: dict[str, Any] = {
    "monitor": "val/loss",
    "trials": 4,
    "sampler": {"name": "tpe", "n_startup_trials": 2, "seed": 1},
    "fixed": {
        "trainer.max_epochs": 2, "trainer.log_every_n_steps": 2, "trainer.callbacks": None,
        "data.epoch_size": 8, "data.batch_size": 4, "data.valid_pairs": 2, "data.valid_seconds": 1.5,
        "model.network.channels": [4, 6], "model.network.strides": [[4, 1], [4, 1]], "model.network.hidden": 8,
    },
    "parameters": {
        "model.optimizer.init_args.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "model.head.init_args.components": {"type": "int", "low": 1, "high": 3},
        "model.process": {
            "choices": {
                "bridge": {"class_path": "diffgmm.diffusion.process.Bridge"},
                "blend": {"class_path": "diffgmm.diffusion.process.Blend"},
            }
        },
        "model.process.init_args.c": {"type": "float", "low": 0.1, "high": 1.0, "when": {"model.process": "bridge"}},
    },
}  # fmt: skip
LR, COMPONENTS, PROCESS, SPREAD = SPACE["parameters"]


def altered(**changes: Any) -> dict[str, Any]:
    return {**SPACE, **changes}


def test_what_is_drawn_becomes_what_fit_is_given() -> None:
    space = parse_space(SPACE)
    bridge = {LR: 1e-3, COMPONENTS: 2, PROCESS: "bridge", SPREAD: 0.5}
    assert draw(space, lambda one: bridge[one.key]) == bridge
    found = settings(space, bridge)
    assert found[PROCESS] == {"class_path": "diffgmm.diffusion.process.Bridge"} and found[SPREAD] == 0.5
    assert list(found)[-1] == SPREAD and found["trainer.max_epochs"] == 2
    blend = draw(space, lambda one: {**bridge, PROCESS: "blend"}[one.key])
    assert SPREAD not in blend and SPREAD not in settings(space, blend)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"monitor": None}, "monitor is missing"),
        ({"direction": "down"}, "direction must be one of"),
        ({"sampeler": {}}, "unknown 'sampeler'"),
        (
            {"parameters": {"a": {"type": "float", "low": 2, "high": 1}}},
            "`low <= high` must hold, but got .low=2.0, high=1.0",
        ),
        (
            {"parameters": {"a": {"type": "float", "low": 0, "high": 1, "log": True}}},
            "`low > 0` must hold for `log=True`",
        ),
        ({"parameters": {"a": {"type": "int", "low": 1}}}, "needs low and high"),
        ({"parameters": {"a": {"type": "float", "low": 1, "high": 2, "lg": True}}}, "unknown 'lg' in a"),
        ({"parameters": {"a": {"type": "int", "low": 1, "high": float("inf")}}}, "needs low and high"),
        (
            {"parameters": {"a": {"type": "int", "low": 1, "high": 10**30}}},
            "whole numbers go up to 9007199254740992",
        ),
        ({"trials": 10**12}, "trials must be a whole number from 1 to 1000000"),
        ({"trials": "many"}, "trials must be a whole number"),
        ({"parameters": {"a": {"choices": []}}}, "choices must be a list"),
        ({"parameters": {"a": {"choices": [1], "when": {"b": 1}}}}, "which is not a parameter above it"),
        (
            {"parameters": {"a": {"choices": [1, 2]}, "b": {"choices": [1], "when": {"a": 3}}}},
            "a is never 3",
        ),
        ({"parameters": {"a": {"choices": [1]}}, "fixed": {"a": 1}}, "fixed and varied"),
    ],
)
def test_contradictions_are_told_in_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SweepError, match=says):
        parse_space(altered(**changes))


@pytest.mark.parametrize(
    "file", sorted((ROOT / "experiments" / "sweeps").glob("*.yaml")), ids=lambda file: file.name
)
def test_spaces_of_the_repository_are_taken(file: Path) -> None:
    assert read_space(file).parameters


pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage")  # the tests ask for trials themselves
optuna = pytest.importorskip("optuna", reason="sweeps need the extra `sweep`")
pytest.importorskip("optuna_integration", reason="sweeps need the extra `sweep`")
from diffgmm.workflows.sweep import outputs, study, worker  # noqa: E402


def opened(folder: Path, heartbeat: int = 60, **changes: Any) -> worker.Sweep:
    space = parse_space(altered(**changes))
    storage = study.open_storage(study.default_storage(folder), heartbeat)
    return worker.Sweep(
        study.open_study(storage, "s", space, {"config": "1"}), study.default_storage(folder), space, [CONFIG], folder,
        space.trials, 2, lambda line: None,
    )  # fmt: skip


def test_a_trial_of_a_killed_worker_is_begun_anew_with_its_values_and_only_so_often(tmp_path: Path) -> None:
    sweep = opened(tmp_path, heartbeat=1, trials=1)
    history = []
    for life in range(4):  # the first, and three more
        trial = sweep.study.ask()
        history.append(draw(sweep.space, study.suggester(trial)))
        sweep.study._storage.record_heartbeat(trial._trial_id)
        assert worker.remaining(sweep) == "wait"
        with sqlite3.connect(tmp_path / study.FILE) as base:  # its last sign of life was long ago
            base.execute("update trial_heartbeats set heartbeat = datetime('now', '-1 hour')")
        optuna.storages.fail_stale_trials(sweep.study)
        assert worker.remaining(sweep) == ("take" if life < 3 else "done")
    assert all(one == history[0] for one in history)
    assert study.counts(sweep.study) == {
        "finished": 0, "pruned": 0, "retried": 3, "failed": 1, "running": 0, "waiting": 0,
    }  # fmt: skip


@pytest.mark.parametrize("value", [1.0, None])
def test_a_worker_that_was_thought_dead_says_so_and_goes_on(
    value: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    sweep = dataclasses.replace(opened(tmp_path, heartbeat=1, trials=1), tell=told.append)
    lives = iter(range(2))

    def train(argv: list[str], task: dict[str, Any], log: Path) -> int:
        if next(lives) == 0:  # its signs of life come too late: another worker gives the trial back
            with sqlite3.connect(tmp_path / study.FILE) as base:
                base.execute("update trial_heartbeats set heartbeat = datetime('now', '-1 hour')")
            optuna.storages.fail_stale_trials(sweep.study)
        if value is not None:
            Path(task["outcome"]).write_text(json.dumps({"value": value, "pruned": False, "epoch": 0}))
        log.write_text("broken\n")
        return 0 if value is not None else 1

    monkeypatch.setattr(worker, "_train", train)
    worker.work(sweep)
    assert any("trial 0: this worker gave no sign of life" in line for line in told)
    assert study.counts(sweep.study)["finished" if value is not None else "failed"] == 1


def test_workers_propose_different_trials_and_a_resumed_sweep_the_same(tmp_path: Path) -> None:
    def proposals(name: str) -> list[float]:
        (tmp_path / name).mkdir()
        sweep = opened(tmp_path / name)
        found = []
        for _ in range(4):
            trial = sweep.study.ask()
            sweep.study.sampler = study.make_sampler(sweep.space, trial.number)
            drawn = draw(sweep.space, study.suggester(trial))
            sweep.study.tell(trial, drawn[LR])
            found.append(drawn[LR])
        return found

    first = proposals("a")
    assert first == proposals("b") and len(set(first)) == 4


def test_a_study_of_another_sweep_is_refused_and_running_trials_can_be_given_back(tmp_path: Path) -> None:
    sweep = opened(tmp_path)
    with pytest.raises(SweepError, match="begun with another config"):
        study.open_study(sweep.study._storage, "s", sweep.space, {"config": "2"})
    sweep.study.ask()
    assert worker.requeue(sweep.study, 2) == [0] and worker.remaining(sweep) == "take"
    journal = study.open_storage(f"journal:{tmp_path / 'journal.log'}")
    other = study.open_study(journal, "s", sweep.space, {})
    assert other.ask().number == 0 and worker.requeue(other, 2) == [0]


def test_addresses_that_cannot_be_are_told_without_their_password() -> None:
    with pytest.raises(SweepError, match=r"cannot keep a study there") as caught:
        study.open_storage("nosql://me:secret@host/db")
    assert "secret" not in str(caught.value)


def test_the_report_holds_every_trial_and_all_plots(tmp_path: Path) -> None:
    sweep = opened(tmp_path, pruner={"name": "median"})
    for number in range(8):
        trial = sweep.study.ask()
        sweep.study.sampler = study.make_sampler(sweep.space, number)
        drawn = draw(sweep.space, study.suggester(trial))
        for epoch in range(2):
            trial.report(drawn[LR] * 100 - epoch, epoch)
        state = optuna.trial.TrialState.PRUNED if number == 6 else None
        sweep.study.tell(trial, None if state else drawn[LR] * 100 - 1, state=state)
    failed = sweep.study.ask()
    failed.set_user_attr("error", "<boom>")
    sweep.study.tell(failed, state=optuna.trial.TrialState.FAIL)
    text = outputs.write_page(sweep.study, sweep.space, tmp_path).read_text()
    for part in (
        "fANOVA",
        "settings of the trials",
        "against each setting",
        "by trial",
        "by epoch",
        "&lt;boom&gt;",
        "7 finished",
        "1 pruned",
        "1 failed",
    ):
        assert part in text
    assert text.count("data:image/svg+xml") == 5
    assert text.count("<tr>") == 10 and "http://" not in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--config", "none.yaml", "--space", "space.yaml"], "no such configuration"),
        (["--config", str(CONFIG), "--space", "none.yaml"], "No such file"),
        (
            ["--config", str(CONFIG), "--space", "space.yaml", "--trials", "0"],
            "must be a whole number from 1",
        ),
        (["--config", str(CONFIG), "--space", "space.yaml", "--set", "x"], "KEY=VALUE"),
        (
            ["--config", str(CONFIG), "--space", "space.yaml", "--set", f"{LR}=1"],
            "is a parameter of the space",
        ),
    ],
)
def test_mistakes_on_the_command_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(yaml.safe_dump(SPACE))
    assert main(["sweep", *arguments]) == 2
    assert says in capsys.readouterr().err


class Workers:
    """Workers of one sweep as processes; all that is left of them is killed at the end."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder = folder
        (folder / "space.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
        self.command = [
            sys.executable, "-m", "diffgmm.cli.main", "sweep", "--config", str(CONFIG), "--space", "space.yaml",
            "--out", "sweep", "--heartbeat", "2", "--trials", "3", *more,
        ]  # fmt: skip
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        out = (self.folder / f"worker{len(self.processes)}.txt").open("wb")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            self.command, cwd=self.folder, stdout=out, stderr=out, env=environment, start_new_session=True
        )
        self.processes.append(process)
        return process

    def told(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self.folder.glob("worker*.txt")))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)


def until(condition: Any, seconds: float, workers: Workers) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not in time:\n{workers.told()}")


def trainings(folder: Path) -> list[int]:
    """Processes that train for a sweep in this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"diffgmm.workflows.sweep.trial" in words and str(folder).encode() in words:
            found.append(int(path.parent.name))
    return found


def kill_one_of_two(folder: Path, *more: str) -> None:
    with Workers(folder, *more, "--out", str(folder / "sweep")) as workers:
        first = workers.start()
        trials = folder / "sweep" / "trials"
        # In the middle of its training: the run's files are there, its result is not.
        until(lambda: list(trials.glob("*/config.yaml")), 300, workers)
        assert trainings(folder)
        os.kill(first.pid, signal.SIGKILL)
        first.wait(timeout=30)
        until(lambda: not trainings(folder), 20, workers)  # its training ended with it
        killed = next(iter(trials.iterdir()))
        assert not (killed / worker.OUTCOME).exists()
        second, third = workers.start(), workers.start()
        for process in (second, third):
            until(lambda one=process: one.poll() is not None, 900, workers)
            assert process.returncode == 0, workers.told()
        assert workers.start().wait(timeout=180) == 0  # a sweep that is done has nothing left to do
        told = workers.told()
    assert "3 finished, 1 retried" in told.splitlines()[-3], told
    tasks = [yaml.safe_load((one / "trial.yaml").read_text()) for one in sorted(trials.iterdir())]
    values = [task["parameters"] for task in tasks]
    assert len(values) == 4 and sum(one == values[0] for one in values) == 2  # the killed one, again
    outcomes = {file.parent.name: json.loads(file.read_text()) for file in trials.glob(f"*/{worker.OUTCOME}")}
    assert len(outcomes) == 3
    best = min(one["value"] for one in outcomes.values())

    again = [
        sys.executable, "-m", "diffgmm.cli.main", "fit", "--config", "sweep/best.yaml",
        "--trainer.logger=lightning.pytorch.loggers.CSVLogger", "--trainer.logger.save_dir=again",
        "--trainer.logger.name=", "--trainer.logger.version=", "--trainer.default_root_dir=again",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        again, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with (folder / "again" / "metrics.csv").open(newline="") as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]]
    assert losses[-1] == best


@pytest.mark.slow
def test_two_workers_share_a_study_and_one_is_killed(tmp_path: Path) -> None:
    kill_one_of_two(tmp_path)


@pytest.mark.slow
def test_two_workers_share_a_study_in_postgresql_and_one_is_killed(tmp_path: Path) -> None:
    from postgres import programs, server

    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    pytest.importorskip("psycopg", reason="PostgreSQL's driver psycopg is not installed")
    with server() as address:
        kill_one_of_two(tmp_path, "--storage", address)


@pytest.mark.slow
def test_several_configurations_are_laid_over_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the trials and in best.yaml; the order counts, and a study keeps to it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layer.yaml").write_text("model: {p_t1: 0.375}\ntrainer: {default_root_dir: mine}\n")
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(altered(trials=1)))
    command = ["sweep", "--space", "space.yaml", "--out", "out"]
    assert main([*command, "--config", "experiments/mini.yaml", "--config", "layer.yaml"]) == 0
    (trial,) = (tmp_path / "out" / "trials").rglob("config.yaml")
    for path in (trial, tmp_path / "out" / "best.yaml"):
        settings_found = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert (
            settings_found["model"]["p_t1"] == 0.375
            and settings_found["data"]["init_args"]["corpus"] == "mini"
        )
    assert settings_found["trainer"]["default_root_dir"] == "mine"
    assert "over mini.yaml and layer.yaml" in (tmp_path / "out" / "best.yaml").read_text()
    assert main([*command, "--config", "layer.yaml", "--config", "experiments/mini.yaml"]) == 2
