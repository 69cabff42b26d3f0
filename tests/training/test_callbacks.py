"""Callbacks on a real module and real audio: what is logged, where it lands, that nothing stops training."""

from __future__ import annotations

import csv
import io
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import soundfile
import torch
from gate_module import Gate, Loader, Pairs, tiny_denoiser
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from PIL import Image

from diffgmm import metrics
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.metrics.coverage import inside, pit
from diffgmm.metrics.crps import crps
from diffgmm.training.callbacks import diagnostics
from diffgmm.training.callbacks.diagnostics import MixtureDiagnostics
from diffgmm.training.callbacks.examples import LogExamples
from diffgmm.training.callbacks.quality import QualityMetrics
from diffgmm.training.callbacks.throughput import Throughput

PairOfSignals = tuple[np.ndarray, np.ndarray]
RATE = 16000


def trainer(folder: Path, callbacks: list[L.Callback], loggers: Any = False, **options: Any) -> L.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    settings = {"accelerator": "cpu", "max_epochs": 1, "log_every_n_steps": 1} | quiet | options
    return L.Trainer(logger=loggers, default_root_dir=folder, callbacks=callbacks, **settings)


def expected(module: Gate, name: str, noisy: bool = False) -> list[float]:
    values = []
    for item in (module.pairs[i] for i in range(len(module.pairs))):  # type: ignore[arg-type]
        with torch.no_grad():
            x = item["noisy"] if noisy else module(item["noisy"][None])[0][0]
        values.append(metrics.score(x[0].numpy(), item["clean"][0].numpy(), RATE, [name])[name])
    return values


# --- quality
# ---------------------------------------------------------------------------------------------------------


def test_logs_means_over_pairs_that_have_a_score(tmp_path: Path, pair: PairOfSignals) -> None:
    module, run = Gate(Pairs(*pair, count=5, silent=2)), trainer(tmp_path, [QualityMetrics(workers=0)])
    with pytest.warns(
        UserWarning, match=r"val/pesq_wb: not every one of 5 pairs .* \(1: reference is silent\)"
    ):
        run.validate(module, verbose=False)
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    assert logged["val/pairs"] == 5
    for name in ("pesq_wb", "stoi", "estoi", "si_sdr"):
        denoised, noisy = expected(module, name), expected(module, name, noisy=True)
        assert math.isnan(denoised[2])
        assert logged[f"val/{name}"] == pytest.approx(np.nanmean(denoised), rel=1e-5)
        assert logged[f"val/{name}_noisy"] == pytest.approx(np.nanmean(noisy), rel=1e-5)
        assert logged[f"val/{name}_improvement"] == pytest.approx(
            np.nanmean(np.subtract(denoised, noisy)), rel=1e-4, abs=1e-5
        )
        assert logged[f"val/{name}_valid"] == 4


def test_worker_processes_change_nothing(tmp_path: Path, pair: PairOfSignals) -> None:
    module = Gate(Pairs(*pair, count=3))
    logged = []
    for workers in (0, 2):
        run = trainer(tmp_path, [quality := QualityMetrics(["pesq_wb", "estoi"], workers=workers)])
        run.validate(module, verbose=False)
        logged.append(dict(run.callback_metrics))
        assert quality._workers._pool is None  # the processes are gone
    assert logged[0] == logged[1] and logged[0]["val/pairs"] == 3


def test_buckets_limit_and_test_stage(tmp_path: Path, pair: PairOfSignals) -> None:
    module = Gate(Pairs(*pair, count=5))  # 5, 10, 15, 20, 25 dB
    run = trainer(
        tmp_path, [QualityMetrics(["snr", "lsd"], limit=3, workers=0, snr_edges=[10.0, 12.0, 30.0])]
    )
    run.test(module, verbose=False)
    logged, values = run.callback_metrics, expected(module, "snr")
    assert logged["test/pairs"] == 3 and logged["test/snr"] == pytest.approx(np.mean(values[:3]), rel=1e-5)
    buckets = {name: float(value) for name, value in logged.items() if name.startswith("test/snr_snr")}
    assert buckets == pytest.approx(
        {
            "test/snr_snr_below_10": values[0],
            "test/snr_snr_10_12": values[1],
            "test/snr_snr_12_30": values[2],
        },
        rel=1e-5,
    )
    change = np.mean(np.subtract(expected(module, "lsd", noisy=True), expected(module, "lsd"))[:3])
    assert float(logged["test/lsd_improvement"]) == pytest.approx(change, rel=1e-4)  # lower is better


