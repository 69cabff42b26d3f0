"""The temperature: found where it is known, saved without touching anything else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from diffgmm.cli.main import main
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.evaluation.calibration import CRITERIA, Criterion, Posteriors, collect, fit, score
from diffgmm.inference import Denoiser
from diffgmm.networks import UNet


def too_sure(factor: float) -> Posteriors:
    """Mixtures of two components, and truths drawn from the same ones ``factor`` times as wide."""
    torch.manual_seed(0)
    means = torch.randn(4, 2, 2, 16, 40)
    found = GaussianMixture(torch.randn(4, 2, 16, 40), means, torch.randn(4, 2, 16, 40) - 1.0)
    truth = found.tempered(factor).sample(torch.Generator().manual_seed(1))
    return [(found, truth)]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_a_known_temperature_is_found(criterion: Criterion, factor: float) -> None:
    posteriors = too_sure(factor)
    temperature = fit(posteriors, criterion)
    assert temperature == pytest.approx(factor, rel=0.1 if criterion == "coverage" else 0.06)
    before, after = score(posteriors), score(posteriors, temperature)
    assert after.error < 0.02 < before.error
    assert after.crps < before.crps and after.nll < before.nll
    for level, share in after.coverage.items():
        assert share == pytest.approx(float(level) / 100, abs=0.02)


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="no posteriors"):
        score([])
    with pytest.raises(ValueError, match="criterion must be one of"):
        fit(too_sure(1.0), "luck")  # type: ignore[arg-type]


def test_posteriors_are_those_of_the_model() -> None:
    torch.manual_seed(0)
    model = MixtureDenoiser(
        Complex(hop=255, window="sqrt_hann"), UNet([6, 8], [[4, 1], [4, 1]], features=4)
    ).eval()
    noisy = 0.1 * torch.randn(2, 1, 8000)
    ((found, noise),) = collect(model, [{"noisy": noisy, "clean": 0.5 * noisy}], every=3)
    posterior = model.enhance(noisy).posterior
    assert posterior is not None
    torch.testing.assert_close(found.means, posterior.means[..., ::3])
    assert noise.shape == (2, 2, 256, found.means.shape[-1])


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = UNet([6, 8], [[4, 1], [4, 1]], features=4)
    stem = tmp_path / "tiny"
    save_model(
        stem, MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), network), {"name": "tiny"}, {"nfe": 1}
    )
    return stem


def test_command(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["calibrate", "--model", f"{tiny}.json", "--data", "mini", "--pairs", "2"]
    assert main([*command, "--test"]) == 0
    out = capsys.readouterr().out
    assert out.count("valid ") == out.count("test ") == 2 and "tiny.calibrated.json" in out
    described = json.loads((tmp_path / "tiny.calibrated.json").read_text())
    temperature = described["sampler"]["temperature"]
    assert described["sampler"]["nfe"] == 1 and described["card"]["name"] == "tiny"
    record = described["card"]["calibration"]
    assert record["temperature"] == temperature != 1.0 and record["fitted_on"] == "valid"
    scores = record["scores"]["valid"]
    assert scores[1]["crps"] < scores[0]["crps"] and set(record["scores"]) == {"valid", "test"}
    # the calibrated model gives what it gave, and is wider by the temperature
    one, other = (Denoiser.from_pretrained(tmp_path / f"{name}.json") for name in ("tiny", "tiny.calibrated"))
    x = np.random.default_rng(0).uniform(-0.1, 0.1, 5000).astype(np.float32)
    np.testing.assert_array_equal(one.denoise(x, 16000), other.denoise(x, 16000))
    assert other.options().temperature == temperature
    assert load_model(tmp_path / "tiny.calibrated")[1]["card"]["calibration"] == record
    # nothing is replaced unasked
    before = (tmp_path / "tiny.calibrated.json").read_bytes()
    assert main(command) == 2
    assert "exists already; --overwrite replaces it" in capsys.readouterr().err
    assert (tmp_path / "tiny.calibrated.json").read_bytes() == before
    assert (
        main([*command, "--overwrite", "--criterion", "nll", "-o", f"{tiny}.json"]) == 0
    )  # the model itself
    assert json.loads(tiny.with_suffix(".json").read_text())["sampler"]["temperature"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}{suffix}" for name in ("tiny", "tiny.calibrated") for suffix in (".json", ".safetensors")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nobody", "--data", "mini"], "unknown model 'nobody'"),
        (["--data", "no_such_corpus"], "no_such_corpus"),
        (["--data", "mini", "--pairs", "0"], "must be a whole number from 1"),
        ([], "--data"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate", *arguments]) in (1, 2)
    err = capsys.readouterr().err
    assert message in err and len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
