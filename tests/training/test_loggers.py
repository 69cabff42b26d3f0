"""Every logger of experiments/loggers really writes, and a record says what a run was and took."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
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
    assert record["machine"]["memory_gib"] > 0
    assert all(len(one["sha256"]) == 64 for one in record["data"].values())
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 1
    assert config["model"]["p_t1"] == 0.7  # all settings, also those that nobody gave
    assert config["data"]["init_args"]["valid_snrs"] == [0.0, 5.0, 10.0, 15.0]
    if record["git_modified"]:
        assert (folder / record["git_diff"]).read_text().startswith("diff --git")


def test_tensorboard(home: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit("tensorboard", "--model.p_t1=0.375")
    scalars: set[str] = set()
    settings: dict[str, object] = {}
    for events in (home / "runs" / "tensorboard").rglob("events.out.*"):
        found = EventAccumulator(str(events))
        found.Reload()
        scalars |= set(found.Tags()["scalars"])
        for content in found.summary_metadata.values():
            data = HParamsPluginData.FromString(content.plugin_data.content)
            for name, value in data.session_start_info.hparams.items():
                settings[name] = value.number_value or value.string_value
    assert {"val/loss", "train/loss"} <= scalars
    assert settings["model.p_t1"] == 0.375 and settings["trainer.max_epochs"] == 1.0
    assert settings["model.optimizer.class_path"] == "torch.optim.AdamW"


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
def test_two_trainings_are_two_runs_of_wandb_and_have_their_settings(home: Path) -> None:
    command = [
        sys.executable, "-m", "diffgmm.cli.main", "fit", "--config", str(CONFIG),
        "--config", str(LOGGERS / "wandb.yaml"), *SMALL, "--trainer.callbacks=null", "--trainer.max_epochs=1",
    ]  # fmt: skip
    wanted = {"0.25", "0.375"}
    for value in wanted:
        done = subprocess.run(
            [*command, f"--model.p_t1={value}"], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    files = sorted((home / "runs" / "wandb").glob("wandb/offline-run-*/run-*.wandb"))
    assert len({path.stem for path in files}) == 2
    assert len({path.read_text() for path in (home / "runs" / "wandb").rglob("wandb_run_id")}) == 2
    settings = re.compile(rb"model\.p_t1\W+(0\.(?:25|375))")
    found = {match[1].decode() for path in files for match in settings.finditer(path.read_bytes())}
    assert found == wanted


@pytest.mark.slow
def test_mlflow(home: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed (extra `mlflow`)")
    fit("mlflow", "--model.p_t1=0.375")
    with sqlite3.connect(home / "runs" / "mlflow" / "mlflow.db") as base:
        settings = dict(base.execute("select key, value from params"))
    assert settings["model.p_t1"] == "0.375" and settings["trainer.max_epochs"] == "1"
    with sqlite3.connect(home / "runs" / "mlflow" / "mlflow.db") as base:
        keys = {row[0] for row in base.execute("select distinct key from metrics")}
    assert {"val/loss", "train/loss"} <= keys
