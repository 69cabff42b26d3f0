"""Parts of other packages (tests/foreign) do all that this project's own parts do, for those who trust them."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_model import tiny

from diffgmm.cli.main import main
from diffgmm.diffusion.grids import time_grid
from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.process import Blend
from diffgmm.diffusion.sampler_options import SamplerConfig
from diffgmm.diffusion.samplers import sample, sample_ancestral
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.inference import Denoiser
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

    model = tiny(process=Constant(0.2)).eval()  # type: ignore[arg-type]
    save_model(tmp_path / "m", model, {}, {"nfe": 2})
    command = ["denoise", str(noisy), "--model", str(tmp_path / "m.json"), "-o", str(tmp_path / "out.wav")]
    assert main(command) == 1 and "type --trust foreign_processes" in capsys.readouterr().err
    assert main([*command, "--trust", "foreign_processes"]) == 0 and (tmp_path / "out.wav").exists()
    again, _ = load_model(tmp_path / "m", trust=("foreign_processes",))
    assert again.process == Constant(0.2)
    x = 0.1 * torch.randn(1, 1, 4000)
    for options, message in (({"solver": "flow"}, "has no flow"), ({"substeps": 2}, "need a bridge")):
        with pytest.raises(ValueError, match=message):
            model.enhance(x, nfe=2, **options)  # type: ignore[arg-type]


def test_the_parts_of_the_documentation_run(
    tmp_path: Path, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    names = ("my_solvers", "my_processes")
    for name, block in zip(names, blocks, strict=True):
        (tmp_path / f"{name}.py").write_text(block, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    process = importlib.import_module("my_processes").Constant(0.2)
    sampler = {"nfe": 2, "solver": "my_solvers:sample_restart"}
    save_model(tmp_path / "m", tiny(process=process).eval(), {}, sampler)
    command = ["denoise", str(noisy), "--model", str(tmp_path / "m.json"), "-o", str(tmp_path / "out.wav")]
    assert main([*command, "--trust", "my_processes"]) == 1
    assert main([*command, "--trust", "my_processes", "--trust", "my_solvers"]) == 0
    assert np.isfinite(soundfile.read(tmp_path / "out.wav")[0]).all()


def test_a_training_names_the_code_that_it_takes_from_elsewhere() -> None:
    from diffgmm.training.lightning_cli import _foreign_classes

    model = {"sampler": {"solver": SOLVER}, "process": {"class_path": "foreign_processes.Constant"}}
    assert _foreign_classes({"model": model}) == {SOLVER, "foreign_processes.Constant"}
    assert not _foreign_classes({"sampler": {"solver": "flow"}, "data": {"class_path": "data_modules.x.Y"}})
