"""Losses: hand-computed cases, closed forms, and behaviour on silence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import yaml

from diffgmm.cli.main import main
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.process import Blend, Bridge, Process
from diffgmm.diffusion.representation import Complex, Waveform
from diffgmm.diffusion.saving import load_model
from diffgmm.training.losses import LOSSES, SNR, LossInputs, Pesq, Spectrum, WeightedLoss, described
from diffgmm.training.module import DiffGMM

ROOT = Path(__file__).parents[2]
FOREIGN, MINI = ROOT / "tests" / "foreign", ROOT / "experiments" / "mini.yaml"


def inputs(
    process: Process | None = None, scale: float = 0.5, t: float = 0.6, tau: float = 0.2
) -> LossInputs:
    process = process or Bridge(0.5)
    g = torch.Generator().manual_seed(0)
    clean_wave, noise_wave = (torch.randn(3, 1, 16000, generator=g) * 0.1 for _ in range(2))
    representation = Waveform()
    context = representation.context(clean_wave + noise_wave)
    noisy, clean = (representation.encode(w, context) for w in (clean_wave + noise_wave, clean_wave))
    noise, time, t_next = noisy - clean, torch.full((3,), t), torch.full((3,), tau)
    state = process.state(clean, noise, time, torch.randn(noisy.shape, generator=g))
    step = process.reverse(state, noisy, time, t_next)
    following = (
        step.offset + step.factor * noise + step.variance.sqrt() * torch.randn(noisy.shape, generator=g)
    )
    shape = (3, 2, 16000)
    means = torch.randn(3, 2, 1, 16000, generator=g).requires_grad_()
    mixture = GaussianMixture(torch.zeros(shape), means, torch.full(shape, math.log(scale)))
    return LossInputs(
        mixture, noise, noisy, state, following, time, t_next, process, representation, context, clean_wave
    )


# Balance sees no means, and every waveform is consistent.
@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"pesq", "dnsmos", "balance", "consistency"}))
def test_every_loss_is_a_finite_scalar_with_gradient(name: str) -> None:
    x = inputs()
    loss = LOSSES[name]()(x)
    assert loss.shape == () and torch.isfinite(loss)
    loss.backward()
    gradient = x.mixture.means.grad
    assert gradient is not None and torch.isfinite(gradient).all() and gradient.any()


def test_elbo_of_the_blend_is_the_nll_up_to_the_step_size() -> None:
    x = inputs(Blend())
    torch.testing.assert_close(LOSSES["elbo"]()(x), LOSSES["nll"]()(x) + math.log(0.4), atol=1e-4, rtol=1e-4)


def test_elbo_of_one_component_is_the_gaussian_closed_form() -> None:
    x = inputs()
    x.mixture = GaussianMixture(x.mixture.logits[:, :1], x.mixture.means[:, :1], x.mixture.log_scales[:, :1])
    t, tau, c = 0.6, 0.2, 0.5
    r = (t - tau) / t
    mean = x.state - r * (x.state - x.noisy + x.mixture.means[:, 0])
    variance = r**2 * 0.25 + c**2 * tau * (t - tau) / t
    assert x.next_state is not None
    expected = 0.5 * ((x.next_state - mean) ** 2 / variance + math.log(2 * math.pi * variance)).mean()
    torch.testing.assert_close(LOSSES["elbo"]()(x), expected, atol=1e-4, rtol=1e-4)


def test_true_noise_as_answer_gives_zero_errors_and_limited_si_sdr() -> None:
    x = inputs()
    x.mixture = GaussianMixture(
        x.mixture.logits, x.noise.unsqueeze(1).expand(-1, 2, -1, -1), x.mixture.log_scales
    )
    for name in ("noise_l1", "noise_huber", "spectrum", "multi_resolution_stft"):
        assert LOSSES[name]()(x).item() == pytest.approx(0.0, abs=1e-4)
    for name in ("si_sdr", "snr"):
        assert LOSSES[name]()(x).item() == pytest.approx(-30.0, abs=0.1)


def test_si_sdr_is_the_metric_of_that_name_with_a_soft_limit() -> None:
    from diffgmm.metrics import si_sdr

    x = inputs()
    x.clean_wave = x.clean_wave + 0.05  # an offset of the target alone
    noise = torch.randn(x.clean_wave.shape, generator=torch.Generator().manual_seed(1))
    x.__dict__["estimate_wave"] = 2.0 * x.clean_wave + 0.1 * noise - 0.3
    pairs = zip(x.estimate_wave[:, 0].numpy(), x.clean_wave[:, 0].numpy(), strict=True)
    ratios = [10 ** (si_sdr(estimate, clean, 16000) / 10) for estimate, clean in pairs]
    limited = [10 * math.log10(1 / (1 / ratio + 1e-3)) for ratio in ratios]
    assert LOSSES["si_sdr"]()(x).item() == pytest.approx(-sum(limited) / 3, abs=1e-3)


def test_only_snr_minds_the_level() -> None:
    """An answer that leaves 0.9 of the clean signal: a residual of 0.1, 20 dB below it (19.6 with the soft limit)."""
    x = inputs()
    x.__dict__["estimate_wave"] = 0.9 * x.clean_wave
    assert LOSSES["si_sdr"]()(x).item() == pytest.approx(-30.0, abs=0.1)
    assert LOSSES["snr"]()(x).item() == pytest.approx(-10 * math.log10(1 / (0.01 + 1e-3)), abs=1e-2)


def test_silent_targets_are_left_out_of_speech_losses() -> None:
    x = inputs()
    x.clean_wave = torch.zeros_like(x.clean_wave)
    for name in ("si_sdr", "snr"):
        assert LOSSES[name]()(x).item() == 0.0
        LOSSES[name]()(x).backward(retain_graph=True)
    assert x.mixture.means.grad is not None and not torch.isnan(x.mixture.means.grad).any()


def test_weights_add_up_and_zero_leaves_out() -> None:
    x = inputs()
    total, parts = WeightedLoss({"nll": 2.0, "noise_l1": 0.5, "spectrum": 0.0})(x)
    assert set(parts) == {"nll", "noise_l1"}
    torch.testing.assert_close(total.detach(), 2.0 * parts["nll"] + 0.5 * parts["noise_l1"])


def test_unknown_or_empty_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown loss mse; there are nll"):
        WeightedLoss({"mse": 1.0})
    with pytest.raises(ValueError, match="at least one"):
        WeightedLoss({"nll": 0.0})


def test_elbo_of_a_mixture_equals_quadrature_over_the_noise() -> None:
    """-log of the integral of q(n) N(x_tau; s + (tau / t)(x_t - s), c^2 tau (t - tau) / t) over n, s = y - n."""
    x = inputs(Bridge(0.5))
    x.mixture = GaussianMixture(
        torch.tensor([0.3, -0.4]).reshape(1, 2, 1).expand(3, 2, 16000), x.mixture.means, x.mixture.log_scales
    )
    t, tau, c, axis = 0.6, 0.2, 0.5, torch.linspace(-9.0, 9.0, 20001, dtype=torch.float64)
    assert x.next_state is not None
    total = []
    for place in range(40):
        q = [
            v[0, ..., place].detach().double() for v in (x.mixture.weights, x.mixture.means, x.mixture.scales)
        ]
        prior = sum(
            w * torch.exp(-0.5 * ((axis - m) / s) ** 2) / (s * math.sqrt(2 * math.pi))
            for w, m, s in zip(q[0], q[1][:, 0], q[2], strict=True)
        )
        y, x_t, x_tau = (v[0, 0, place].double() for v in (x.noisy, x.state, x.next_state))
        clean, variance = y - axis, c**2 * tau * (t - tau) / t
        mean = clean + tau / t * (x_t - clean)
        step = torch.exp(-0.5 * (x_tau - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)
        total.append(-torch.trapezoid(prior * step, axis).log())
    transition = x.process.reverse(x.state, x.noisy, x.time, x.next_time)
    found = x.mixture.affine(
        transition.factor.squeeze(1), transition.offset, transition.variance.squeeze(1)
    ).nll(x.next_state)
    torch.testing.assert_close(found[0, :40].double(), torch.stack(total), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(LOSSES["elbo"]()(x), found.mean())


def test_the_papers_loss_is_elbo_plus_noise_prediction() -> None:
    x = inputs()
    total, parts = WeightedLoss({"elbo": 1.0, "noise_l1": 1.0})(x)
    torch.testing.assert_close(
        total.detach(), (LOSSES["elbo"]()(x) + (x.noise - x.mean).abs().mean()).detach()
    )
    assert set(parts) == {"elbo", "noise_l1"}


def test_balance_is_zero_in_equal_use_and_pulls_dead_components_back() -> None:
    x = inputs()
    equal = GaussianMixture(torch.zeros(3, 2, 16000), torch.zeros(3, 2, 1, 16000), torch.zeros(3, 2, 16000))
    x.mixture = equal
    assert LOSSES["balance"]()(x).item() == pytest.approx(0.0, abs=1e-6)
    shares = torch.tensor([0.9, 0.1])
    x.mixture = GaussianMixture(
        shares.log().reshape(1, 2, 1).expand(3, 2, 16000), equal.means, equal.log_scales
    )
    expected = 0.5 * sum(math.log(0.5 / p) for p in shares.tolist())  # KL(uniform | shares)
    assert LOSSES["balance"]()(x).item() == pytest.approx(expected, rel=1e-5)
    logits = torch.tensor([0.0, -40.0], requires_grad=True)
    x.mixture = GaussianMixture(logits.reshape(1, 2, 1).expand(3, 2, 16000), equal.means, equal.log_scales)
    LOSSES["balance"]()(x).backward()
    assert logits.grad is not None and logits.grad.tolist() == pytest.approx([0.5, -0.5], abs=1e-5)


def test_waveform_losses_of_the_blend_judge_what_its_steps_lead_to() -> None:
    """From a state that another answer made, taking off the noise that is left gives clean speech."""
    x = inputs(Blend())
    x.state = x.state + 0.3
    left = (x.state - (x.noisy - x.noise)) / 0.6
    x.mixture = GaussianMixture(
        x.mixture.logits, left.unsqueeze(1).expand(-1, 2, -1, -1), x.mixture.log_scales
    )
    torch.testing.assert_close(x.estimate_wave, x.clean_wave, atol=1e-5, rtol=1e-4)


def test_waveform_l1_is_relative_to_the_noisy_level() -> None:
    x = inputs()
    x.__dict__["estimate_wave"] = x.clean_wave + 0.25 * x.level
    assert LOSSES["waveform_l1"]()(x).item() == pytest.approx(0.25, abs=1e-6)


def test_consistency_is_zero_for_spectra_of_sounds_alone() -> None:
    representation = Complex(n_fft=62, hop=31, window="sqrt_hann", beta=1.0, alpha=1.0)
    wave = torch.randn(2, 1, 3100, generator=torch.Generator().manual_seed(0)) * 0.1
    context = representation.context(wave)
    of_a_sound = representation.encode(wave, context)
    x = inputs()
    x.representation, x.context, x.noisy = representation, context, of_a_sound
    for spread, consistent in ((0.0, True), (1.0, False)):
        noise = (
            spread * torch.randn(of_a_sound.shape, generator=torch.Generator().manual_seed(1))
        ).requires_grad_()
        for name in ("mean", "estimate", "estimate_wave"):
            x.__dict__.pop(name, None)
        x.__dict__["mean"] = noise
        loss = LOSSES["consistency"]()(x)
        assert (loss.item() < 1e-10) == consistent
    # Half of what an oversampled transform of noise holds belongs to no sound.
    assert 0.2 < loss.item() < 0.8
    loss.backward()
    assert noise.grad is not None and noise.grad.abs().max() > 0


def test_settings_change_a_loss_and_come_back_from_its_description() -> None:
    x = inputs()
    soft = WeightedLoss({"nll": 0.5, "sharp": Spectrum(2.0, exponent=0.5), "snr": SNR(limit=20.0)})
    _, parts = soft(x)
    assert set(parts) == {"nll", "sharp", "snr"}
    assert parts["sharp"] != Spectrum()(x)
    assert {name: loss.weight for name, loss in soft.losses.items()} == {"nll": 0.5, "sharp": 2.0, "snr": 1.0}
    plain = json.loads(json.dumps(soft.description()))
    assert plain["nll"] == 0.5 and plain["sharp"]["init_args"]["exponent"] == 0.5
    assert WeightedLoss(described(plain)).losses == soft.losses


def test_the_limit_is_where_a_perfect_answer_ends() -> None:
    x = inputs()
    x.__dict__["estimate_wave"] = x.clean_wave.clone()
    assert SNR(limit=20.0)(x).item() == pytest.approx(-20.0, abs=0.01)


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_a_weight_that_makes_no_sense_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight of NLL"):
        WeightedLoss({"nll": weight})


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_is_a_part_of_the_windows(share: float) -> None:
    with pytest.raises(ValueError, match="share of Pesq"):
        Pesq(share=share)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"class_path": "diffgmm.cli.main.main"}, "diffgmm"),
        ({"class_path": "os.system", "init_args": {"command": "true"}}, "--trust os"),
        ({"class_path": "diffgmm.training.losses.SNR", "init_args": {"depth": 1}}, "can't be made"),
        ({}, "None"),
    ],
)
def test_a_file_names_known_losses_only(value: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        described({"mine": value})


def test_a_foreign_loss_trains_and_comes_back_with_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOREIGN))
    config = {"class_path": "foreign_losses.Loudest", "init_args": {"weight": 0.1, "power": 1.5}}
    arguments = [
        "fit", "--config", str(MINI), "--trainer.max_steps=1", "--trainer.callbacks=null",
        "--trainer.num_sanity_val_steps=0", "--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false",
        f"--trainer.default_root_dir={tmp_path}", "--trainer.logger=false", "--data.batch_size=2",
        "--data.epoch_size=4", "--data.window=8192",
        f"--model.losses={json.dumps({'nll': 1.0, 'mine': config})}",
    ]  # fmt: skip
    assert main(arguments) == 0
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    with pytest.raises(ModelError, match="--trust foreign_losses"):
        DiffGMM.from_checkpoint(checkpoint)
    loss = DiffGMM.from_checkpoint(checkpoint, trust=["foreign_losses"]).loss.losses["mine"]
    assert type(loss).__name__ == "Loudest" and loss.weight == 0.1
    load_model(checkpoint)  # denoising needs no losses, and so no trust


def test_losses_of_several_configurations_add_up_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spectrum = {"class_path": "diffgmm.training.losses.Spectrum", "init_args": {"weight": 2e-3}}
    second = {"model": {"losses": {"spectrum": spectrum, "si_sdr": 0, "snr": 0.1}}}
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(second), encoding="utf-8")
    command = ["fit", "--config", str(MINI), f"--config={tmp_path / 'second.yaml'}", "--model.losses.nll=0.5"]
    assert main([*command, "--print_config"]) == 0
    losses = yaml.safe_load(capsys.readouterr().out)["model"]["losses"]
    assert {name: losses[name] for name in ("nll", "noise_l1", "si_sdr", "snr")} == {
        "nll": 0.5, "noise_l1": 1.0, "si_sdr": 0.0, "snr": 0.1,
    }  # fmt: skip
    assert losses["spectrum"]["init_args"]["weight"] == 2e-3 and len(losses) == 5


def test_windows_count_by_their_weight() -> None:
    x = inputs()
    alone = (x.noise - x.mean).abs().flatten(1).mean(1)
    x.weight = torch.tensor([2.0, 1.0, 0.0])
    assert LOSSES["noise_l1"]()(x).item() == pytest.approx(((2 * alone[0] + alone[1]) / 3).item(), rel=1e-5)


def test_speech_losses_are_means_over_the_windows_with_speech() -> None:
    """Speech 60 dB below the noisy level is none, 40 dB below it is some."""
    x = inputs()
    x.__dict__["estimate_wave"] = 0.9 * x.clean_wave + 0.01
    whole = LOSSES["si_sdr"]()(x)
    level = float(x.level.flatten()[2])
    quiet = x.clean_wave.clone()
    for below, heard in ((40, 3), (60, 2)):
        quiet[2] = x.clean_wave[2] / x.clean_wave[2].square().mean().sqrt() * level * 10 ** (-below / 20)
        y = inputs()
        y.clean_wave = quiet
        assert int(y.audible.sum()) == heard
    y.__dict__["estimate_wave"] = x.estimate_wave.clone()
    y.estimate_wave[2] = torch.randn(16000)
    two = inputs()
    two.clean_wave, two.context = x.clean_wave[:2], two.representation.context(two.clean_wave[:2])
    two.__dict__["estimate_wave"] = x.estimate_wave[:2]
    assert LOSSES["si_sdr"]()(y).item() == pytest.approx(LOSSES["si_sdr"]()(two).item(), abs=1e-4)
    assert whole.isfinite()


def test_noise_huber_is_in_the_units_of_the_network() -> None:
    x = inputs()
    x.representation.noise_affine = (0.25, 0.0)
    gap = 0.25 * (x.noise - x.mean).abs()
    wanted = torch.where(gap < 1.0, 0.5 * gap.square(), gap - 0.5).mean()
    assert LOSSES["noise_huber"]()(x).item() == pytest.approx(wanted.item(), rel=1e-5)


def spectra(x: LossInputs, size: int, hop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Complex spectra of estimate and clean speech, relative to the noisy level; white noise keeps its variance."""
    taps = torch.hann_window(size)
    waves = (x.estimate_wave[:, 0], x.clean_wave[:, 0])
    a, b = (torch.stft(w / x.level[:, 0], size, hop, window=taps, return_complex=True) for w in waves)
    return a / taps.sum().sqrt(), b / taps.sum().sqrt()


