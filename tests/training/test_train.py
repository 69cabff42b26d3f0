"""Training through the command: a run folder that is complete, resumable, repeatable, and errors in one line."""

from __future__ import annotations

import copy
import functools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import yaml

from diffgmm.cli.main import main
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser, ModelError
from diffgmm.diffusion.process import Bridge
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.inference import Denoiser
from diffgmm.networks import UNet
from diffgmm.training.module import DiffGMM
from diffgmm.training.perceptual import NEEDED

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "experiments" / "mini.yaml"
SMALL = [
    "--model.network.channels=[4,6]", "--model.network.strides=[[4,1],[4,1]]", "--model.network.hidden=8",
    "--data.epoch_size=16", "--data.batch_size=4", "--data.valid_pairs=4", "--data.test_pairs=4",
    "--data.valid_seconds=1.5", "--trainer.log_every_n_steps=2",
    "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false",
]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own; runs are written into it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fit(*more: str) -> int:
    return main(["fit", "--config", str(CONFIG), *SMALL, *more])


def last(folder: Path) -> Path:
    (found,) = folder.rglob("last.ckpt")
    return found


def test_a_run_leaves_config_record_checkpoints_metrics_pictures_and_audio(home: Path) -> None:
    assert fit("--trainer.max_epochs=2") == 0
    (run,) = (home / "runs" / "mini").iterdir()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["network"]["init_args"]["channels"] == [4, 6] and config["seed_everything"] == 0
    record = json.loads((run / "record.json").read_text())
    assert record["steps"] == 8 and record["versions"]["torch"] and record["seconds"] > 0
    assert set(record["data"]) == {"train/speech", "train/noise", "valid/speech", "valid/noise"}
    header, *rows = (run / "metrics.csv").read_text().splitlines()
    names = header.split(",")
    assert {"train/loss/nll", "val/loss/nll", "val/pesq_wb", "val/stoi", "val/si_sdr"} <= set(names)
    values = [row.split(",")[names.index("val/loss/nll")] for row in rows]
    assert len([v for v in values if v]) == 2  # two epochs of four steps
    # The loss and the score of one name are two things: less of the one, more of the other.
    loss, score = (
        [float(v) for row in rows if (v := row.split(",")[names.index(name)])]
        for name in ("val/loss/si_sdr", "val/si_sdr")
    )
    assert len(loss) == len(score) == 2 and loss != score
    assert list(run.rglob("*.png")) and list(run.rglob("*.wav"))

    model, description = load_model(last(run))  # loads with weights_only
    assert description["sample_rate"] == 16000 and description["sampler"] == {"nfe": 1, "estimate": "mean"}
    out = Denoiser.from_pretrained(str(last(run))).denoise(torch.randn(1, 8000).numpy(), 8000)
    assert out.shape == (1, 8000)
    module = DiffGMM.load_from_checkpoint(last(run))
    x = 0.1 * torch.randn(1, 1, 4000)
    assert torch.equal(module.model.eval().enhance(x).waveform, model.enhance(x).waveform)

    for verb in ("validate", "test", "predict"):
        assert main([verb, "--config", str(run / "config.yaml"), "--ckpt_path", str(last(run))]) == 0


def test_one_seed_gives_one_result_and_resuming_continues_it(home: Path) -> None:
    def weights(name: str, *more: str) -> dict[str, torch.Tensor]:
        assert fit(f"--trainer.default_root_dir={name}", "--trainer.logger=false", *more) == 0
        return torch.load(last(home / name), weights_only=True)["current_model_state"]

    whole = weights("whole", "--trainer.max_epochs=2")
    again = weights("again", "--trainer.max_epochs=2")
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    weights("first", "--trainer.max_epochs=1")
    resumed = weights("second", "--trainer.max_epochs=2", f"--ckpt_path={last(home / 'first')}")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    other = weights("other", "--trainer.max_epochs=2", "--seed_everything=1")
    assert any(not torch.equal(whole[key], other[key]) for key in whole)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--config", "nope.yaml"], 2, "no such configuration: nope.yaml"),
        (["--config", str(CONFIG), "--model.network.chanels=[4]"], 2, "chanels"),
        (["--config", str(CONFIG), "--model.losses.nnl=1.0"], 2, "unknown loss nnl"),
        (
            ["--config", str(CONFIG), "--data.sample_rate=8000"],
            2,
            "the data has 8000 Hz, the representation 16000",
        ),
        (["--config", str(CONFIG), "--model.process.c=-1"], 2, "Bridge: c must be 1e-09 to 1e+06, got -1"),
        (["--config", str(CONFIG), "--data.corpus=nowhere"], 1, "nowhere: no such corpus"),
        (["--config", str(CONFIG), "--ckpt_path=none.ckpt"], 1, "none.ckpt"),
    ],
)
def test_mistakes_are_told_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert main(["fit", *arguments]) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("diffgmm: error:")]
    assert len(errors) == 1 and says in errors[0]


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "experiments").glob("*.yaml")))
def test_every_experiment_runs_on_the_mini_corpus(home: Path, name: str) -> None:
    text = (ROOT / "experiments" / name).read_text()
    for loss, packages in NEEDED.items():
        for package in packages if f"{loss}: " in text else ():
            pytest.importorskip(package, reason=f"{name} needs the extra {loss}-loss")
    arguments = [
        "--data.corpus=mini",
        "--data.valid_pairs=2",
        "--data.batch_size=2",
        "--trainer.fast_dev_run=true",
        "--data.num_workers=0",
    ]
    assert main(["fit", "--config", str(ROOT / "experiments" / name), *arguments]) == 0


