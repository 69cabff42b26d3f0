"""What validate, test, predict and a dry run leave behind, and what loggers are told of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from short_runs import configuration, finished
from test_train import CONFIG, SMALL

from diffgmm.cli.main import main
from diffgmm.training.callbacks.loggers import ID_FILE
from diffgmm.training.run_folders import find_runs

PLAIN = [
    "--config",
    str(CONFIG),
    *[word for word in SMALL if "log_every" not in word],
    "--trainer.callbacks=null",
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_predict_writes_a_file_for_every_pair(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", *PLAIN]) == 0
    files = sorted((home / "runs").rglob("*.wav"))
    assert len(files) == 4 and {file.parent.name for file in files} == {"predictions"}
    for file in files:
        x, rate = soundfile.read(file)
        assert rate == 16000 and len(x) == 24000 and 0 < abs(x).max() <= 1
    assert f"4 denoised files in {files[0].parent.relative_to(home)}" in capsys.readouterr().err
    assert not list((home / "runs").rglob("config.yaml"))
    again = [f"--predictions.folder={files[0].parent}"]
    assert main(["predict", *PLAIN, *again]) == 1
    assert "holds files already" in capsys.readouterr().err


def test_measuring_and_dry_runs_are_no_trainings(home: Path) -> None:
    assert main(["fit", *PLAIN, "--trainer.fast_dev_run=true"]) == 0
    assert not (home / "runs").exists()
    assert main(["fit", *PLAIN, "--trainer.max_epochs=1"]) == 0
    (training,) = find_runs(["runs"])
    for verb in ("validate", "test"):
        assert main([verb, *PLAIN]) == 0
    assert len(list((home / "runs").rglob("metrics.csv"))) == 3
    assert [run.folder for run in find_runs(["runs"])] == [training.folder]


def test_settings_reach_the_loggers(home: Path) -> None:
    loggers = CONFIG.parent / "loggers" / "tensorboard.yaml"
    assert main(["fit", *PLAIN, "--config", str(loggers), "--trainer.max_steps=1"]) == 0
    (file,) = (home / "runs").rglob("hparams.yaml")
    text = file.read_text()
    assert "data.init_args.batch_size: 4\n" in text and "model.optimizer.init_args.lr: 0.002\n" in text


@pytest.mark.slow
def test_two_trainings_are_two_runs_of_wandb(tmp_path: Path) -> None:
    """In processes of their own: W&B keeps its service for the life of a process."""
    config = configuration(tmp_path, max_steps=1)
    folder = tmp_path / "run"
    wandb = [
        "--config", str(config),
        "--trainer.logger+=diffgmm.training.callbacks.loggers.ResumedWandbLogger",
        f"--trainer.logger.init_args.save_dir={folder}", "--trainer.logger.init_args.offline=true",
    ]  # fmt: skip
    log = tmp_path / "log"
    assert finished(wandb, log) == 0, log.read_text()[-2000:]
    assert finished(wandb, log) == 0, log.read_text()[-2000:]
    first, second = (path.read_text() for path in sorted(folder.rglob(ID_FILE)))
    assert first != second
    assert finished([*wandb, "--ckpt_path=auto", "--trainer.max_steps=2"], log) == 0, log.read_text()[-2000:]
    assert [path.read_text() for path in sorted(folder.rglob(ID_FILE))] == [first, second]
    assert len(list(folder.glob(f"wandb/offline-run-*-{second.strip()}"))) == 2