def test_spectrum_is_braun_and_tashevs_with_magnitude_and_phase() -> None:
    x = inputs()
    x.__dict__["estimate_wave"] = x.clean_wave + 0.05 * torch.randn(
        x.clean_wave.shape, generator=torch.Generator().manual_seed(2)
    )
    a, b = (torch.polar(v.abs().clamp_min(1e-4) ** 0.3, v.angle()) for v in spectra(x, 512, 128))
    wanted = 0.7 * (a.abs() - b.abs()).square().mean() + 0.3 * (a - b).abs().square().mean()
    assert LOSSES["spectrum"]()(x).item() == pytest.approx(wanted.item(), rel=1e-3)


def test_multi_resolution_stft_is_convergence_plus_log_distance() -> None:
    x = inputs()
    x.__dict__["estimate_wave"] = 1.5 * x.clean_wave
    wanted = 0.5 + math.log(1.5)  # |A - B| / |B| and |log A - log B|, at each resolution
    assert LOSSES["multi_resolution_stft"]()(x).item() == pytest.approx(wanted, rel=1e-3)


def test_a_listener_hears_its_share_of_the_windows_with_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    x = inputs()
    windows: list[torch.Tensor] = []
    monkeypatch.setattr(Pesq, "judged", lambda _, *given: windows.extend(given[:2]))
    Pesq(share=0.4)(x)
    assert windows[0].shape == windows[1].shape == (2, 16000)
    rms = (x.clean_wave / x.level)[0, 0].square().mean().sqrt() * 0.1
    assert windows[0][0].square().mean().sqrt().item() == pytest.approx(rms.item(), rel=1e-5)
