"""Files of the version before class paths were renamed: a checkpoint, a model, and a configuration."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diffgmm
from diffgmm.cli.main import main
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.process import Blend
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.saving import describe, load_model, save_model
from diffgmm.inference import Denoiser
from diffgmm.networks import BelzUNet, UNet
from diffgmm.training.module import DiffGMM
from diffgmm.utils import renames

ROOT = Path(diffgmm.__file__).parents[1]
OLD = Path(__file__).parent / "before_rooms"


def noise() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(4000)).astype(np.float32)


def test_every_new_path_exists_and_no_old_one_does() -> None:
    for old, new in renames.MODULES.items():
        importlib.import_module(new)
        assert not (ROOT / old.replace(".", "/")).with_suffix(".py").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("diffgmm.process.Bridge", "diffgmm.diffusion.process.Bridge"),
        ("diffgmm.networks.MixtureHead", "diffgmm.diffusion.head.MixtureHead"),
        ("diffgmm.networks.unet.UNet", "diffgmm.networks.unet.UNet"),
        ("data_modules.rooms.Reverb", "data_modules.augment.reverb.Reverb"),
        ("someone.process.Bridge", "someone.process.Bridge"),
    ],
)
def test_current_path_of_a_class(old: str, new: str) -> None:
    assert renames.current(old) == new


def test_text_is_renamed_with_a_warning_and_otherwise_left_alone() -> None:
    with pytest.warns(FutureWarning, match=r"diffgmm\.process is now diffgmm\.diffusion\.process"):
        assert renames.in_text("a: diffgmm.process.Blend") == "a: diffgmm.diffusion.process.Blend"
    for text in (
        "diffgmm.diffusion.process.Blend",
        "my.diffgmm.process.Blend",
        "diffgmm.model.pt",
        "data: mini",
    ):
        assert renames.in_text(text) == text


def test_an_old_checkpoint_gives_the_same_sound() -> None:
    expected = np.load(OLD / "expected.npz")
    denoiser = Denoiser.from_pretrained(OLD / "last.ckpt")
    np.testing.assert_allclose(denoiser.denoise(noise(), 16000), expected["mean"], atol=1e-6)
    sampled = denoiser.denoise(noise(), 16000, nfe=2, estimate="sample", seed=3)
    np.testing.assert_allclose(sampled, expected["sample"], atol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_an_old_model_gives_the_same_sound(backend: str) -> None:
    if backend == "onnxruntime":
        pytest.importorskip("onnxruntime")
    denoiser = Denoiser.from_pretrained(OLD / "old_model.safetensors", backend=backend)
    np.testing.assert_allclose(
        denoiser.denoise(noise(), 16000), np.load(OLD / "expected.npz")["mean"], atol=1e-6
    )


def test_an_old_description_is_written_anew_with_new_paths() -> None:
    model, description = load_model(OLD / "old_model.json")
    old, new = description["model"], describe(model)
    assert old["class_path"] == "diffgmm.model.MixtureDenoiser"
    assert new["class_path"] == "diffgmm.diffusion.model.MixtureDenoiser"
    assert "diffgmm.process" not in json.dumps(new)


def test_an_old_configuration_trains_and_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "fit.yaml"
    shutil.copy(OLD / "fit.yaml", config)
    with pytest.warns(FutureWarning, match=r"diffgmm\.callbacks\.throughput is now"):
        code = main(
            ["fit", "--config", str(config), "--ckpt_path", str(OLD / "last.ckpt"), "--trainer.max_epochs=2",
             "--trainer.callbacks+=diffgmm.callbacks.gradients.LossGradients"]
        )  # fmt: skip
    assert code == 0
    (saved,) = tmp_path.rglob("config.yaml")
    text = saved.read_text(encoding="utf-8")
    assert "diffgmm.training.callbacks.gradients.LossGradients" in text and renames.in_text(text) == text
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    before, after = (torch.load(path, weights_only=True) for path in (OLD / "last.ckpt", checkpoint))
    assert (before["epoch"], after["epoch"]) == (0, 1) and after["global_step"] == 2 * before["global_step"]


@pytest.mark.parametrize(
    ("old", "new"), [(old, new) for old, new in renames.ARGUMENTS.items() if "." not in new]
)
def test_an_argument_goes_by_its_old_name_in_yaml_on_the_command_line_and_in_checkpoints(
    old: str, new: str, tmp_path: Path
) -> None:
    moved = rf"model\.{old} is now model\.{new}"
    config = {"seed": 1, "model": {old: 0.25, "grid_steps": 2}}
    with pytest.warns(FutureWarning, match=moved):
        assert renames.in_configuration(config) == {"seed": 1, "model": {new: 0.25, "grid_steps": 2}}
    for word in (f"--model.{old}", f"--model.{old}=0.25"):
        with pytest.warns(FutureWarning, match=moved):
            assert renames.in_text(word) == word.replace(old, new)
    for word in (f"--model.{new}=0.25", f"--model.{old}s=1", f"--data.{old}=1", old):
        assert renames.in_text(word) == word
    with pytest.raises(ValueError, match=f"{old} is now {new}: give it once"):
        renames.module_arguments({old: 0.1, new: 0.2})
    checkpoint = torch.load(OLD / "last.ckpt", weights_only=True)
    checkpoint["diffgmm"]["states"] = {old: 0.25}
    torch.save(checkpoint, tmp_path / "old.ckpt")
    with pytest.warns(FutureWarning, match=moved):
        module = DiffGMM.from_checkpoint(tmp_path / "old.ckpt")
    assert getattr(module.noising, new) == 0.25 and module.description()["states"] == {new: 0.25}


def test_options_of_the_sampler_go_by_their_old_names_in_yaml_and_on_the_command_line() -> None:
    before = {"nfe": 4, "estimate": None, "solver": "flow", "sampler": {"substeps": 3}}
    with pytest.warns(
        FutureWarning, match=r"model\.nfe is now model\.sampler\.nfe, model\.solver is now"
    ) as warned:
        config = renames.in_configuration({"model": before})
    assert config == {"model": {"sampler": {"nfe": 4, "solver": "flow", "substeps": 3}}}
    assert "estimate" not in str(warned[0].message)  # saved configurations have those that were not set
    with pytest.warns(FutureWarning, match=r"model\.nfe is now model\.sampler\.nfe"):
        assert renames.in_text("--model.nfe=4") == "--model.sampler.nfe=4"
    with pytest.raises(ValueError, match=r"substeps is now sampler\.substeps: give it once"):
        renames.module_arguments({"substeps": 2, "sampler": {"substeps": 3}})


BOTH = {
    "pooling": "stride",
    "skips": "add",
    "residual": True,
    "initialisation": "torch",
}  # as one class had them
AS_BELZ = {"pooling": "max", "skips": "concat", "residual": False, "initialisation": "he"}
OFF = {
    "embedding": 0,
    "position": False,
    "bottleneck": "none",
    "dilations": [],
    "input_layers": 0,
    "fine": 0,
    "dual": 0,
}


def test_a_file_of_the_one_u_net_that_was_belzs_too_gives_the_same_sound(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {
        "channels": [4, 6],
        "strides": [[1, 1], [2, 2]],
        "features": 4,
        "norm_kind": "batch",
        "slope": 0.3,
    }
    x = 0.1 * torch.randn(1, 1, 4000)
    for network, arguments in ((UNet(**sizes), BOTH), (BelzUNet(**sizes, dropout=0.0), AS_BELZ | OFF)):
        model = MixtureDenoiser(Complex(n_fft=62, hop=31), network, MixtureHead(2), Blend()).eval()
        save_model(tmp_path / "m", model, {}, {})
        description = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
        old = description["model"]["init_args"]["network"]
        new, old["class_path"] = old["class_path"], renames.UNET
        old["init_args"] |= arguments
        if arguments is not BOTH:
            del old["init_args"]["dropout"]  # it had 0 for default, the class of now 0.5
        (tmp_path / "m.json").write_text(json.dumps(description), encoding="utf-8")
        loaded, _ = load_model(tmp_path / "m")
        assert type(loaded.network) is type(network) and new.endswith(type(network).__name__)
        assert torch.equal(loaded.enhance(x).waveform, model.enhance(x).waveform)
        assert describe(loaded) == describe(model)
    old["init_args"] |= {"skips": "add", "embedding": 8}
    (tmp_path / "m.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(
        ModelError, match=r"no network of this version has all of .* skips: add.* embedding: 8"
    ):
        load_model(tmp_path / "m")


def test_a_configuration_of_the_one_u_net_becomes_one_of_the_two() -> None:
    sizes = {"channels": [4, 6], "strides": [[1, 1], [2, 2]]}

    def changed(network: dict[str, Any]) -> dict[str, Any]:
        with pytest.warns(
            FutureWarning, match="arguments of an earlier version: the network .* goes without pooling"
        ):
            config = renames.in_configuration({"seed": 1, "model": {"network": network, "p_t1": 1}})
        assert (config["seed"], config["model"]["p_t1"]) == (1, 1)
        return dict(config["model"]["network"])

    belz = {"class_path": renames.BELZ, "init_args": {
        **sizes, "features": 24, "norm_kind": "batch", "slope": 0.3, "dropout": 0.0}}  # fmt: skip
    assert changed({**sizes, **AS_BELZ, **OFF, "slope": 0.3}) == belz
    path = "diffgmm.networks.UNet"  # as training wrote it
    assert changed({"class_path": path, "init_args": {**sizes, **BOTH}}) == {
        "class_path": path,
        "init_args": sizes,
    }
    assert changed({**sizes, **BOTH}) == sizes
    for untouched in (
        {"model": {"network": sizes}},
        {"model": {"network": {"class_path": "a.B", "init_args": BOTH}}},
        3,
    ):
        assert renames.in_configuration(untouched) is untouched


def test_a_configuration_that_fits_neither_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "fit.yaml"
    config.write_text(
        (OLD / "fit.yaml").read_text(encoding="utf-8").replace("    bins: 32\n", "    pooling: max\n")
    )
    assert main(["fit", "--config", str(config)]) == 2
    assert "choose UNet or BelzUNet" in capsys.readouterr().err.splitlines()[-1]
