"""A training that is killed, again and again, ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from short_runs import assert_same_run, checkpoint, configuration, finished, kill, training

from diffgmm.training.callbacks.checkpoints import is_complete

KILLS = int(os.environ.get("DIFFGMM_TEST_KILLS", "4"))


def fit(config: Path, *more: str) -> list[str]:
    return ["--config", str(config), "--ckpt_path=auto", *more]


def wait_for(condition: Callable[[], object], log: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, log.read_text(encoding="utf-8")[-3000:]
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(4, 8), (8, 4), (4, 2)])
def test_an_epoch_goes_on_with_batches_of_another_size(tmp_path: Path, first: int, second: int) -> None:
    """As after a change of the number of devices: eight windows a step, four steps an epoch, stopped within one."""
    config, log = configuration(tmp_path, max_epochs=2), tmp_path / "log.txt"
    arguments = fit(config, "--effective_batch.windows=8")
    assert finished([*arguments, f"--data.batch_size={first}", "--trainer.max_steps=6"], log) == 0
    stopped = checkpoint(tmp_path)
    assert stopped["global_step"] == 6
    assert finished([*arguments, f"--data.batch_size={second}"], log) == 0, log.read_text(encoding="utf-8")[
        -3000:
    ]
    assert checkpoint(tmp_path)["global_step"] == 8
    (loader,) = stopped["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert (loader["epoch"], loader["windows"]) == (1, 16)


@pytest.mark.slow
@pytest.mark.parametrize("validation", ["each epoch", "within epochs"])
def test_kill_at_random_moments_changes_nothing(tmp_path: Path, validation: str) -> None:
    """Real SIGKILL, every other one inside the writing of a checkpoint; DIFFGMM_TEST_KILLS says how many."""
    epochs = 2 + (16 + 2 * KILLS) // 8
    options = {"max_epochs": epochs} | ({"val_check_interval": 3} if validation == "within epochs" else {})
    whole = configuration(tmp_path / "whole", **options)
    assert finished(fit(whole, "--last.every_n_steps=2"), tmp_path / "whole.log") == 0
    broken = configuration(tmp_path / "broken", slow=True, **options)
    arguments, log = fit(broken, "--last.every_n_steps=2"), tmp_path / "broken.log"
    draw, run = random.Random(0), tmp_path / "broken" / "run"

    def times() -> list[int]:
        return [path.stat().st_mtime_ns for path in run.rglob("last.ckpt")]

    def parts() -> set[Path]:
        return set(run.rglob(".last.ckpt.*.part"))

    inside, steps = 0, []
    for number in range(KILLS):
        with training(arguments, log) as process:
            before, left = times(), parts()
            if draw.random() < 0.7:  # let it get on a little
                wait_for(lambda before=before: times() != before, log)  # type: ignore[misc]
            if number % 2:
                wait_for(lambda left=left: parts() - left, log)  # type: ignore[misc]
                time.sleep(draw.uniform(0, 0.3))
            else:
                time.sleep(draw.uniform(0, 1.5))
            assert process.is_alive(), "the training was too short for so many kills"
            kill(process)
        inside += bool(parts())
        for path in run.rglob("last.ckpt"):
            assert is_complete(path)
            steps.append(torch.load(path, weights_only=True)["global_step"])
    assert finished(arguments, log) == 0, log.read_text(encoding="utf-8")[-3000:]
    print(f"{KILLS} kills, {inside} of them inside the writing of a checkpoint; last.ckpt held steps {steps}")
    assert inside >= KILLS // 4 and steps == sorted(steps)
    began = [folder for folder in run.iterdir() if list(folder.rglob("*.ckpt"))]
    assert len(began) == 1
    for folder in set(run.iterdir()) - set(began):  # killed before its first checkpoint
        shutil.rmtree(folder)
    assert not list(run.rglob("*.part"))
    assert_same_run(tmp_path / "whole", tmp_path / "broken")
    names = [sorted(path.name for path in folder.rglob("*.ckpt")) for folder in (tmp_path / "whole", run)]
    assert names[0] == names[1]
