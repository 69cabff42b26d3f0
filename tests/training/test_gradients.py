"""The gradient of each loss: against plain autograd, and that looking at it leaves training as it is."""

from __future__ import annotations

import csv
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from gate_module import Gate, Loader, Pairs, tiny_denoiser
from lightning.pytorch.loggers import CSVLogger
from short_runs import configuration
from test_many_devices import run

from diffgmm.cli.main import main
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.process import Bridge
from diffgmm.diffusion.representation import Complex
from diffgmm.networks import UNet
from diffgmm.training.callbacks.gradients import LossGradients, loss_gradients
from diffgmm.training.losses import WeightedLoss
from diffgmm.training.module import DiffGMM

PairOfSignals = tuple[np.ndarray, np.ndarray]


def batch(pair: PairOfSignals) -> dict[str, torch.Tensor]:
    items = [Pairs(*pair, count=2)[i] for i in range(2)]
    return {name: torch.stack([item[name] for item in items]) for name in ("noisy", "clean")}


def by_hand(module: DiffGMM, signals: dict[str, torch.Tensor], weights: dict[str, float]) -> torch.Tensor:
    module.zero_grad()
    loss, _ = WeightedLoss(weights)(module.training_inputs(signals, 3, 0, 5))
    loss.backward()
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def test_norms_and_cosines_are_those_of_plain_autograd(pair: PairOfSignals) -> None:
    module, signals = tiny_denoiser(), batch(pair)
    weights = {"nll": 2.0, "snr": 0.1, "spectrum": 30.0}
    module.loss = WeightedLoss(weights)
    found = {name: float(value) for name, value in loss_gradients(module, signals, 3, 0, 5).items()}
    assert all(p.grad is None for p in module.parameters())
    whole = by_hand(module, signals, weights)
    assert found["total"] == pytest.approx(float(whole.norm()), rel=1e-4)
    for name, weight in weights.items():
        one = by_hand(module, signals, {name: weight})
        assert found[name] == pytest.approx(float(one.norm()), rel=1e-4)
        expected = float(torch.cosine_similarity(one, whole, dim=0))
        assert found[f"{name}_cosine"] == pytest.approx(expected, abs=1e-4)
    # The parts along the whole add up to it.
    along = sum(found[name] * found[f"{name}_cosine"] for name in weights)
    assert along == pytest.approx(found["total"], rel=1e-4)


def test_a_loss_without_a_gradient_has_no_size(pair: PairOfSignals) -> None:
    module, signals = tiny_denoiser(), batch(pair)
    module.loss = WeightedLoss({"nll": 1.0, "snr": 1.0})
    signals["clean"] = torch.zeros_like(signals["clean"])  # no speech: snr has nothing to judge
    found = loss_gradients(module, signals, 0, 0, 0)
    assert float(found["snr"]) == float(found["snr_cosine"]) == 0.0
    assert float(found["nll_cosine"]) == pytest.approx(1.0, abs=1e-4)


def looks(run: Path) -> list[dict[str, str]]:
    """Rows of a run's metrics that have gradients."""
    with (run / "version_0" / "metrics.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["gradients/nll"]]


def fitted(folder: Path, pair: PairOfSignals, callbacks: list[L.Callback]) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = UNet([4, 4], [[4, 1], [2, 1]], features=4, dropout=0.3)
    module = DiffGMM(
        Complex(hop=255, window="sqrt_hann"), network, MixtureHead(3), Bridge(), {"nll": 1.0, "snr": 0.1}
    )
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, log_every_n_steps=1, logger=CSVLogger(folder, name=""), callbacks=callbacks,
        default_root_dir=folder, limit_val_batches=0, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, accumulate_grad_batches=2,
    )  # fmt: skip
    trainer.fit(module, datamodule=Loader(Pairs(*pair, count=12)))
    return module.state_dict()


def test_training_stays_as_it_is_and_the_csv_has_it(tmp_path: Path, pair: PairOfSignals) -> None:
    without = fitted(tmp_path / "without", pair, [])
    watched = fitted(tmp_path / "with", pair, [LossGradients(every_n_steps=2)])
    assert all(torch.equal(value, watched[name]) for name, value in without.items())
    rows = looks(tmp_path / "with")
    assert [row["step"] for row in rows] == ["0", "2"]  # of three
    for row in rows:
        assert float(row["gradients/total"]) > 0 and -1.0 <= float(row["gradients/snr_cosine"]) <= 1.0


def test_the_command_line_adds_it_to_an_experiment(tmp_path: Path) -> None:
    config = configuration(tmp_path, max_epochs=1, max_steps=3)
    name = f"{LossGradients.__module__}.{LossGradients.__qualname__}"
    more = ["--trainer.callbacks+", name, "--trainer.callbacks.every_n_steps", "2"]
    assert main(["fit", "--config", str(config), *more]) == 0
    assert [row["step"] for row in looks(tmp_path / "run")] == ["0", "2"]


@pytest.mark.slow
def test_it_looks_at_compiled_networks_too(tmp_path: Path) -> None:
    config = configuration(tmp_path, max_epochs=1, max_steps=2)
    text = config.read_text(encoding="utf-8")
    callback = ["--trainer.callbacks+", f"{LossGradients.__module__}.LossGradients"]
    for folder, compiled in (("plain", "false"), ("compiled", "true")):
        config.write_text(text.replace(str(tmp_path / "run"), str(tmp_path / folder)), encoding="utf-8")
        # By itself: compiling starts threads, after which this process could not fork trainings for other tests.
        done = run("-m", "diffgmm.cli.main", "fit", "--config", str(config), *callback,
                   f"--model.compile_network={compiled}")  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
    plain, compiled = (looks(tmp_path / folder)[0] for folder in ("plain", "compiled"))
    for name in ("gradients/total", "gradients/nll"):
        assert float(compiled[name]) == pytest.approx(float(plain[name]), rel=1e-4)


def test_what_it_does_not_take(tmp_path: Path, pair: PairOfSignals) -> None:
    with pytest.raises(ValueError, match="every_n_steps must be at least 1, got 0"):
        LossGradients(0)
    trainer = L.Trainer(
        accelerator="cpu", max_steps=1, logger=False, callbacks=[LossGradients()], default_root_dir=tmp_path,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    with pytest.raises(TypeError, match="needs a DiffGMM, got Gate"):
        trainer.fit(Gate(Pairs(*pair, count=2)))