def test_scores_reach_the_csv_and_the_checkpoint_monitor(tmp_path: Path, pair: PairOfSignals) -> None:
    from lightning.pytorch.callbacks import ModelCheckpoint

    module = Gate(Pairs(*pair, count=2))
    run = trainer(
        tmp_path,
        [
            QualityMetrics(["si_sdr"]),
            checkpoint := ModelCheckpoint(tmp_path / "best", monitor="val/si_sdr", mode="max"),
        ],
        CSVLogger(tmp_path),
        max_epochs=2,
        enable_checkpointing=True,
    )
    run.fit(module)
    with (Path(run.loggers[0].log_dir) / "metrics.csv").open(encoding="utf-8") as file:  # type: ignore[arg-type]
        rows = [row for row in csv.DictReader(file) if row["val/si_sdr"]]
    assert [row["epoch"] for row in rows] == ["0", "1"]
    best = max(float(row["val/si_sdr"]) for row in rows)
    assert float(checkpoint.best_model_score) == pytest.approx(best, rel=1e-6)


def rows_of(run: L.Trainer, column: str) -> list[dict[str, str]]:
    with (Path(run.loggers[0].log_dir) / "metrics.csv").open(encoding="utf-8") as file:  # type: ignore[arg-type]
        return [row for row in csv.DictReader(file) if row[column]]


def test_scores_come_late_at_the_step_of_their_validation(tmp_path: Path, pair: PairOfSignals) -> None:
    quality = QualityMetrics(["snr"], workers=1)

    class Patient(Gate):
        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            while quality._late is not None and not quality._workers.ready():
                time.sleep(0.05)  # an epoch longer than the scoring of the validation before
            return super().training_step(batch, batch_idx)

    module = Patient(Pairs(*pair, count=2), batch_size=1)
    run = trainer(tmp_path, [quality], CSVLogger(tmp_path), max_epochs=2)
    run.fit(module)
    rows = rows_of(run, "val/snr")
    assert [(row["step"], row["epoch"]) for row in rows] == [("2", "0.0"), ("4", "1.0")]
    assert all(float(row["val/pairs"]) == 2 for row in rows)
    last = np.mean(expected(module, "snr"))
    assert float(rows[-1]["val/snr"]) == pytest.approx(last, rel=1e-5)
    assert float(run.callback_metrics["val/snr"]) == pytest.approx(last, rel=1e-5)
    assert quality._workers._pool is None


def test_scores_beyond_the_budget_are_given_up_and_told(tmp_path: Path, pair: PairOfSignals) -> None:
    # With no time at all the first validation's scores can't be there before the second; the last ones are waited for.
    module = Gate(Pairs(*pair, count=2), batch_size=2)
    run = trainer(
        tmp_path,
        [QualityMetrics(["pesq_wb", "stoi"], workers=1, budget=0.0)],
        CSVLogger(tmp_path),
        max_epochs=2,
    )
    with pytest.warns(UserWarning, match=r"val: scores of 0 pairs, 2 more would have taken over 0 s"):
        run.fit(module)
    rows = rows_of(run, "val/pairs")
    assert [float(row["val/pairs"]) for row in rows] == [0, 2] and rows[0]["val/stoi"] == "nan"
    assert float(rows[1]["val/stoi"]) == pytest.approx(np.mean(expected(module, "stoi")), rel=1e-5)


def test_a_score_that_decides_is_waited_for(tmp_path: Path, pair: PairOfSignals) -> None:
    from lightning.pytorch.callbacks import EarlyStopping

    stop = EarlyStopping("val/snr", mode="max", min_delta=1000.0, patience=1)
    callbacks = [QualityMetrics(["snr"], workers=1, budget=0.0), stop]
    run = trainer(tmp_path, callbacks, CSVLogger(tmp_path), max_epochs=5)
    run.fit(Gate(Pairs(*pair, count=2)))
    assert run.current_epoch == 2 and len(rows_of(run, "val/snr")) == 2


