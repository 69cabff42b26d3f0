"""The experiments' own parts: Belz's rules and network by known answers, the overrides that the files' heads show."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from torch import nn

from data_modules.noisy_speech import NoisySpeech
from diffgmm.cli.main import main
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.process import Blend
from diffgmm.diffusion.representation import RULES, Learned, Magnitude
from diffgmm.diffusion.saving import build, describe, load_model, save_model
from diffgmm.inference import Denoiser
from diffgmm.networks import BelzUNet, Network, UNet

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def network_of(name: str) -> Network:
    told = yaml.safe_load((EXPERIMENTS / name).read_text(encoding="utf-8"))["model"]["network"]
    return BelzUNet(**told["init_args"]) if "class_path" in told else UNet(**told)


def test_wiener_is_the_square_of_the_direct_gain_and_never_amplifies() -> None:
    speech, noise = torch.tensor([1.0, 4.0, 0.25]), torch.tensor([1.0, 1.0, 2.0])  # powers, which add
    y, s = (10 * torch.log10(power).reshape(1, 1, -1, 1) for power in (speech + noise, speech))
    direct = Magnitude(8000, 255, 63, belz=True)
    wiener = Magnitude(8000, 255, 63, belz=True, rule="wiener")
    assert torch.allclose(direct.remove(y, y - s), s, atol=1e-5)
    gain = 10 ** ((wiener.remove(y, y - s) - y) / 20)
    assert torch.allclose(gain.flatten(), speech / (speech + noise), atol=1e-5)
    assert torch.equal(wiener.remove(y, -torch.ones_like(y)), y)


def test_the_learned_rule_starts_as_the_subtraction_and_finds_another_one() -> None:
    rule = Learned(2)
    y, n = torch.randn(4, 1, 2, 8), torch.randn(4, 1, 2, 8)
    assert torch.equal(rule(y, n), y - n)
    wanted = y - (torch.tensor([[0.5], [2.0]]) * n + torch.tensor([[1.0], [-3.0]]))
    for _ in range(200):
        loss = (rule(y, n) - wanted).square().mean()
        with torch.no_grad():  # by hand: the first optimizer of a process costs seconds
            for p, slope in zip(
                rule.parameters(), torch.autograd.grad(loss, [*rule.parameters()]), strict=True
            ):
                p -= 0.8 * slope
    assert torch.allclose(rule.factor.flatten(), torch.tensor([0.5, 2.0]), atol=0.01)
    assert torch.allclose(rule.offset.flatten(), torch.tensor([1.0, -3.0]), atol=0.01)


def test_rules_are_refused_where_they_make_no_sense() -> None:
    with pytest.raises(ValueError, match="rule must be one of subtract, wiener, learned, got 'other'"):
        Magnitude(rule="other")
    with pytest.raises(ValueError, match="rules need db"):
        Magnitude(scaling="power", rule="wiener")
    assert Magnitude().rule is None


@pytest.mark.parametrize("rule", RULES)
def test_a_model_with_a_rule_is_saved_and_denoises_by_it(rule: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MixtureDenoiser(
        Magnitude(8000, 255, 63, belz=True, rule=rule),
        UNet([4, 6], [[4, 2], [2, 2]], 4),
        MixtureHead(1),
        Blend(),
    ).eval()
    noisy = 0.1 * torch.randn(1, 1, 8064)
    representation = model.representation
    context = representation.context(noisy)
    y = representation.encode(noisy, context)
    n = model.posterior(y, y, torch.ones(1)).mean()
    taken = {"subtract": n, "wiener": 2 * n.clamp_min(0), "learned": n}[rule]
    expected = representation.decode(y - taken, context)
    assert torch.allclose(model.enhance(noisy).waveform, expected, atol=1e-5)
    save_model(tmp_path / "m", model, {}, {"nfe": 1, "estimate": "mean"})
    again, _ = load_model(tmp_path / "m")
    assert torch.equal(again.enhance(noisy).waveform, model.enhance(noisy).waveform)


def test_descriptions_from_before_the_options_still_load() -> None:
    told = describe(
        MixtureDenoiser(Magnitude(8000, 255, 63, belz=True), UNet([4], [[4, 2]], 4), MixtureHead(1))
    )
    new = {
        "network": ("input_layers", "dropout"),
        "representation": ("rule",),
    }
    for part, names in new.items():
        for name in names:
            del told["init_args"][part]["init_args"][name]
    build(told)


def test_belz_network_is_the_published_one() -> None:
    net = network_of("belz_unet.yaml")
    net.attach(1)
    encoder = [m for level in net.down for m in level.modules() if isinstance(m, nn.Conv2d)]
    assert len(encoder) == 10 and all(m.kernel_size == (3, 3) for m in encoder)
    assert [m.out_channels for m in encoder] == [16, 16, 32, 32, 64, 64, 128, 128, 256, 256]
    assert sum(isinstance(m, nn.MaxPool2d) for m in net.modules()) == 4
    assert [level.dropout is not None for level in net.down] == [False, False, False, True, True]
    bottom = []
    net.down[-1].register_forward_hook(lambda module, inputs, output: bottom.append(output.shape))
    assert net.eval()(torch.zeros(1, 1, 128, 128), torch.ones(1)).shape == (1, 2, 128, 128)
    assert bottom[0] == (1, 256, 8, 8)
    decoder = [m for level in net.up for m in level.modules() if isinstance(m, nn.Conv2d)]
    # (taps, channels in, channels out) of his model_unet.py, up6 to the last but one of conv9
    published = [
        (2, 256, 128),
        (3, 256, 128),
        (3, 128, 128),
        (2, 128, 64),
        (3, 128, 64),
        (3, 64, 64),
        (2, 64, 32),
    ]
    published += [(3, 64, 32), (3, 32, 32), (2, 32, 16), (3, 32, 16), (3, 16, 16), (3, 16, 2)]
    found = [(m.kernel_size[0], m.in_channels, m.out_channels) for m in decoder]
    assert sorted(found) == sorted(published)
    assert sum(p.numel() for p in net.parameters()) == 1_941_090  # of 1,941,093: three are in the head


def test_tanh_bounds_the_means_in_scaled_units() -> None:
    head = MixtureHead(2, "tanh")
    head.attach(3, 1, 2)
    found = head(100 * torch.randn(1, 3, 4, 5), torch.zeros(1, 1, 4, 5), torch.zeros(1, 1, 4, 5))
    assert found.means.abs().max() <= 1.0 and found.means.abs().max() > 0.9


def test_the_paper_network_has_three_input_layers_and_four_levels() -> None:
    net = network_of("diffgmm_1d.yaml")
    net.attach(1)
    linear = [m for m in net.inputs.modules() if isinstance(m, nn.Conv1d)]
    assert [m.kernel_size for m in linear] == [(1,)] * 3 and len(net.down) == 4
    assert net.eval()(torch.zeros(1, 1, 1000), torch.ones(1)).shape == (1, 32, 1000)


@pytest.mark.parametrize("kind", [UNet, BelzUNet])
def test_both_train_on_any_size(kind: type[UNet] | type[BelzUNet]) -> None:
    for kernel, strides, shape in (([3, 3], [[1, 1], [2, 2]], (13, 9)), ([5], [[2], [3]], (31,))):
        net = kind([4, 6], strides, 4, kernel=kernel, dropout=0.5)
        net.attach(1)
        out = net(torch.randn(2, 1, *shape), torch.rand(2))
        assert out.shape == (2, 4, *shape)
        out.square().mean().backward()
        assert not [name for name, p in net.named_parameters() if p.grad is None]


def test_options_are_checked() -> None:
    for kind in (UNet, BelzUNet):
        with pytest.raises(ValueError, match=r"dropout 1\.5 out of range"):
            kind(dropout=1.5)


def fit(folder: Path, name: str, *more: str) -> Path:
    arguments = [
        "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1", "--trainer.max_epochs=1",
        f"--trainer.default_root_dir={folder}", "--trainer.logger=false", "--trainer.enable_progress_bar=false",
    ]  # fmt: skip
    assert main(["fit", "--config", str(EXPERIMENTS / name), *arguments, *more]) == 0
    (checkpoint,) = folder.rglob("last.ckpt")
    return checkpoint


MINI = ("--data.corpus=mini", "--data.valid_pairs=2", "--data.num_workers=0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "nfe"),
    [("diffgmm_1d.yaml", 4), ("belz_unet.yaml", 1), ("sgmse_like.yaml", 8), ("predictive.yaml", 1)],
)
def test_a_trained_experiment_goes_into_the_benchmark(
    name: str, nfe: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = fit(tmp_path, name, *MINI, "--data.batch_size=2")
    noise = np.random.default_rng(0).normal(size=16000).astype("float32") * 0.05
    for folder, x in (
        ("clean", np.sin(np.arange(16000) / 9)),
        ("noisy", np.sin(np.arange(16000) / 9) + noise),
    ):
        (tmp_path / "set" / folder).mkdir(parents=True)
        soundfile.write(tmp_path / "set" / folder / "a.wav", 0.3 * x, 16000)
    assert Denoiser.from_pretrained(str(checkpoint)).denoise(noise, 16000).shape == noise.shape
    arguments = [
        "--set",
        "set",
        "--models",
        f"own={checkpoint}",
        "--baselines",
        "none",
        "--metrics",
        "si_sdr",
    ]
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path / "home"))
    assert main(["benchmark", *arguments, "--timing", "skip", "--jobs", "1", "-o", "out"]) == 0
    scores = (tmp_path / "out" / "scores.csv").read_text()
    assert f"own-nfe{nfe}-mean" in scores


@pytest.mark.slow
def test_the_paper_at_48_khz_and_on_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    high = (
        "--data.sample_rate=48000", "--data.window=49152", "--model.representation.init_args.sample_rate=48000",
        "--model.network.strides=[[6],[4],[4],[4]]",
    )  # fmt: skip
    checkpoint = fit(tmp_path / "high", "diffgmm_1d.yaml", *MINI, *high, "--data.batch_size=2")
    assert load_model(checkpoint)[1]["sample_rate"] == 48000
    from data_modules.offline.pair_folder import write_pairs

    write_pairs(tmp_path / "pairs", "test", 2, seconds=1.5, snrs=(5.0,))
    folders = [f"--data.{split}{kind}={tmp_path / 'pairs' / kind}" for split in ("", "valid_") for kind in
               ("clean", "noisy")]  # fmt: skip
    fit(tmp_path / "paired", "diffgmm_1d.yaml", "--data=data_modules.paired.PairedFolders",
        *folders, "--data.batch_size=2", "--data.epoch_size=2", "--data.num_workers=0")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["wiener", "learned"])
def test_belz_trains_with_every_rule(rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = fit(
        tmp_path, "belz_unet.yaml", *MINI, "--data.batch_size=2", f"--model.representation.init_args.rule={rule}",
        "--model.losses={noise_huber: 1.0, spectrum: 1.0}",
    )  # fmt: skip
    model, _ = load_model(checkpoint)
    moved = math.fsum(float((p - p.round()).detach().abs().sum()) for p in model.representation.parameters())
    assert (moved > 0) == (rule == "learned")


@pytest.mark.slow
def test_belz_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another optimizer's weight decay all weights went to zero, and every bin got the same value."""
    monkeypatch.chdir(tmp_path)
    checkpoint = fit(
        tmp_path, "belz_unet.yaml", *MINI, "--data.batch_size=8", "--trainer.limit_train_batches=200",
        "--model.network.init_args.channels=[4, 8, 16, 32, 64]", "--model.network.init_args.dropout=0.1",
    )  # fmt: skip
    model, _ = load_model(checkpoint)
    data = NoisySpeech("mini", sample_rate=8000, window=8064, batch_size=16, valid_pairs=16, num_workers=0)
    data.setup("validate")
    loaders = data.val_dataloader()
    batch = next(iter(loaders[0] if isinstance(loaders, list) else loaders))
    with torch.no_grad():
        mixture, noise = model.posterior_and_target(batch["noisy"], batch["clean"])
    estimate = mixture.mean()
    assert estimate.std() > 3.0  # dB; one value for all would have none
    correlation = float(torch.corrcoef(torch.stack([estimate.flatten(), noise.flatten()]))[0, 1])
    assert correlation > 0.5
    assert (estimate - noise).abs().mean() < 0.85 * (noise - noise.median()).abs().mean()


