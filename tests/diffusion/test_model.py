"""The model without Lightning: enhancing, saving, loading, refusing what is not a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser, ModelError
from diffgmm.diffusion.parts import plan
from diffgmm.diffusion.process import Blend, Bridge
from diffgmm.diffusion.representation import Complex, Magnitude, Representation, Waveform
from diffgmm.diffusion.saving import build, describe, load_model, save_model
from diffgmm.networks import UNet

PARTS = {
    "complex": (lambda: Complex(hop=255, window="sqrt_hann"), lambda: UNet([4, 6], [[4, 1], [2, 1]], 4)),
    "magnitude": (lambda: Magnitude(8000, 255, 63, belz=True), lambda: UNet([4, 6], [[4, 2], [2, 2]], 4)),
    "waveform": (lambda: Waveform(), lambda: UNet([4, 6], [[4], [4]], 4, kernel=[9])),
}


def make(
    kind: str = "complex", process: Blend | Bridge | None = None, means: str = "mask"
) -> MixtureDenoiser:
    representation, network = PARTS[kind]
    torch.manual_seed(0)
    parts: tuple[Representation, UNet] = (representation(), network())
    return MixtureDenoiser(*parts, MixtureHead(2, means), process or Bridge()).eval()


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("process", [Blend(), Bridge()])
@pytest.mark.parametrize("estimate", ["mean", "sample", "mode"])
def test_every_combination_enhances(kind: str, process: Blend | Bridge, estimate: str) -> None:
    model, noisy = make(kind, process), 0.1 * torch.randn(2, 1, 5000)
    result = model.enhance(noisy, nfe=2, estimate=estimate, samples=2)  # type: ignore[arg-type]
    assert result.waveform.shape == noisy.shape and torch.isfinite(result.waveform).all()
    torch.testing.assert_close(result.noise, noisy - result.waveform)
    assert (result.uncertainty > 0).all() and result.uncertainty.shape[0] == 2


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("means", ["mask", "free", "offset"])
def test_silence_stays_exact_silence(kind: str, means: str) -> None:
    noisy = torch.stack([torch.zeros(1, 4000), 0.1 * torch.randn(1, 4000)])
    waveform = make(kind, means=means).enhance(noisy).waveform
    assert not waveform[0].any() and waveform[1].any()


def test_level_passes_through() -> None:
    model, noisy = make(), 0.1 * torch.randn(1, 1, 6000)
    torch.testing.assert_close(model.enhance(0.01 * noisy).waveform, 0.01 * model.enhance(noisy).waveform)


def test_a_window_does_not_depend_on_its_batch() -> None:
    model, noisy = make(), 0.1 * torch.randn(3, 1, 6000)
    torch.testing.assert_close(model.enhance(noisy).waveform[1:2], model.enhance(noisy[1:2]).waveform)


def test_a_blend_never_sees_the_noisy_end_beside_a_state() -> None:
    model = make(process=Blend())
    state, time = torch.randn(1, 2, 256, 9), torch.full((1,), 0.5)
    a, b = (model.posterior(state, torch.randn(1, 2, 256, 9), time) for _ in range(2))
    assert torch.equal(a.means, b.means) and torch.equal(a.logits, b.logits)


@pytest.mark.parametrize("kind", PARTS)
def test_saved_models_load_with_the_same_result(kind: str, tmp_path: Path) -> None:
    model, noisy = make(kind, Bridge(0.7)), 0.1 * torch.randn(1, 1, 5000)
    save_model(tmp_path / "tiny", model, {"trained_on": "nothing"}, {"nfe": 1, "estimate": "mean"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.json", "tiny.safetensors"]
    for path in (tmp_path / "tiny", tmp_path / "tiny.json", tmp_path / "tiny.safetensors"):
        loaded, description = load_model(path)
        assert torch.equal(loaded.enhance(noisy).waveform, model.enhance(noisy).waveform)
        assert description["card"] == {"trained_on": "nothing"}
        assert description["sample_rate"] == model.sample_rate


def test_description_is_plain_and_complete() -> None:
    spec = json.loads(json.dumps(describe(make("magnitude", Blend()))))
    again = build(spec)
    assert describe(again) == spec
    assert isinstance(again.process, Blend)


def test_only_classes_of_the_package_are_built() -> None:
    for path in ("os.system", "subprocess.run", "diffgmmx.model.X", ""):
        with pytest.raises(ModelError, match="not MixtureDenoiser"):
            build({"class_path": path, "init_args": {}})
        with pytest.raises(ModelError, match=r"is not a process that a model file may name|type --trust"):
            plan({"class_path": path, "init_args": {}}, "process")
    with pytest.raises(
        ModelError, match="Bridge of this version: got an unexpected keyword argument 'speed'"
    ):
        plan({"class_path": "diffgmm.diffusion.process.Bridge", "init_args": {"speed": 3}}, "process")


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.safetensors: no such file"):
        load_model(tmp_path / "none")
    save_model(tmp_path / "tiny", make(), {}, {})
    text = (tmp_path / "tiny.json").read_text()
    for content, message in (
        ("{", "not a diffgmm model"),
        ("[]", "describes no model"),
        ('{"format": 1}', "describes no model"),
        (text.replace('"format": 1', '"format": 99'), "model format 99, this version reads 1"),
        (text.replace('"components": 2', '"components": 5'), "weights do not fit"),
    ):
        (tmp_path / "tiny.json").write_text(content)
        with pytest.raises(ModelError, match=message):
            load_model(tmp_path / "tiny")
    (tmp_path / "tiny.json").write_text(text)
    (tmp_path / "tiny.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="not a diffgmm model"):
        load_model(tmp_path / "tiny")
    (tmp_path / "x.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="not a checkpoint that loads safely"):
        load_model(tmp_path / "x.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "y.ckpt")
    with pytest.raises(ModelError, match="not one of diffgmm's"):
        load_model(tmp_path / "y.ckpt")


def test_axes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="the network has 1 axes, Complex needs 2"):
        MixtureDenoiser(Complex(), UNet([4], [[4]], kernel=[9]))
    with pytest.raises(ValueError, match="samples must be at least 1"):
        make().enhance(torch.zeros(1, 1, 100), samples=0)


@pytest.mark.parametrize("process", [Blend(), Bridge()])
def test_solvers_reach_the_model(process: Blend | Bridge) -> None:
    model, noisy = make(process=process), 0.1 * torch.randn(2, 1, 5000)
    plain = model.enhance(noisy, nfe=4).waveform
    options: list[dict] = [{"solver": "flow"}, {"solver": "heun"}, {"grid_power": 2.0}]
    options += [{"substeps": 3}, {"solver": "flow", "substeps": 3}] if isinstance(process, Bridge) else []
    for option in options:
        other = model.enhance(noisy, nfe=4, **option).waveform
        assert torch.isfinite(other).all() and other.shape == noisy.shape
        same = isinstance(process, Blend) and option == {
            "solver": "flow"
        }  # its step is deterministic already
        assert torch.equal(other, plain) == same
    torch.testing.assert_close(
        model.enhance(noisy, nfe=1, solver="heun").waveform, model.enhance(noisy).waveform
    )


def test_temperature_widens_the_uncertainty_and_leaves_one_mean_step_alone() -> None:
    model, noisy = make(), 0.1 * torch.randn(2, 1, 5000)
    cold, plain, hot = (model.enhance(noisy, temperature=t) for t in (0.5, 1.0, 2.0))
    assert torch.equal(cold.waveform, hot.waveform)
    assert (cold.uncertainty < plain.uncertainty).all() and (plain.uncertainty < hot.uncertainty).all()
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        model.enhance(noisy, temperature=0.0)