# --- throughput and learning rate


def test_throughput_and_learning_rate(tmp_path: Path, pair: PairOfSignals) -> None:
    class Slow(Gate):
        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            time.sleep(0.05)
            return super().training_step(batch, batch_idx)

    run = trainer(tmp_path, [Throughput(steps=3)], CSVLogger(tmp_path), max_epochs=2)
    run.fit(Slow(Pairs(*pair, count=4)))
    rows = rows_of(run, "train/windows_per_s")
    assert len(rows) == 4 and all(float(row["train/lr"]) == pytest.approx(0.1) for row in rows)
    for row in rows:
        assert 0 < float(row["train/windows_per_s"]) < 2 / 0.05
        assert float(row["train/audio_s_per_s"]) == pytest.approx(3 * float(row["train/windows_per_s"]))
        assert 0 <= float(row["train/data_wait_percent"]) < 100
    with pytest.raises(ValueError, match="at least 1"):
        Throughput(0)


# --- the mixture


def test_mixture_diagnostics(tmp_path: Path, pair: PairOfSignals) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    module, data = tiny_denoiser(), Loader(Pairs(*pair, count=3))
    logger = TensorBoardLogger(tmp_path, name="run")
    run = trainer(tmp_path, [MixtureDiagnostics(limit=2)], logger)
    run.validate(module, data, verbose=False)
    found = {name: float(value) for name, value in run.callback_metrics.items() if "mixture_" in name}

    # The same figures, pair by pair.
    model, values = module.eval().model, []
    for item in (data.pairs[0], data.pairs[1]):
        with torch.no_grad():
            context = model.representation.context(item["noisy"][None])
            noisy = model.representation.encode(item["noisy"][None], context)
            noise = noisy - model.representation.encode(item["clean"][None], context)
            mixture = model.posterior(noisy, noisy, torch.ones(1))
        transformed = pit(mixture, noise)
        judged = [
            mixture.nll(noise),
            crps(mixture, noise),
            inside(transformed, 0.5),
            inside(transformed, 0.9),
        ]
        values.append([float(value.mean()) for value in judged])
    for name, by_pair in zip(
        ("nll", "crps", "coverage_50", "coverage_90"), zip(*values, strict=True), strict=True
    ):
        assert found[f"val/mixture_{name}"] == pytest.approx(sum(by_pair) / 2, rel=1e-4), name
    assert 1.0 <= found["val/mixture_components"] <= 3.0
    assert 0.0 <= found["val/mixture_calibration_error"] <= 0.5
    with Image.open(Path(logger.log_dir) / "calibration" / "val.png") as image:
        assert image.width > 800
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["val_calibration"]
    with pytest.raises(ValueError, match="must be a MixtureDenoiser"):
        trainer(tmp_path, [MixtureDiagnostics()]).validate(Gate(Pairs(*pair, count=2)), verbose=False)
    with pytest.raises(ValueError, match="at least 1"):
        MixtureDiagnostics(0)


def test_diagnostics_by_hand() -> None:
    # Two components far apart, each right half of the time: both in use, calibrated by construction.
    generator = torch.Generator().manual_seed(0)
    mixture = GaussianMixture(
        torch.zeros(1, 2, 20_000),
        torch.tensor([-9.0, 9.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 20_000),
        torch.zeros(1, 2, 20_000),
    )
    found = diagnostics.summary(diagnostics.tally(mixture, mixture.sample(generator)))
    assert found["components"] == pytest.approx(2.0, abs=1e-3) and found["calibration_error"] < 0.01
    assert found["coverage_50"] == pytest.approx(0.5, abs=0.02)
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.02)
    only_one = diagnostics.summary(diagnostics.tally(mixture, torch.full((1, 1, 20_000), 9.0)))
    assert only_one["components"] == pytest.approx(1.0, abs=1e-3)
    assert only_one["nll"] == pytest.approx(0.5 * math.log(2 * math.pi) + math.log(2), rel=1e-4)
    nothing = diagnostics.summary(diagnostics.tally(mixture, torch.full((1, 1, 20_000), math.nan)))
    assert all(math.isnan(value) for value in nothing.values())
    assert diagnostics.central_shares(torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [0.5, 1.0]


class Broken(Gate):
    """Answers NaN."""

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, torch.Tensor]:
        outputs = super().validation_step(batch, batch_idx)
        return outputs | {"denoised": outputs["denoised"] * torch.nan}


