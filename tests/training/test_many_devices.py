"""Training on many devices: the same step, and so the same model, from one, two and four processes."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from short_runs import ROOT, checkpoint, configuration

from data_modules.windows.mixed import EpochWindows, WindowSampler
from diffgmm.cli.main import main
from diffgmm.training.callbacks.effective_batch import split
from diffgmm.training.errors import TrainingError


@pytest.mark.parametrize(
    ("windows", "devices", "at_most", "expected"),
    [(32, 1, 8, (8, 4)), (32, 2, 8, (8, 2)), (32, 4, 8, (8, 1)), (32, 8, 8, (4, 1)), (24, 2, 8, (6, 2)),
     (7, 1, 4, (1, 7)), (12, 3, 100, (4, 1))],
)  # fmt: skip
def test_a_step_is_shared_out_equally(windows: int, devices: int, at_most: int, expected: Any) -> None:
    assert split(windows, devices, at_most) == expected


@pytest.mark.parametrize("devices", [3, 64])
def test_a_step_that_cannot_be_shared_out_is_refused(devices: int) -> None:
    with pytest.raises(TrainingError, match=f"{devices} devices need a multiple of {devices}"):
        split(32, devices, 8)


@pytest.mark.parametrize(("devices", "accumulate"), [(1, 4), (2, 2), (4, 1)])
def test_batches_of_a_step_do_not_depend_on_who_has_them(devices: int, accumulate: int) -> None:
    dealt = [
        list(WindowSampler(EpochWindows(2, 70, 0), 4, rank, devices, accumulate)) for rank in range(devices)
    ]
    assert {len(one) for one in dealt} == {4 * accumulate * 4}  # four steps of 16; six windows are left
    batches = [one[i : i + 4] for i in range(0, len(dealt[0]), 4) for one in dealt]
    assert batches == [list(range(i, i + 4)) for i in range(0, 64, 4)]


def last_row(run: Path) -> dict[str, float]:
    """The newest value of everything that was logged."""
    (path,) = run.rglob("metrics.csv")
    found: dict[str, float] = {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found |= {name: float(value) for name, value in row.items() if value}
    return found


def train(folder: Path, devices: int, norm: str) -> None:
    """Six epochs of four steps of sixteen windows; six windows are left over, and a validation pair on two ranks."""
    strategy = "ddp_fork" if devices > 1 else "auto"
    config = configuration(folder, devices=devices, strategy=strategy, max_epochs=6)
    quality = "diffgmm.training.callbacks.quality.QualityMetrics"
    arguments = [
        "--config", str(config), "--effective_batch.windows=16", f"--model.network.norm_kind={norm}",
        f"--trainer.callbacks+={quality}", "--trainer.callbacks.init_args.metrics=[si_sdr,estoi]",
        "--trainer.callbacks.init_args.workers=0", "--data.epoch_size=70", "--data.valid_pairs=6",
    ]  # fmt: skip
    assert main(["fit", *arguments]) == 0


def run(*arguments: str, seconds: float = 600, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process with one thread, and all that it starts: ended after so many seconds."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(arguments, process.returncode, said)


@pytest.mark.slow
def test_one_two_and_four_processes_validate_alike(tmp_path: Path) -> None:
    """Within 0.0001 (nats, dB); batch norm 0.002, as its means weigh a step's batches differently one after another."""
    done = run(__file__, str(tmp_path))
    assert done.returncode == 0, done.stdout[-3000:]
    for devices in (1, 2, 4):
        assert f"16 windows a step: {devices} device(s) x 4 windows x {4 // devices} batch(es)" in done.stdout
    assert "find_unused_parameters" not in done.stdout
    for norm, tolerance in (("group", 1e-4), ("batch", 2e-3)):
        found = {n: last_row(tmp_path / f"{norm}{n}") for n in (1, 2, 4)}
        names = [name for name in found[1] if name.startswith("val/") and "percent" not in name]
        assert {"val/loss", "val/loss/nll", "val/si_sdr", "val/estoi"} <= set(names)
        for name in sorted(names):
            print(norm, name, *(f"{found[n][name]:.6g}" for n in (1, 2, 4)))
        for n in (2, 4):
            assert checkpoint(tmp_path / f"{norm}{n}")["global_step"] == 24
            assert found[n]["val/pairs"] == 6  # no pair counts twice
            assert found[n]["val/loss"] == pytest.approx(found[1]["val/loss"], abs=tolerance)
            assert found[n]["val/si_sdr"] == pytest.approx(found[1]["val/si_sdr"], abs=tolerance)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="NO CUDA HERE: one and more GPUs were not compared")
def test_gpus_validate_like_the_processor(tmp_path: Path) -> None:
    """The same with NCCL, on as many GPUs as there are."""
    results = {}
    gpus = {"accelerator": "gpu", "devices": torch.cuda.device_count(), "strategy": "ddp"}
    for name, options in {"cpu": {}, "gpu": gpus}.items():
        config = configuration(tmp_path / name, max_epochs=2, **options)
        arguments = [
            "--config",
            str(config),
            "--effective_batch.windows=16",
            "--model.network.norm_kind=group",
        ]
        done = run("-m", "diffgmm.cli.main", "fit", *arguments)
        assert done.returncode == 0, done.stdout[-3000:]
        results[name] = last_row(tmp_path / name)
    # The random numbers of the two kinds of device differ, so only the size of the loss can be compared.
    assert results["gpu"]["val/loss"] == pytest.approx(results["cpu"]["val/loss"], rel=0.1)


@pytest.mark.slow
def test_scaling_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "ddp.json"
    done = run(
        "-m", "experiments.bench.ddp", "--steps", "2", "--warmup", "1", "--batch", "1", "--json", str(file)
    )
    assert done.returncode == 0, done.stdout[-3000:]
    one, two = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert (one["processes"], two["processes"]) == (1, 2) and one["efficiency_percent"] == 100.0
    assert one["windows_per_s"] > 0.0
    assert two["efficiency_percent"] == pytest.approx(50.0 * two["windows_per_s"] / one["windows_per_s"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = Path(sys.argv[1])
    for kind in ("group", "batch"):
        for number in (1, 2, 4):
            train(here / f"{kind}{number}", number, kind)
