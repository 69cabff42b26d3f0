"""Parts of other packages (tests/foreign) do all that this project's own parts do, for those who trust them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
import yaml
from tiny_model import tiny
from torch import Tensor

from diffgmm.cli.main import main
from diffgmm.diffusion import parts
from diffgmm.diffusion.grids import time_grid
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.one_step import UnsupportedModel, one_step
from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.process import Blend, Bridge, ReverseStep
from diffgmm.diffusion.representation import Complex, Context
from diffgmm.diffusion.sampler_options import SamplerConfig, Sampling
from diffgmm.diffusion.samplers import sample, sample_ancestral
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.inference import Denoiser
from diffgmm.inference.export import ExportError, export
from diffgmm.metrics import METRICS, get_metric
from diffgmm.metrics.torch_modules import MeanScore
from diffgmm.networks import UNet, fused
from diffgmm.training.losses import Loss, LossInputs
from diffgmm.training.module import DiffGMM
from diffgmm.utils.errors import UserError

FOREIGN = Path(__file__).parent / "foreign"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOREIGN))
    for name in [name for name in sys.modules if name.startswith("foreign_")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    x = np.random.default_rng(0).uniform(-0.1, 0.1, 16000)
    soundfile.write(tmp_path / "noisy.wav", x, 16000)
    return tmp_path / "noisy.wav"


SOLVER = "foreign_samplers:sample_restart"


def test_a_solver_of_another_package_denoises_for_those_who_trust_it(
    tmp_path: Path, noisy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "m", tiny().eval(), {}, {"nfe": 2, "estimate": "mean", "solver": SOLVER})
    out = tmp_path / "out.wav"
    for command in (
        ["denoise", str(noisy), "--model", str(tmp_path / "m.json"), "-o", str(out)],
        ["denoise", str(noisy), "--solver", SOLVER, "-o", str(out)],
    ):
        assert main(command) == 1
        assert "type --trust foreign_samplers" in capsys.readouterr().err
        assert "foreign_samplers" not in sys.modules and not out.exists()
    assert main([*command, "--nfe", "2", "--trust", "foreign_samplers"]) == 0 and out.exists()
    assert main(["denoise", str(noisy), "--solver", "euler", "-o", str(out)]) == 2
    with pytest.raises(UserError, match="type --trust foreign_samplers"):
        Denoiser.from_pretrained(tmp_path / "m.json").options()
    trusting = Denoiser.from_pretrained(tmp_path / "m.json", trust=("foreign_samplers",))
    from foreign_samplers import sample_restart

    assert trusting.options().solver is sample_restart
    assert trusting.options().description() == {"nfe": 2, "estimate": "mean", "solver": SOLVER}
    x = np.random.default_rng(1).uniform(-0.1, 0.1, 8000).astype(np.float32)
    given = Denoiser(*load_model(tmp_path / "m")).denoise(
        x, 16000, sampler=SamplerConfig(2, solver=sample_restart)
    )
    np.testing.assert_allclose(given, trusting.denoise(x, 16000), atol=1e-4)  # folded there
    assert np.abs(given - trusting.denoise(x, 16000, solver="flow")).max() > 1e-3


@pytest.mark.parametrize(
    "path", ["foreign_samplers:missing", "foreign_samplers:not_a_function", "foreign_none:f"]
)
def test_what_is_no_solver_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(UserError, match=r"has no function|can't be imported"):
        SamplerConfig(solver=path).resolved(("foreign_samplers", "foreign_none"))


@pytest.mark.parametrize("solver", ["os.system", "a:b:c", "a.b:", "../a:b", ":f", 3])
def test_a_saved_model_names_a_solver_or_a_function(tmp_path: Path, solver: object) -> None:
    save_model(tmp_path / "m", tiny().eval(), {}, {"nfe": 1})
    text = json.loads((tmp_path / "m.json").read_text())
    text["sampler"]["solver"] = solver
    (tmp_path / "m.json").write_text(json.dumps(text))
    with pytest.raises(ModelError, match="solver must be"):
        load_model(tmp_path / "m")


def test_the_foreign_solver_on_the_blend_is_its_own_reverse_step_for_a_constant_answer() -> None:
    from foreign_samplers import sample_restart

    from diffgmm.diffusion.mixture import GaussianMixture

    mixture = GaussianMixture(torch.zeros(1, 2, 3), torch.randn(1, 2, 1, 3), torch.zeros(1, 2, 3))
    y = torch.randn(1, 1, 3)
    expected = sample_ancestral(lambda *_: mixture, y, Blend(), time_grid(3))
    reached = sample(lambda *_: mixture, y, Blend(), SamplerConfig(3, solver=sample_restart))
    torch.testing.assert_close(reached, expected)


def test_a_process_of_another_package_denoises_and_goes_by_the_step_alone(
    tmp_path: Path, noisy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from foreign_processes import Constant

    model = tiny(process=Constant(0.2)).eval()
    save_model(tmp_path / "m", model, {}, {"nfe": 2})
    command = ["denoise", str(noisy), "--model", str(tmp_path / "m.json"), "-o", str(tmp_path / "out.wav")]
    assert main(command) == 1 and "type --trust foreign_processes" in capsys.readouterr().err
    assert main([*command, "--trust", "foreign_processes"]) == 0 and (tmp_path / "out.wav").exists()
    again, _ = load_model(tmp_path / "m", trust=("foreign_processes",))
    assert again.process == Constant(0.2)
    x = 0.1 * torch.randn(1, 1, 4000)
    for options, message in (({"solver": "flow"}, "has no flow"), ({"substeps": 2}, "need a bridge")):
        with pytest.raises(ValueError, match=message):
            model.enhance(x, nfe=2, **options)


def blocks(language: str) -> list[str]:
    text = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
    return [block.split("```")[0] for block in text.split(f"```{language}\n")[1:]]


DOCUMENTED = (
    "my_networks", "my_heads", "my_representations", "my_losses", "my_solvers", "my_processes", "my_metrics",
)  # fmt: skip


def test_the_parts_of_the_documentation_train_and_denoise(
    tmp_path: Path, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, block in zip(DOCUMENTED, blocks("python"), strict=True):
        (tmp_path / f"{name}.py").write_text(block, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = small(mini(), tmp_path / "run", "my_metrics:level_error")
    config["model"] |= yaml.safe_load(blocks("yaml")[0])["model"]
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["fit", "--config", str(tmp_path / "fit.yaml")]) == 0
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    command = ["denoise", str(noisy), "--model", str(checkpoint), "-o", str(tmp_path / "out.wav")]
    assert main([*command, "--trust", "my_networks"]) == 1
    assert main([*command, *(word for name in DOCUMENTED for word in ("--trust", name))]) == 0
    assert np.isfinite(soundfile.read(tmp_path / "out.wav")[0]).all()


def test_a_training_names_the_code_that_it_takes_from_elsewhere() -> None:
    from diffgmm.training.lightning_cli import _foreign_classes

    model = {"sampler": {"solver": SOLVER}, "process": {"class_path": "foreign_processes.Constant"}}
    assert _foreign_classes({"model": model}) == {SOLVER, "foreign_processes.Constant"}
    assert not _foreign_classes({"sampler": {"solver": "flow"}, "data": {"class_path": "data_modules.x.Y"}})


PACKAGES = ("heads", "losses", "networks", "processes", "representations", "samplers")
TRUST = [word for name in PACKAGES for word in ("--trust", f"foreign_{name}")]


class Run(NamedTuple):
    """A training whose every part comes from elsewhere."""

    config: Path
    checkpoint: Path
    said: str  # on standard error


METRIC = "foreign_metrics:level_error"


def small(config: dict[str, Any], folder: Path, metric: str, workers: int = 0) -> dict[str, Any]:
    """A configuration of two steps and two validation pairs, its run in a folder, and a metric of them."""
    config["data"]["init_args"] |= {
        "epoch_size": 8, "batch_size": 4, "valid_pairs": 2, "valid_seconds": 0.5, "window": 4096, "cache": None,
    }  # fmt: skip
    config["trainer"] = {
        "max_epochs": 1, "default_root_dir": str(folder), "num_sanity_val_steps": 0, "log_every_n_steps": 1,
        "accelerator": "cpu", "devices": 1, "enable_progress_bar": False, "enable_model_summary": False,
        "logger": [{"class_path": "lightning.pytorch.loggers.CSVLogger",
                    "init_args": {"save_dir": str(folder), "name": ""}}],
        "callbacks": [{"class_path": "diffgmm.training.callbacks.quality.QualityMetrics",
                       "init_args": {"metrics": ["si_sdr", metric], "workers": workers}}],
    }  # fmt: skip
    return config


def mini() -> dict[str, Any]:
    text = (Path(__file__).parents[1] / "experiments" / "mini.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    return config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`diffgmm fit` in a process of its own, as a user would start it."""
    folder = tmp_path_factory.mktemp("foreign")
    config = small(mini(), folder / "run", METRIC, workers=1)
    config["model"] |= {
        "representation": {"class_path": "foreign_representations.Companded", "init_args": {"mu": 100.0}},
        "network": {"class_path": "foreign_networks.OneLayer", "init_args": {"features": 3, "dims": 1}},
        "head": {"class_path": "foreign_heads.GainHead"},
        "process": {"class_path": "foreign_processes.Constant", "init_args": {"level": 0.2}},
        "losses": {
            "nll": 1.0,
            "mine": {"class_path": "foreign_losses.Loudest", "init_args": {"weight": 0.1}},
        },
        "sampler": {"nfe": 2, "solver": SOLVER},
    }
    (folder / "fit.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "diffgmm.cli.main", "fit", "--config", str(folder / "fit.yaml")]
    path = os.pathsep.join([str(FOREIGN), str(FOREIGN.parents[1])])
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    (checkpoint,) = folder.rglob("last.ckpt")
    return Run(folder / "fit.yaml", checkpoint, done.stderr)


def test_fit_takes_every_part_by_its_class_path_and_names_what_it_runs(run: Run) -> None:
    (line,) = [line for line in run.said.splitlines() if "runs code of other packages" in line]
    for name in ("heads.GainHead", "networks.OneLayer", "processes.Constant", "losses.Loudest",
                 "representations.Companded", "samplers:sample_restart", "metrics:level_error"):  # fmt: skip
        assert f"foreign_{name}" in line
    saved = yaml.safe_load((run.checkpoint.parents[1] / "config.yaml").read_text(encoding="utf-8"))["model"]
    assert saved["head"] == {"class_path": "foreign_heads.GainHead", "init_args": {"scale": 0.3}}
    metrics = (run.checkpoint.parents[1] / "metrics.csv").read_text(encoding="utf-8").splitlines()
    column = metrics[0].split(",").index(f"val/{METRIC}")
    assert [float(row.split(",")[column]) > 0 for row in metrics[1:] if row.split(",")[column]] == [True]
    module = DiffGMM.from_checkpoint(run.checkpoint, trust=[f"foreign_{name}" for name in PACKAGES])
    assert module.description()["model"]["init_args"]["network"] == {
        "class_path": "foreign_networks.OneLayer",
        "init_args": {"features": 3, "dims": 1},
    }
    assert module.model.head.log_scale.item() != pytest.approx(math.log(0.3), abs=1e-6)  # it learned


@pytest.mark.parametrize("missing", ["heads", "networks", "processes", "representations", "samplers"])
def test_denoise_takes_a_checkpoint_of_foreign_parts_from_those_who_trust_them_all(
    run: Run, noisy: Path, tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["denoise", str(noisy), "--model", str(run.checkpoint), "-o", str(tmp_path / "out.wav")]
    some = [word for name in PACKAGES if name != missing for word in ("--trust", f"foreign_{name}")]
    assert main([*command, *some]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"type --trust foreign_{missing}" in line and not (tmp_path / "out.wav").exists()
    assert f"foreign_{missing}" not in sys.modules


def test_denoise_calibrate_and_export_take_foreign_parts(
    run: Run, noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(run.checkpoint), *TRUST]
    assert main(["denoise", str(noisy), *model, "-o", str(tmp_path / "out.wav"), "--uncertainty"]) == 0
    output, _ = soundfile.read(tmp_path / "out.wav")
    assert np.isfinite(output).all() and np.abs(output - soundfile.read(noisy)[0]).max() > 1e-3
    kept = tmp_path / "kept.safetensors"
    assert main(["export", "--format", "safetensors", *model, "-o", str(kept)]) == 0
    assert not kept.with_suffix(".onnx").exists()
    again = tmp_path / "again.wav"
    assert main(["denoise", str(noisy), "--model", str(kept), *TRUST, "-o", str(again)]) == 0
    np.testing.assert_array_equal(output, soundfile.read(again)[0])
    capsys.readouterr()
    assert main(["export", "--format", "onnx", *model, "-o", str(tmp_path / "m.onnx")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "foreign_samplers:sample_restart is code of another package" in line and "safetensors" in line
    calibrated = tmp_path / "warm.safetensors"
    assert main(["calibrate", *model, "--data", "mini", "--pairs", "2", "-o", str(calibrated)]) == 0
    assert 0 < json.loads(calibrated.with_suffix(".json").read_text())["sampler"]["temperature"] != 1.0


@pytest.mark.slow  # starts a process for the model and one for the scores
def test_benchmark_takes_foreign_parts(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from data_modules.offline.pair_folder import write_pairs

    monkeypatch.setenv("PYTHONPATH", str(FOREIGN), prepend=os.pathsep)
    write_pairs(tmp_path / "set", n=2, seconds=1.0, cache=tmp_path / "pools")
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path / "home"))
    command = [
        "benchmark", "--set", str(tmp_path / "set"), "-o", str(tmp_path / "out"), "--jobs", "1", "--timing", "skip",
        "--baselines", "none", "--models", f"mine={run.checkpoint}",
    ]  # fmt: skip
    assert main(command) == 1 and "type --trust foreign_" in capsys.readouterr().err
    command += ["--metrics", f"si_sdr,{METRIC}"]
    assert main([*command, *TRUST]) == 2 and "type --trust foreign_metrics" in capsys.readouterr().err
    assert main([*command, *TRUST, "--trust", "foreign_metrics"]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    (mine,) = [system for system in results["systems"] if system["kind"] == "model"]
    assert all(math.isfinite(file["scores"][name]) for file in mine["files"] for name in ("si_sdr", METRIC))
    (described,) = [metric for metric in results["metrics"] if metric["name"] == METRIC]
    assert (described["unit"], described["higher_is_better"]) == ("dB", False)
    assert described["explanation"] == "How far the estimate's level is from the reference's, either way."


def test_evaluate_scores_by_a_metric_of_another_package_for_those_who_trust_it(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, rate = soundfile.read(noisy)
    for name, gain in (("clean", 1.0), ("enhanced", 0.5)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", gain * x, rate, subtype="FLOAT")
    command = ["evaluate", "--clean", str(tmp_path / "clean"), "--enhanced", str(tmp_path / "enhanced")]
    command += ["-o", str(tmp_path / "scores.csv"), "--metrics", f"snr,{METRIC}"]
    assert main(command) == 2 and "type --trust foreign_metrics" in capsys.readouterr().err
    assert "foreign_metrics" not in sys.modules
    assert main([*command, "--trust", "foreign_metrics"]) == 0
    assert f"{METRIC} dB (lower is better)" in " ".join(capsys.readouterr().out.split())
    header, row = (line.split(",") for line in (tmp_path / "scores.csv").read_text().splitlines())
    assert float(row[header.index(METRIC)]) == pytest.approx(20 * math.log10(2), abs=1e-4)
    for path, message in (
        ("foreign_metrics:undescribed", "decorate it with @diffgmm.metrics.metric()"),
        ("foreign_metrics:missing", "has no function missing"),
        ("foreign_none:f", "can't be imported"),
    ):
        with pytest.raises(ValueError, match=message):
            get_metric(path)


def test_a_metric_of_another_package_goes_into_torchmetrics_and_takes_no_name_of_ours() -> None:
    from foreign_metrics import level_error

    metric = MeanScore(METRIC, 16000)
    clean = torch.randn(3, 800)
    metric.update(clean * torch.tensor([1.0, 10.0, 0.1])[:, None], clean)
    assert metric.compute().item() == pytest.approx(40 / 3, abs=1e-3) and metric.higher_is_better is False
    assert METRIC not in METRICS and "level_error" not in METRICS
    assert math.isnan(level_error(np.zeros(8), np.ones(8), 16000))  # as checked as those of this package


def test_a_foreign_network_has_a_graph_and_what_is_like_ours_by_name_alone_is_left_as_it_is(
    tmp_path: Path,
) -> None:
    from foreign_networks import OneLayer, Unlike

    torch.manual_seed(0)
    x = 0.1 * torch.randn(2, 1, 4000)
    for network in (OneLayer(), Unlike()):
        model = MixtureDenoiser(
            Complex(n_fft=62, hop=31, window="sqrt_hann"), network, MixtureHead(2), Bridge()
        )
        with torch.no_grad():
            for name, value in [*model.named_parameters(), *model.named_buffers()]:
                if "norm" in name and value.is_floating_point():
                    value.copy_(0.5 + torch.rand_like(value))
        expected = model.eval().enhance(x).waveform
        torch.testing.assert_close(one_step(model)(x), expected, atol=1e-5, rtol=0)
        twice: Sampling = {"nfe": 2, "step_noise": False}
        torch.testing.assert_close(
            fused(model).enhance(x, **twice).waveform, model.enhance(x, **twice).waveform
        )
    save_model(tmp_path / "m", model, {}, {})
    command = [
        "export",
        "--model",
        str(tmp_path / "m.json"),
        "-o",
        str(tmp_path / "m.onnx"),
        "--format",
        "onnx",
    ]
    assert main(command) == 1 and main([*command, "--trust", "foreign_networks"]) == 0


def test_what_has_no_graph_says_so_in_one_line() -> None:
    from foreign_heads import GainHead
    from foreign_processes import Constant

    class Halving(Constant):
        def reverse(self, state: Tensor, noisy: Tensor, time: Tensor, earlier: Tensor) -> ReverseStep:
            step = super().reverse(state, noisy, time, earlier)
            return step._replace(factor=0.5 * step.factor)

    class Twice(Complex):
        def encode(self, wave: Tensor, context: Context) -> Tensor:
            return 2.0 * super().encode(wave, context)

    for changed, message in (
        ({"head": GainHead()}, "only models with a MixtureHead have a one-step graph, this is GainHead"),
        ({"process": Halving()}, "one step of the process Halving is no subtraction"),
        ({"representation": Twice(n_fft=62, hop=31)}, "this is Twice"),
    ):
        made: dict[str, Any] = {
            "representation": Complex(n_fft=62, hop=31), "network": UNet([4], [[4, 1]], 4), "head": MixtureHead(2),
        } | changed  # fmt: skip
        with pytest.raises(UnsupportedModel, match=message):
            one_step(MixtureDenoiser(**made))


def test_a_network_that_no_graph_can_hold_says_so_in_one_line(tmp_path: Path) -> None:
    from foreign_networks import OneLayer

    class Bessel(OneLayer):
        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            return torch.special.bessel_j0(super().forward(x, time))

    model = MixtureDenoiser(Complex(n_fft=62, hop=31), Bessel(), MixtureHead(2), Bridge()).eval()
    with pytest.raises(
        ExportError, match=r"the network Bessel does not go into a graph: .*bessel_j0"
    ) as caught:
        export(model, {}, tmp_path / "m.onnx", "onnx", np.random.default_rng(0).normal(0, 0.1, 4000))
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_names_that_only_type_checkers_import_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "from __future__ import annotations", "from typing import TYPE_CHECKING",
        "from foreign_networks import OneLayer", "if TYPE_CHECKING:", "    from somewhere import Size",
        "class Typed(OneLayer):", "    def __init__(self, features: Size) -> None:",
        "        super().__init__(features)",
    )  # fmt: skip
    (tmp_path / "foreign_typed.py").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = {"class_path": "foreign_typed.Typed", "init_args": {"features": 6}}
    assert parts.plan(spec, "network", ("foreign_typed",)).make().features == 6


def test_arguments_that_no_file_can_hold_are_refused_before_training() -> None:
    from foreign_networks import OneLayer

    class Wrapped(OneLayer):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

    @dataclass(frozen=True)
    class Masked(Loss):
        mask: Any = None

        def __call__(self, x: LossInputs) -> Tensor:
            return (self.mask * x.mean).mean()

    usual = (Complex(n_fft=62, hop=31), UNet([4], [[4, 1]], 4), MixtureHead(2), Blend())
    with pytest.raises(ModelError, match=r"no checkpoint can hold the losses .* a value of type Tensor"):
        DiffGMM(*usual, {"mine": Masked(mask=torch.ones(1))})
    with pytest.raises(ModelError, match=r"Wrapped can't be described .* a value of type Linear"):
        DiffGMM(
            Complex(n_fft=62, hop=31), Wrapped(torch.nn.Linear(1, 1)), MixtureHead(2), Blend(), {"nll": 1.0}
        )


def test_a_configuration_without_class_paths_means_the_usual_network_and_head(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(mini()), encoding="utf-8")
    for more, network, head in (
        ([], "diffgmm.networks.UNet", "diffgmm.diffusion.head.MixtureHead"),
        (["--model.network=foreign_networks.OneLayer", "--model.network.features=7"], "foreign_networks.OneLayer",
         "diffgmm.diffusion.head.MixtureHead"),
    ):  # fmt: skip
        assert main(["fit", "--config", str(tmp_path / "fit.yaml"), *more, "--print_config"]) == 0
        printed = yaml.safe_load(capsys.readouterr().out)["model"]
        assert (printed["network"]["class_path"], printed["head"]["class_path"]) == (network, head)
        assert printed["network"]["init_args"]["features"] == (7 if more else 12)


def test_help_shows_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    for option, expected in (
        ("--help", "known subclasses: diffgmm.networks.BelzUNet, diffgmm.networks.UNet"),
        ("--model.network.help=UNet", "{none,gru,bigru}"),
        ("--model.head.help=diffgmm.diffusion.head.MixtureHead", "{mask,free,offset,tanh}"),
        (
            "--model.representation.help=diffgmm.diffusion.representation.Magnitude",
            "{subtract,wiener,learned}",
        ),
    ):
        assert main(["fit", option]) == 0
        assert expected in " ".join(capsys.readouterr().out.split())
