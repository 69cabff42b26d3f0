"""Training on many devices: the same step, and so the same model, from one, two and four processes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from short_runs import checkpoint, configuration, finished

from data_modules.windows import EpochWindows, WindowSampler
from diffgmm.callbacks.effective_batch import split
from diffgmm.callbacks.errors import TrainingError


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
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found |= {name: float(value) for name, value in row.items() if value}
    return found


def train(folder: Path, devices: int, norm: str) -> dict[str, float]:
    strategy = "ddp_fork" if devices > 1 else "auto"
    config = configuration(folder, devices=devices, strategy=strategy, max_epochs=6)
    quality = "diffgmm.callbacks.quality.QualityMetrics"
    arguments = [
        "--config", str(config), "--effective_batch.windows=16", f"--model.network.norm_kind={norm}",
        f"--trainer.callbacks+={quality}", "--trainer.callbacks.init_args.metrics=[si_sdr,estoi]",
        "--trainer.callbacks.init_args.workers=0", "--data.epoch_size=70", "--data.valid_pairs=6",
    ]  # fmt: skip
    log = folder / "log.txt"
    assert finished(arguments, log) == 0, log.read_text(encoding="utf-8")[-3000:]
    assert f"16 windows a step: {devices} device(s) x 4 windows x {4 // devices} batch(es)" in log.read_text()
    assert "find_unused_parameters" not in log.read_text(encoding="utf-8")
    assert checkpoint(folder / "run")["global_step"] == 24
    return last_row(folder / "run")


@pytest.mark.slow
def test_one_two_and_four_processes_validate_alike(tmp_path: Path) -> None:
    """Group norm: alike but for rounding. Batch norm: also its running means, which see one process's batches only."""
    for norm, tolerance in (("group", 1e-3), ("batch", 2e-2)):
        found = {n: train(tmp_path / f"{norm}{n}", n, norm) for n in (1, 2, 4)}
        names = [name for name in found[1] if name.startswith("val/") and "percent" not in name]
        assert {"val/loss", "val/nll", "val/si_sdr", "val/estoi"} <= set(names)
        for name in sorted(names):
            print(norm, name, *(f"{found[n][name]:.6g}" for n in (1, 2, 4)))
        for n in (2, 4):
            assert found[n]["val/pairs"] == 6  # the last batch is not whole: no pair counts twice
            assert found[n]["val/loss"] == pytest.approx(found[1]["val/loss"], rel=tolerance)
            assert found[n]["val/si_sdr"] == pytest.approx(found[1]["val/si_sdr"], abs=10 * tolerance)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="NO CUDA HERE: one and more GPUs were not compared")
def test_gpus_validate_alike(tmp_path: Path) -> None:
    """As above with NCCL, on as many GPUs as there are; one GPU is compared with one processor."""
    results = {}
    for name, options in {
        "cpu": {"accelerator": "cpu", "devices": 1},
        "gpu": {"accelerator": "gpu", "devices": torch.cuda.device_count(), "strategy": "ddp"},
    }.items():
        config = configuration(tmp_path / name, max_epochs=2, **options)
        arguments = [
            "--config",
            str(config),
            "--effective_batch.windows=16",
            "--model.network.norm_kind=group",
        ]
        log = tmp_path / f"{name}.txt"
        assert finished(arguments, log) == 0, log.read_text(encoding="utf-8")[-3000:]
        results[name] = last_row(tmp_path / name / "run")
    # Random numbers of the two devices differ, so only the size of the loss can be compared.
    assert results["gpu"]["val/loss"] == pytest.approx(results["cpu"]["val/loss"], rel=0.1)