def test_nothing_stops_training(tmp_path: Path, pair: PairOfSignals, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(tmp_path, [QualityMetrics(workers=0), LogExamples(n=1)], CSVLogger(tmp_path), max_epochs=2)
    with pytest.warns(UserWarning, match=r"2: estimate holds NaN or Inf|the model's output holds NaN"):
        run.fit(Broken(Pairs(*pair, count=2)))
    assert run.state.finished and run.current_epoch == 2
    assert math.isnan(run.callback_metrics["val/pesq_wb"]) and run.callback_metrics["val/pesq_wb_valid"] == 0

    # A library that fails in a way nobody foresaw, and a folder that cannot be made.
    monkeypatch.setattr("pystoi.stoi", lambda *a, **k: 1 // 0)
    (tmp_path / "examples").write_text("in the way")
    run = trainer(tmp_path, [QualityMetrics(workers=0), LogExamples(n=1)])
    with pytest.warns(UserWarning, match="ZeroDivisionError|missing") as warned:
        run.fit(Gate(Pairs(*pair, count=2)))
    text = " ".join(str(warning.message) for warning in warned)
    assert "2: ZeroDivisionError" in text and "examples are missing" in text
    assert run.state.finished and math.isfinite(run.callback_metrics["val/pesq_wb"])


def test_wrong_use_is_told_before_training(tmp_path: Path, pair: PairOfSignals) -> None:
    with pytest.raises(ValueError, match="unknown metric 'mos'; choose from"):
        QualityMetrics(["mos"])
    with pytest.raises(ValueError, match="at least 1"):
        QualityMetrics(limit=0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        QualityMetrics(budget=5)
    with pytest.raises(ValueError, match="at least 1"):
        LogExamples(n=0)

    class Silent(Gate):
        def validation_step(self, batch: dict[str, Any], batch_idx: int) -> Any:
            return None

    for callback in (QualityMetrics(), LogExamples()):
        with pytest.raises(ValueError, match="must return a dict with 'denoised'"):
            trainer(tmp_path, [callback]).fit(Silent(Pairs(*pair, count=2)))
    module = Gate(Pairs(*pair, count=2))
    module.sample_rate = 48000
    with pytest.raises(ValueError, match="pesq_wb is defined at 16000 Hz, not 48000"):
        trainer(tmp_path, [QualityMetrics()]).fit(module)
    module.sample_rate = 0
    with pytest.raises(ValueError, match="no sample_rate"):
        trainer(tmp_path, [QualityMetrics()]).fit(module)


@pytest.mark.slow  # starts a second interpreter with torch and Lightning
def test_two_processes_agree_with_one(tmp_path: Path, pair: PairOfSignals) -> None:
    np.save(tmp_path / "pair.npy", np.stack(pair))
    helpers = Path(__file__).parents[1] / "helpers"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(helpers.parents[1]), str(helpers)]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(helpers / "gate_module.py"), str(tmp_path / "pair.npy"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    two = torch.load(tmp_path / "logged.pt")

    module = Gate(Pairs(*pair, count=7, silent=2))
    run = trainer(tmp_path, [QualityMetrics(["si_sdr", "snr"], workers=0, snr_edges=[10.0, 20.0])])
    with pytest.warns(UserWarning, match="silent"):
        run.validate(module, verbose=False)
    one = dict(run.callback_metrics)
    assert one["val/pairs"] == 7 and one["val/si_sdr_valid"] == 6  # four on each rank: one was dealt twice
    assert two.keys() - one.keys() == {"reduced"}
    assert {name: float(two[name]) for name in one} == pytest.approx(
        {n: float(v) for n, v in one.items()}, rel=1e-6
    )
    # torchmetrics' own reduction has the repeated pair, the first one, twice: summed over both processes.
    values = [value for value in expected(module, "si_sdr") if math.isfinite(value)]
    assert float(two["reduced"]) == pytest.approx((sum(values) + values[0]) / 7, rel=1e-5)
    assert len(list((tmp_path / "examples" / "val").iterdir())) == 2  # rank zero alone


# --- examples
# --------------------------------------------------------------------------------------------------------


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_examples_land_in_folder_and_tensorboard(tmp_path: Path, pair: PairOfSignals) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = [TensorBoardLogger(tmp_path, name="run"), CSVLogger(tmp_path, name="run")]
    module = Gate(Pairs(*pair, count=3))
    trainer(tmp_path, [LogExamples(n=2, every_n_epochs=2)], loggers, max_epochs=3).fit(module)
    folder = tmp_path / "run" / "version_0" / "examples"
    names = ["00_pair_0", "01_pair_1"]
    assert files(folder) == [
        *(f"epoch_00{epoch}/{name}{end}" for epoch in (0, 2) for name in names for end in (".png", ".wav")),
        *(f"reference/{name}.{kind}.wav" for name in names for kind in ("clean", "noisy")),
    ]
    with Image.open(folder / "epoch_000" / "00_pair_0.png") as image:
        image.load()
        assert image.format == "PNG" and image.width > 1000
    sound, rate = soundfile.read(folder / "reference" / "00_pair_0.clean.wav", dtype="float32")
    assert rate == RATE and np.abs(sound - pair[0]).max() < 1e-4

    events = EventAccumulator(loggers[0].log_dir, size_guidance={"images": 0, "audio": 0}).Reload()
    tags = [f"val_examples/{name}" for name in names]
    assert sorted(events.Tags()["images"]) == tags and [e.step for e in events.Images(tags[0])] == [2, 6]
    with Image.open(io.BytesIO(events.Images(tags[1])[1].encoded_image_string)) as image:
        assert image.convert("RGB").size == (
            events.Images(tags[1])[1].width,
            events.Images(tags[1])[1].height,
        )
    assert sorted(events.Tags()["audio"]) == sorted(
        f"{tag}/{k}" for tag in tags for k in ("clean", "denoised", "noisy")
    )
    assert len(events.Audio(f"{tags[0]}/denoised")) == 2 and len(events.Audio(f"{tags[0]}/noisy")) == 1
    heard, rate = soundfile.read(
        io.BytesIO(events.Audio(f"{tags[0]}/noisy")[0].encoded_audio_string), dtype="float32"
    )
    assert rate == RATE and np.abs(heard - pair[1]).max() < 1e-3


def test_examples_in_wandb_offline(
    tmp_path: Path, pair: PairOfSignals, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    logger = WandbLogger(project="speech", save_dir=tmp_path, offline=True)
    trainer(tmp_path, [LogExamples(n=1), QualityMetrics(["snr"])], logger).fit(Gate(Pairs(*pair, count=2)))
    assert float(logger.experiment.summary["val/snr"]) > 5
    run = logger.experiment.id
    wandb.finish()
    (offline,) = (tmp_path / "wandb").glob("offline-run-*")
    media = [Path(name) for name in files(offline / "files" / "media")]
    assert sorted(path.parts[0] for path in media) == ["audio", "audio", "audio", "images"]
    sound = next(offline / "files" / "media" / path for path in media if "noisy" in path.name)
    assert soundfile.info(sound).frames == pair[0].size and soundfile.info(sound).samplerate == RATE
    # Beside the checkpoints of the run, not in the working folder.
    assert len(files(tmp_path / "speech" / run / "examples")) == 4


def test_stages_have_folders_and_nothing_is_overwritten(tmp_path: Path, pair: PairOfSignals) -> None:
    module, callback = Gate(Pairs(*pair, count=4)), LogExamples(n=1, images=False)
    trainer(tmp_path, [callback], val_check_interval=1).fit(module)  # two validations in the epoch
    run = trainer(tmp_path, [callback])
    run.test(module, verbose=False)
    run.validate(module, verbose=False)
    folders = sorted(path.name for path in (tmp_path / "examples").iterdir())
    assert folders == ["epoch_000", "epoch_000_step_2", "reference", "test", "val"]


def test_fast_dev_run_leaves_nothing(tmp_path: Path, pair: PairOfSignals) -> None:
    run = trainer(tmp_path, [LogExamples(), QualityMetrics()], fast_dev_run=True)
    run.fit(Gate(Pairs(*pair, count=2)))
    assert run.callback_metrics["val/pairs"] == 2 and list(tmp_path.iterdir()) == []