def test_the_1d_network_of_the_paper_trains_on_the_blend_with_elbo_and_noise_prediction(home: Path) -> None:
    assert fit(
        "--trainer.fast_dev_run=true", "--model.representation=diffgmm.diffusion.representation.Waveform",
        "--model.process=diffgmm.diffusion.process.Blend",
        "--model.network.strides=[[4],[4]]", "--model.network.kernel=[9]",
        "--model.losses={elbo: 1.0, noise_l1: 1.0}", "--model.grid_steps=4", "--model.nfe=4",
    ) == 0  # fmt: skip


def test_training_starts_from_saved_weights(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), UNet([4], [[4, 1]], 4), MixtureHead(2))
    save_model(home / "tiny", tiny, {}, {"nfe": 1, "estimate": "mean"})
    losses = {"nll": 1.0}
    parts = (Complex(hop=255, window="sqrt_hann"), UNet([4], [[4, 1]], 4), MixtureHead(2), Bridge(), losses)
    module = DiffGMM(*parts, weights=str(home / "tiny"))
    state = module.model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in tiny.state_dict().items())
    other = (*parts[:2], MixtureHead(5), *parts[3:])
    state = DiffGMM(*other, weights=str(home / "tiny"), weights_of=["network"]).model.state_dict()
    theirs = {key: value for key, value in tiny.state_dict().items() if key.startswith("network.")}
    assert theirs and all(torch.equal(state[key], value) for key, value in theirs.items())
    with pytest.raises(
        ModelError, match="no part 'heads'; its parts are representation, network, head, process"
    ):
        DiffGMM(*other, weights=str(home / "tiny"), weights_of=["heads"])
    assert fit(f"--model.weights={home / 'tiny'}") == 1
    assert "weights of another network" in capsys.readouterr().err


def test_copies_of_a_module_share_what_makes_its_optimizer() -> None:
    """Weight averaging copies the module; the command line's constructors hold locks, which cannot be copied."""
    lock = threading.Lock()

    def make(parameters: object) -> torch.optim.Optimizer:
        assert lock is not None
        return torch.optim.SGD(parameters, 0.1)  # type: ignore[arg-type]

    bound = functools.partial(lambda held, parameters: make(parameters), lock)
    parts = (
        Complex(hop=255, window="sqrt_hann"),
        UNet([4], [[4, 1]], 4),
        MixtureHead(2),
        Bridge(),
        {"nll": 1.0},
    )
    copied = copy.deepcopy(DiffGMM(*parts, optimizer=bound))
    assert isinstance(copied.configure_optimizers(), torch.optim.SGD)


@pytest.mark.slow
def test_two_processes_train_one_model(home: Path) -> None:
    command = [sys.executable, "-m", "diffgmm.cli.main", "fit", "--config", str(CONFIG), *SMALL]
    command += [
        "--trainer.accelerator=cpu",
        "--trainer.devices=2",
        "--trainer.strategy=ddp",
        "--trainer.max_epochs=1",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = (home / "runs" / "mini").iterdir()
    assert json.loads((run / "record.json").read_text())["devices"] == 2
    load_model(last(run))


@pytest.mark.slow
def test_the_mini_experiment_learns(home: Path) -> None:
    """The embedded default lowers its validation likelihood by 0.2 nats per dimension from its first value."""
    assert main(["fit", "--config", str(CONFIG), "--trainer.enable_progress_bar=false"]) == 0
    (run,) = (home / "runs" / "mini").iterdir()
    header, *rows = (run / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("val/loss/nll")
    values = [float(v) for v in (row.split(",")[column] for row in rows) if v]
    assert values[-1] < values[0] - 0.2


@pytest.mark.slow
def test_compiled_steps_train_the_same_model(home: Path) -> None:
    """In a process of its own: what the compiler keeps does not outlive it."""
    command = [sys.executable, "-m", "diffgmm.cli.main", "fit", "--config", str(CONFIG), *SMALL]
    weights = []
    for compiled in ("false", "true"):
        folder = home / compiled
        done = subprocess.run(
            [*command, f"--model.compile_network={compiled}", "--trainer.max_epochs=1",
             f"--trainer.default_root_dir={folder}", f"--trainer.logger.init_args.save_dir={folder}"],
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        weights.append(load_model(last(folder))[0].state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-3, msg=name)
