"""Validation of a mixture model on two processes: the figures of one process, whatever the last batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from gate_module import Loader, Pairs, tiny_denoiser

from diffgmm.diffusion.sampler_options import Estimate
from diffgmm.training.callbacks.diagnostics import MixtureDiagnostics
from diffgmm.training.callbacks.quality import QualityMetrics


def validate(signals: Path, folder: Path, estimate: Estimate, devices: int, count: int) -> dict[str, float]:
    """Everything that a validation of ``count`` pairs logs, two a batch."""
    clean, noisy = np.load(signals)
    callbacks = [QualityMetrics(["si_sdr", "lsd"], workers=0), MixtureDiagnostics(limit=100, picture=False)]
    trainer = L.Trainer(
        accelerator="cpu", devices=devices, strategy="ddp_fork" if devices > 1 else "auto", logger=False,
        default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=callbacks,
    )  # fmt: skip
    trainer.validate(tiny_denoiser(estimate), Loader(Pairs(clean, noisy, count)), verbose=False)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if trainer.is_global_zero:
        torch.save(found, folder / f"{devices}.pt")
    return found


@pytest.mark.slow  # starts a second interpreter with torch and Lightning
@pytest.mark.parametrize(("estimate", "count"), [("mean", 5), ("sample", 3)])
def test_two_processes_agree_with_one(
    tmp_path: Path, pair: tuple[np.ndarray, np.ndarray], estimate: Estimate, count: int
) -> None:
    # Five pairs, two a batch: the processes get three each, so one is dealt twice, in a batch with no other one. Three
    # pairs: two each, one of them twice.
    np.save(tmp_path / "pair.npy", np.stack(pair))
    here = Path(__file__).parent
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(here.parents[1]), str(here.parent / "helpers")]),
        "OMP_NUM_THREADS": "1",
    }
    arguments = [str(tmp_path / "pair.npy"), str(tmp_path), estimate, str(count)]
    done = subprocess.run(
        [sys.executable, str(here / "test_distributed.py"), *arguments],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = torch.load(tmp_path / "2.pt")
    one = validate(tmp_path / "pair.npy", tmp_path, estimate, 1, count)
    assert one["val/pairs"] == count and {
        "val/loss",
        "val/loss/nll",
        "val/loss/noise_l1",
        "val/mixture_crps",
    } <= set(one)
    assert two == pytest.approx(one, rel=1e-4)


if __name__ == "__main__":
    validate(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], 2, int(sys.argv[4]))  # type: ignore[arg-type]
