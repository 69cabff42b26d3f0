"""Every logger of experiments/loggers really writes, and a record says what a run was and took."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_train import SMALL

from diffgmm.cli.main import main

ROOT = Path(__file__).parents[2]
LOGGERS = ROOT / "experiments" / "loggers"
CONFIG = ROOT / "experiments" / "mini.yaml"


def fit(logger: str, *more: str) -> None:
    arguments = ["--config", str(CONFIG), "--config", str(LOGGERS / f"{logger}.yaml"), *SMALL]
    assert main(["fit", *arguments, "--trainer.callbacks=null", "--trainer.max_epochs=1", *more]) == 0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_logger_is_left_without_a_test() -> None:
    assert {file.stem for file in LOGGERS.glob("*.yaml")} == {"csv", "tensorboard", "wandb", "mlflow"}


def test_csv_and_the_record_of_the_run(home: Path) -> None:
    fit("csv")
    folder = home / "runs" / "csv" / "version_0"
    assert "val/loss" in (folder / "metrics.csv").read_text()
    record = json.loads((folder / "record.json").read_text())
    assert record["seed"] == 0 and record["finished"] and record["steps"] == 4
    assert record["seconds"] > 0 and record["seconds_in_all"] == record["seconds"] and record["earlier"] == []
    assert set(record["energy_joules"]) == {"cpu", "gpu"} and record["machine"]["memory_gib"] > 0
    assert all(len(one["sha256"]) == 64 for one in record["data"].values())
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 1
    if record["git_modified"]:
        assert (folder / record["git_diff"]).read_text().startswith("diff --git")


def test_tensorboard(home: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit("tensorboard")
    (events,) = (home / "runs" / "tensorboard").rglob("events.out.*")
    found = EventAccumulator(str(events))
    found.Reload()
    assert {"val/loss", "train/loss"} <= set(found.Tags()["scalars"])


@pytest.mark.slow
def test_wandb_goes_on_with_the_same_run_after_a_restart(home: Path) -> None:
    """In processes of their own: a restart is one, and W&B keeps its service for the life of a process."""
    command = [
        sys.executable, "-m", "diffgmm.cli.main", "fit", "--config", str(CONFIG),
        "--config", str(LOGGERS / "wandb.yaml"), *SMALL, "--trainer.callbacks=null", "--trainer.max_epochs=1",
    ]  # fmt: skip
    for more in ([], ["--ckpt_path=auto", "--trainer.max_epochs=2"]):
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    name = (home / "runs" / "wandb" / "version_0" / "wandb_run_id").read_text().strip()
    parts = sorted((home / "runs" / "wandb").glob(f"wandb/offline-run-*-{name}"))
    assert len(parts) == 2 and len(list((home / "runs" / "wandb").glob("wandb/offline-run-*"))) == 2
    assert all(next(part.glob("*.wandb")).stat().st_size > 1000 for part in parts)


@pytest.mark.slow
def test_mlflow(home: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed (extra `mlflow`)")
    fit("mlflow")
    with sqlite3.connect(home / "runs" / "mlflow" / "mlflow.db") as base:
        keys = {row[0] for row in base.execute("select distinct key from metrics")}
    assert {"val/loss", "train/loss"} <= keys
