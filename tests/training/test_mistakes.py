"""Mistakes in a training command: each ends in one short line, before anything is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from short_runs import ROOT, configuration

from diffgmm.cli.main import main
from diffgmm.training.files import experiment_file
from diffgmm.utils.errors import UsageError

PLATEAU = "--model.lr_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a training that is refused."""
    assert main(["fit", *arguments]) in (1, 2)
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("diffgmm: error:")]
    assert len(line) <= 340
    return line


QUICK = [
    (["--trainer.precision=bf16-true"], "--trainer.precision bf16-true: spectra and likelihood need"),
    (["--trainer.max_epoch=1"], "unrecognized arguments: --trainer.max_epoch"),
    (["--data.window=100"], "data.window of 100 samples is too short for the model or a loss"),
    (["--data.batch_size=0"], "configuration: data.batch_size is 0, must be at least 1"),
    (["--model.optimizer.init_args.lr=-1"], "configuration: Invalid learning rate: -1.0"),
]
SLOW = [
    (["--trainer.precision=16-true"], "use 32-true, bf16-mixed or 16-mixed"),
    (["--trainer.precision=64-true"], "use 32-true, bf16-mixed or 16-mixed"),
    (["--trainer.precision=8"], "expected one of ["),
    (["--trainer.accelerator=tpu"], "torch_xla"),
    (["--trainer.devices=0"], "devices='0'"),
    (["--data.foo=3"], "Option 'foo' is not accepted"),
    (["--data.mixing.snr=[5,-5]"], "mixing.snr is (5.0, -5.0): needs two finite numbers"),
    (["--model.optimizer=torch.optim.Nope"], "has no attribute 'Nope'"),
    (["--seed_everything=-1"], "--seed_everything: -1"),
    (["--trainer.strategy=ddp_spawn", "--trainer.devices=2"], "--trainer.strategy ddp"),
    ([PLATEAU, "--data.valid_pairs=0"], "follows val/loss, but there is no validation"),
    ([PLATEAU, "--trainer.limit_val_batches=0"], "follows val/loss, but there is no validation"),
]


@pytest.mark.parametrize(
    ("options", "says"),
    [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    config = configuration(tmp_path)
    assert says in refused(["--config", str(config), *options], capsys)
    assert not list(tmp_path.rglob("config.yaml")) and not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.slow
@pytest.mark.skipif("CUDA_VISIBLE_DEVICES" in os.environ, reason="GPUs may be there")
def test_no_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a GPU is there")
    config = configuration(tmp_path)
    assert "gpu" in refused(["--config", str(config), "--trainer.accelerator=gpu"], capsys)


@pytest.mark.slow
def test_what_fails_before_the_first_batch_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """LBFGS needs another memory layout than the network's; nobody foresaw it, and it is no bug of this project."""
    arguments = ["--config", str(configuration(tmp_path)), "--model.optimizer=torch.optim.LBFGS",
                 "--model.lr_scheduler=null"]  # fmt: skip
    assert "fit failed before its first batch was done: RuntimeError: view size" in refused(arguments, capsys)
    monkeypatch.setenv("DIFFGMM_DEBUG", "1")
    with pytest.raises(Exception, match="view size"):
        main(["fit", *arguments])


@pytest.mark.slow
def test_the_schedule_that_watches_validation_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path, max_epochs=1)
    assert main(["fit", "--config", str(config), PLATEAU]) == 0
    run = tmp_path / "run" / "version_0"
    last = run / "checkpoints" / "last.ckpt"
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == f"diffgmm: the run is in {run}; use it: diffgmm denoise FILE --model {last}"
    assert last.is_file()


@pytest.mark.parametrize(
    "option",
    ["--data.valid_pairs=0", pytest.param("--trainer.limit_val_batches=0", marks=pytest.mark.slow)],
)
def test_training_goes_without_validation(tmp_path: Path, option: str) -> None:
    """Also of voices and noises that have none: the corpus here is a folder of training files alone."""
    corpus = tmp_path / "corpus"
    (corpus / "train").parent.mkdir()
    (corpus / "train").symlink_to(ROOT / "data_modules" / "mini" / "train")
    config = configuration(tmp_path, max_epochs=1)
    arguments = [
        "--config",
        str(config),
        option,
        f"--data.corpus={corpus}",
        f"--data.cache={tmp_path / 'cache'}",
    ]
    assert main(["fit", *arguments]) == 0
    (metrics,) = tmp_path.rglob("metrics.csv")
    header, *rows = metrics.read_text(encoding="utf-8").splitlines()
    assert len(rows) == 8 and "train/loss" in header and "val/" not in header
    assert list(tmp_path.rglob("last.ckpt"))


def test_experiments_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert experiment_file("experiments/mini.yaml") == str(ROOT / "experiments" / "mini.yaml")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mini.yaml").write_text("own: 1")
    assert experiment_file("experiments/mini.yaml") == "experiments/mini.yaml"
    for name in ("mini.yaml", "experiments/../pyproject.toml", "experiments/nope.yaml", "experiments"):
        with pytest.raises(UsageError, match=f"no such configuration: {name}"):
            experiment_file(name)


@pytest.mark.slow
@pytest.mark.parametrize("inits", [[], ["data_modules", "experiments", "diffgmm", "torch"]])
def test_folders_of_the_working_directory_take_no_package_s_place(tmp_path: Path, inits: list[str]) -> None:
    """With workers that are spawned, which look for all modules again; the user's own module is found all the same."""
    for name in ("data_modules", "experiments", "diffgmm", "torch"):
        (tmp_path / name).mkdir()
        if name in inits:
            (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    (tmp_path / "mine.py").write_text("import lightning as L\nclass Quiet(L.Callback): pass\n")
    config = configuration(tmp_path / "config", max_epochs=1)
    program = "import sys; from diffgmm.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        # As the installed command starts: the working directory is not on the path.
        [sys.executable, "-P", "-c", program, "fit", "--config", str(config), "--trainer.callbacks+=mine.Quiet",
         "--data.num_workers=1", "--data.start_method=spawn"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "runs code of other packages: mine.Quiet" in done.stderr


def test_a_processor_without_bfloat16_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration(tmp_path)
    for able, told in ((True, 0), (False, 1)):
        monkeypatch.setattr(
            "diffgmm.training.lightning_cli.computes_bfloat16", lambda _device, able=able: able
        )
        assert main(
            ["fit", "--config", str(config), "--trainer.precision=bf16-mixed", "--data.window=100"]
        ) in (1, 2)
        assert capsys.readouterr().err.count("no arithmetic in bfloat16") == told
