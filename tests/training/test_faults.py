"""What can go wrong in a training ends it in order: a line that says what, and nothing lost."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from short_runs import ROOT, assert_same_run, checkpoint, configuration, finished, training
from test_resume import wait_for

from diffgmm.cli.main import main
from diffgmm.training import resume
from diffgmm.training.callbacks.checkpoints import AtomicCheckpoints, is_complete
from diffgmm.training.callbacks.nonfinite import NonFinite, replay
from diffgmm.training.errors import TrainingError


def state(size: int = 1000) -> dict[str, Any]:
    return {"weights": torch.randn(size)}


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A limit on the size of files stands for the end of a disk: writing fails in the middle, in the system call."""
    place = tmp_path / "last.ckpt"
    writer = AtomicCheckpoints()
    writer.save_checkpoint(state(), place)
    before = place.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(
            TrainingError, match=r"can't write the checkpoint \(File too large\); the one before"
        ) as e:
            writer.save_checkpoint(state(1_000_000), place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(str(e.value).splitlines()) == 1
    assert place.read_bytes() == before and is_complete(place)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.skipif(
    not os.access("/dev/full", os.W_OK), reason="no /dev/full here: a full device was not tried"
)
def test_a_full_device_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnFullDevice(AtomicCheckpoints):
        def _write(self, checkpoint: dict[str, Any], part: Path) -> None:
            part.symlink_to("/dev/full")
            super()._write(checkpoint, part)

    place = tmp_path / "last.ckpt"
    AtomicCheckpoints().save_checkpoint(state(), place)
    with pytest.raises(TrainingError, match=r"\(No space left on device\); the one before it is kept"):
        OnFullDevice().save_checkpoint(state(), place)
    assert is_complete(place) and [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file/checkpoints/last.ckpt: can't write the checkpoint \("):
        AtomicCheckpoints().save_checkpoint(state(), tmp_path / "file" / "checkpoints" / "last.ckpt")


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.0a1b2c3d.part").write_bytes(b"half")
    AtomicCheckpoints().save_checkpoint(state(), tmp_path / "last.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_damage_is_seen(tmp_path: Path, damage: str) -> None:
    place = tmp_path / "last.ckpt"
    AtomicCheckpoints().save_checkpoint(state(), place)
    assert is_complete(place)
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes({"cut": content[: len(content) // 2], "changed": content, "empty": b""}[damage])
    assert not is_complete(place)


def test_auto_takes_the_newest_whole_checkpoint_of_its_own_configuration(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path, max_epochs=1)
    arguments = ["fit", "--config", str(config), "--ckpt_path=auto", "--trainer.limit_val_batches=1"]
    run = tmp_path / "run"
    assert main(arguments) == 0
    assert "starting from the beginning" in capfd.readouterr().err
    assert (
        main([*arguments, "--trainer.max_epochs=2", "--data.num_workers=0"]) == 0
    )  # the same experiment, longer
    assert f"continuing from {run / 'version_0' / 'checkpoints' / 'last.ckpt'}" in capfd.readouterr().err
    assert checkpoint(run)["global_step"] == 16 and len(list(run.iterdir())) == 1
    rows = (run / "version_0" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    steps = [row.split(",")[rows[0].split(",").index("step")] for row in rows[1:]]
    assert [int(step) for step in dict.fromkeys(steps)] == list(range(16))  # nothing deleted, nothing twice

    last = run / "version_0" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    assert main([*arguments, "--trainer.fast_dev_run=1"]) == 0
    said = capfd.readouterr().err
    assert f"{last}: damaged, not continued" in said and "starting from the beginning" in said
    assert main([*arguments, "--trainer.fast_dev_run=1", "--model.p_t1=0.1"]) == 0
    assert f"{last}: of another configuration, not continued" in capfd.readouterr().err


def test_what_makes_an_experiment() -> None:
    one = {"model": {"a": 1}, "data": {"class_path": "x", "init_args": {"batch_size": 4, "cache": 1}}}
    other = {**one, "trainer": {"devices": 8}, "data": {"class_path": "x", "init_args": {"batch_size": 8}}}
    assert resume.essence(one) != resume.essence(other)
    step = {"effective_batch": {"windows": 16}}
    assert resume.essence({**one, **step}) == resume.essence({**other, **step})


def test_nan_ends_training_and_can_be_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate beyond all measure drives a real training into numbers that are none."""
    config = configuration(tmp_path, max_epochs=2, limit_val_batches=0)
    huge = "--model.optimizer={class_path: torch.optim.SGD, init_args: {lr: 1.0e+30}}"
    arguments = [
        "fit",
        "--config",
        str(config),
        huge,
        "--trainer.gradient_clip_val=null",
        "--model.lr_scheduler=null",
    ]
    assert main([*arguments, "--effective_batch.windows=8"]) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("diffgmm: error:")]
    (kept,) = tmp_path.rglob("nonfinite/*.ckpt")
    assert "is not finite" in error and str(kept) in error and "train-000-" in error
    found = torch.load(kept, weights_only=True)
    assert found["step"] == int(kept.stem.split("-")[1]) and found["seed"] == 0 and found["rank"] == 0
    assert (
        found["batches"][-1]["noisy"].shape == (4, 1, 4096)
        and len(found["batches"]) == len(found["places"]) <= 2
    )
    again = replay(kept)
    bad = again["loss"] if found["what"] == "loss" else again["gradient"]
    assert not torch.isfinite(torch.tensor(bad))
    healthy = checkpoint_free(kept)
    assert all(
        torch.isfinite(value).all() for value in healthy.values()
    )  # the weights are those before the damage


def checkpoint_free(path: Path) -> dict[str, torch.Tensor]:
    weights = torch.load(path, weights_only=True)["state_dict"]
    return {
        name: value for name, value in weights.items() if "running" not in name and "num_batches" not in name
    }


def test_a_nan_may_be_let_through(tmp_path: Path) -> None:
    guard = NonFinite(enabled=False)
    guard.on_before_backward(None, None, torch.tensor(float("nan")))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_at_the_end_of_the_step_and_leaves(tmp_path: Path, number: int) -> None:
    whole = configuration(tmp_path / "whole")
    assert finished(["--config", str(whole)], tmp_path / "whole.log") == 0
    config, log = configuration(tmp_path / "told"), tmp_path / "told.log"
    arguments = ["--config", str(config), "--ckpt_path=auto", "--last.every_n_steps=1"]
    with training(arguments, log) as process:
        wait_for(lambda: list(tmp_path.glob("told/run/*/checkpoints/last.ckpt")), log)
        os.kill(process.pid or 0, number)
        process.join(60)
        assert process.exitcode == 128 + number
    assert f"{signal.Signals(number).name} after step" in log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert 0 < checkpoint(tmp_path / "told")["global_step"] < 24
    assert finished(arguments, log) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "told")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_to_the_whole_group_spares_the_loading_processes(tmp_path: Path, number: int) -> None:
    """As Ctrl-C and SLURM send them; a loading process that ended at once took the training with it, unsaved."""
    config, log = configuration(tmp_path, max_epochs=400, limit_val_batches=0), tmp_path / "log.txt"
    with training(
        ["--config", str(config), "--data.num_workers=2", "--last.every_n_steps=1"], log
    ) as process:
        wait_for(lambda: list(tmp_path.rglob("last.ckpt")), log)
        os.killpg(process.pid or 0, number)
        process.join(60)
        assert process.exitcode == 128 + number, log.read_text(encoding="utf-8")[-2000:]
    text = log.read_text(encoding="utf-8")
    assert f"{signal.Signals(number).name} after step" in text and "Traceback" not in text
    assert is_complete(next(tmp_path.rglob("last.ckpt")))


@pytest.mark.slow
def test_slurm_queues_the_job_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SLURM's variables are set as it sets them; ``scontrol`` is a program here that writes down how it was called."""
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path / "called"}\n')
    program.chmod(0o755)
    job = {
        "JOB_ID": "77", "JOB_NAME": "diffgmm", "NTASKS": "1", "NTASKS_PER_NODE": "1", "PROCID": "0", "LOCALID": "0",
        "NODEID": "0", "JOB_NUM_NODES": "1", "NNODES": "1", "NODELIST": "localhost", "JOB_NODELIST": "localhost",
    }  # fmt: skip
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    config, log = configuration(tmp_path / "job"), tmp_path / "job.log"
    arguments = ["--config", str(config), "--ckpt_path=auto", "--last.every_n_steps=1"]
    with training(arguments, log) as process:
        wait_for(lambda: list(tmp_path.rglob("last.ckpt")), log)
        os.kill(process.pid or 0, signal.SIGUSR1)
        process.join(60)
        assert process.exitcode == 128 + signal.SIGUSR1, log.read_text(encoding="utf-8")[-2000:]
    assert (tmp_path / "called").read_text().split() == ["requeue", "77"]
    assert finished(arguments, log) == 0
    assert "continuing from" in log.read_text(encoding="utf-8") and checkpoint(tmp_path)["global_step"] == 24


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_dead_process_ends_the_job(tmp_path: Path, victim: int) -> None:
    """Two processes as Lightning starts them; one gets SIGKILL. The other must be gone soon, whichever it was."""
    config = configuration(tmp_path, devices=2, strategy="ddp", max_epochs=400, limit_val_batches=0)
    log, marks = tmp_path / "log.txt", list[int]()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "diffgmm.cli.main",
        "fit",
        "--config",
        str(config),
        "--last.every_n_steps=2",
    ]
    with Path(log).open("w", encoding="utf-8") as file:
        first = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, env=environment)
    try:
        wait_for(lambda: list(tmp_path.rglob("last.ckpt")), log, 300)
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        marks = [first.pid, *(int(child) for child in children)]
        second = next(pid for pid in marks[1:] if b"diffgmm" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill([first.pid, second][victim], signal.SIGKILL)
        start = time.monotonic()
        assert first.wait(60) != 0
        wait_for(lambda: not alive(second), log, 60)
        print(f"rank {victim} killed: both gone after {time.monotonic() - start:.1f} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
    assert is_complete(next(tmp_path.rglob("last.ckpt")))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
