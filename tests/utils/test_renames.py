"""Files of the version before class paths were renamed: a checkpoint, a model, and a configuration."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import diffgmm
from diffgmm.cli.main import main
from diffgmm.diffusion.saving import describe, load_model
from diffgmm.inference import Denoiser
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
