"""The shipped model on voices and noises it never heard, and how a model gets into the package."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_modules.offline.pair_folder import write_pairs
from diffgmm import audio, metrics
from diffgmm.cli.main import main
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.pretrained import available_models
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.saving import describe, load_model
from diffgmm.evaluation.results import (
    FileScores,
    MetricInfo,
    PairInfo,
    Results,
    SetInfo,
    System,
    write_results,
)
from diffgmm.inference import Denoiser
from diffgmm.inference.backends import open_backend
from diffgmm.networks import UNet
from experiments.release import ship

PACKAGE = ship.PACKAGE
EXPERIMENTS = Path(ship.__file__).parents[1]


def test_the_shipped_model_improves_pairs_of_unseen_speakers_and_noises(tmp_path: Path) -> None:
    names = write_pairs(tmp_path / "pairs", "test", 24)
    denoiser = Denoiser.from_pretrained("base")
    gains = []
    for name in names:
        clean, noisy = (
            audio.read(tmp_path / "pairs" / kind / f"{Path(name).stem}.wav")[0] for kind in ("clean", "noisy")
        )
        denoised = denoiser.denoise(noisy, 16000)
        after, before = (
            metrics.score(x[0], clean[0], 16000, ["pesq_wb", "si_sdr"]) for x in (denoised, noisy)
        )
        gains.append([after["pesq_wb"] - before["pesq_wb"], after["si_sdr"] - before["si_sdr"]])
    pesq, si_sdr = np.mean(gains, axis=0)
    assert pesq >= 1.0 and si_sdr >= 9.0
    worst, second = sorted(gain for _, gain in gains)[:2]
    assert second > 3.0 and worst > -3.0  # a helicopter 15 dB below the voice: speech goes with it


@pytest.mark.parametrize("name", available_models())
def test_every_shipped_model_says_what_it_was_trained_on(name: str) -> None:
    _, description = load_model(PACKAGE / name)
    card = description["card"]
    trained_on = card["trained_on"]
    assert len(trained_on["manifest_sha256"]) == 64 and (trained_on.get("packages") or trained_on["sources"])
    assert card["licence"].startswith("MIT") and card["steps"] > 0
    assert card["parameters"] == sum(p.numel() for p in load_model(PACKAGE / name)[0].parameters())


def test_shipped_models_are_small() -> None:
    sizes = {name: sum(p.stat().st_size for p in PACKAGE.glob(f"{name}.*")) for name in available_models()}
    assert sizes.pop("base") + sizes.pop("small") <= 12e6
    assert all(size <= 4e6 for size in sizes.values()), sizes


def test_shipping_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from safetensors.torch import load_file

    model = MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), UNet([4], [[4, 1]], 4))
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir()
    description = {"format": 1, "sample_rate": 16000, "model": describe(model), "sampler": {"nfe": 1}}
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"global_step": 7, "diffgmm": description, "state_dict": state}, checkpoint)
    (tmp_path / "record.json").write_text(json.dumps({"git_revision": "abc", "command": ["/a/machine/path"]}))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    package = tmp_path / "package"
    package.mkdir()
    monkeypatch.setattr(ship, "PACKAGE", package)

    def run(*more: str) -> int:
        monkeypatch.setattr(
            sys, "argv", ["ship", str(checkpoint), "--name", "tiny", "--corpus", str(corpus), *more]
        )
        return ship.main()

    assert run() == 2 and "no manifest.csv" in capsys.readouterr().err
    (corpus / "manifest.csv").write_text("path\n")
    (corpus / "corpus.json").write_text(
        json.dumps({"variant": "full", "packages": {"a 1": "0"}, "refused": {}})
    )
    assert run() == 0
    _, saved = load_model(package / "tiny")
    assert saved["card"]["steps"] == 7 and saved["card"]["trained_on"]["packages"] == {"a 1": "0"}
    assert saved["card"]["run"]["git_revision"] == "abc" and "/a/machine/path" not in json.dumps(saved)
    assert open_backend(package / "tiny.safetensors", "onnxruntime", 1) is not None
    assert saved["card"]["limits"] and "scores" not in saved["card"]
    assert run() == 2 and "--overwrite replaces it" in capsys.readouterr().err
    second = tmp_path / "second"
    second.mkdir()
    (second / "manifest.csv").write_text("other\n")
    assert run(str(second), "--overwrite", "--half") == 0
    _, saved = load_model(package / "tiny")
    assert [entry["corpus"] for entry in saved["card"]["trained_on"]["further"]] == ["second"]
    stored = load_file(package / "tiny.safetensors")
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    assert all(value.dtype != torch.float16 for value in load_model(package / "tiny")[0].parameters())
    assert run("--overwrite") == 0
    pairs = tuple(PairInfo(name, 16000, 4.0) for name in "ab")
    systems = tuple(
        System(kind, kind, files=(FileScores("a", {"pesq_wb": low}), FileScores("b", {"pesq_wb": None})))
        for kind, low in (("noisy", 1.2345), ("model", 2.0))
    )
    found = Results("benchmark", "", (), SetInfo("dsn-test", pairs=pairs), systems, (MetricInfo("pesq_wb"),))
    write_results(tmp_path / "results.json", found)
    assert run("--overwrite", "--results", str(tmp_path / "results.json")) == 0
    assert main(["info", "--model", str(package / "tiny.json")]) == 0
    text = capsys.readouterr().out
    assert "| `pesq_wb` | 1.234 | 2.000 |" in text and "## Limits" in text and "licence: MIT" in text
    assert run("--overwrite", "--results", str(tmp_path / "none.json")) == 1
    assert "none.json" in capsys.readouterr().err
    checkpoint.write_bytes(b"nothing")
    assert run("--overwrite") == 1


RECIPES = {
    "base": ["base_16k.yaml"],
    "small": ["base_16k.yaml", "sizes/small.yaml"],
    "belz": ["belz_unet.yaml"],
    "paper-1d": ["diffgmm_1d.yaml"],
}


@pytest.mark.parametrize("name", available_models())
def test_the_recipe_of_a_shipped_model_makes_its_network(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = [argument for file in RECIPES[name] for argument in ("--config", str(EXPERIMENTS / file))]
    assert main(["fit", *layers, "--print_config"]) == 0
    recipe = yaml.safe_load(capsys.readouterr().out)["model"]
    shipped = load_model(PACKAGE / name)[1]
    parts = shipped["model"]["init_args"]
    assert recipe["network"]["init_args"] == parts["network"]["init_args"]
    assert recipe["head"]["init_args"] == parts["head"]["init_args"]
    assert recipe["losses"] == shipped["card"]["losses"]
