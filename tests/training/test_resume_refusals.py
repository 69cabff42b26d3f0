"""Checkpoints that a training can't go on from, and Ctrl-C, which it can."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from short_runs import checkpoint, configuration, finished, training

from diffgmm.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Configuration and last checkpoint of a run of two steps."""
    folder = tmp_path_factory.mktemp("run")
    config = configuration(folder)
    assert finished(["--config", str(config), "--trainer.max_steps=2"], folder / "log") == 0
    (last,) = folder.rglob("last.ckpt")
    return config, last


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ckpt_path=last"], "give the file"),
        (["--ckpt_path=none.ckpt"], "no such file"),
        (["--ckpt_path=LAST", "--model.optimizer.init_args.lr=0.123"], "was trained with lr"),
        (["--ckpt_path=LAST", "--model.head.components=7"], "of another model than the one described"),
        (["--ckpt_path=CUT"], "not a checkpoint that loads safely"),
        (["--ckpt_path=FOREIGN"], "not one of diffgmm's"),
        (["--trainer.max_step=9"], "max_step"),
        (["--trainer.devices=0"], "devices"),
    ],
)
def test_mistakes_end_in_one_line(
    run: tuple[Path, Path],
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    config, last = run
    (tmp_path / "cut.ckpt").write_bytes(last.read_bytes()[:-500])
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    names = {"LAST": last, "CUT": tmp_path / "cut.ckpt", "FOREIGN": tmp_path / "foreign.ckpt"}
    for name, path in names.items():
        options = [option.replace(f"={name}", f"={path}") for option in options]
    assert main(["fit", "--config", str(config), *options]) in (1, 2)
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("diffgmm: error:")]
    assert message in line and len(line) < 600


@pytest.mark.slow
def test_the_same_settings_go_on(run: tuple[Path, Path], tmp_path: Path) -> None:
    _, last = run
    config = configuration(tmp_path)
    arguments = ["--config", str(config), f"--ckpt_path={last}", "--trainer.max_steps=4"]
    assert finished(arguments, tmp_path / "log") == 0, (tmp_path / "log").read_text()[-2000:]
    assert checkpoint(tmp_path)["global_step"] == 4


@pytest.mark.slow
def test_ctrl_c_saves_and_goes_on(tmp_path: Path) -> None:
    config, log = configuration(tmp_path, max_epochs=50), tmp_path / "log"
    with training(["--config", str(config), "--last.every_n_steps=2"], log) as process:
        until = time.monotonic() + 120
        while not list(tmp_path.rglob("last.ckpt")):
            assert time.monotonic() < until and process.is_alive(), log.read_text()[-2000:]
            time.sleep(0.01)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        process.join(120)
        assert process.exitcode == 130, log.read_text()[-2000:]
    assert "SIGINT after step" in log.read_text() and "Traceback" not in log.read_text()
    assert f"after step {checkpoint(tmp_path)['global_step']};" in log.read_text()


@pytest.mark.slow
def test_imports_from_the_working_folder_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_callbacks.py").write_text("import lightning as L\nclass Quiet(L.Callback): pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = configuration(tmp_path, max_steps=1, logger=False)
    assert main(["fit", "--config", str(config), "--trainer.max_steps=0"]) == 0
    assert "other packages" not in capsys.readouterr().err
    more = ["--trainer.callbacks+=my_callbacks.Quiet", "--trainer.max_steps=0"]
    config = configuration(tmp_path / "again", max_steps=1, logger=False)
    assert main(["fit", "--config", str(config), *more]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "other packages" in line]
    assert lines == ["diffgmm: this configuration runs code of other packages: my_callbacks.Quiet"]