def test_belz_aims_at_noise_between_spectrograms_of_their_own_references() -> None:
    told = yaml.safe_load((EXPERIMENTS / "belz_unet.yaml").read_text(encoding="utf-8"))["model"]
    representation = Magnitude(**told["representation"]["init_args"])
    generator = torch.Generator().manual_seed(1)
    clean = 0.01 * torch.randn(2, 1, 8064, generator=generator)
    noisy = clean + 0.1 * torch.randn(2, 1, 8064, generator=generator)
    context = representation.context(noisy)
    for spectrogram in (representation.encode(noisy, context), representation.target(clean, context)):
        assert torch.allclose(spectrogram.amax(dim=(1, 2, 3)), torch.zeros(2), atol=1e-4)
    shared = Magnitude(8000, 255, 63, belz=True)
    assert shared.target(clean, context).amax() < -10
    with pytest.raises(ValueError, match="reference must be one of noisy, own"):
        Magnitude(reference="other")


def test_belz_network_starts_as_he_has_it_and_has_keras_slope() -> None:
    torch.manual_seed(0)
    net = network_of("belz_unet.yaml")
    net.attach(1)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.weight.numel() > 10_000]
    assert len(convolutions) > 8
    for layer in convolutions:
        fan_in = layer.in_channels * math.prod(layer.kernel_size)
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.03)
        assert layer.bias is not None and not layer.bias.any()
    assert {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)} == {0.3}


def test_belz_denoises_in_windows_of_his_training(tmp_path: Path) -> None:
    told = yaml.safe_load((EXPERIMENTS / "belz_unet.yaml").read_text(encoding="utf-8"))["model"]
    representation = Magnitude(**told["representation"]["init_args"])
    model = MixtureDenoiser(representation, UNet([4, 6], [[4, 2], [2, 2]], 4), MixtureHead(1), Blend()).eval()
    save_model(tmp_path / "m", model, {}, {"nfe": 1, "estimate": "mean"})
    lengths = set()
    denoiser = Denoiser.from_pretrained(tmp_path / "m.json")
    loaded: Any = denoiser.model
    loaded.network.register_forward_pre_hook(lambda module, inputs: lengths.add(inputs[0].shape[-1]))
    denoiser.denoise(np.random.default_rng(0).standard_normal(40000).astype(np.float32) * 0.1, 8000)
    assert lengths == {128, 129}  # the last window starts on a frame and may be up to one longer


def test_belz_rate_is_constant() -> None:
    told = yaml.safe_load((EXPERIMENTS / "belz_unet.yaml").read_text(encoding="utf-8"))["model"]
    assert "lr_scheduler" not in told and told["optimizer"] == {
        "class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3},
    }  # fmt: skip
