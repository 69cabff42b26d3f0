"""Uncertainty as an output: at the level of the sound, aligned with it, the same in pieces, and ranking real errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from diffgmm import audio
from diffgmm.cli.main import main
from diffgmm.diffusion.expected_error import FRAME, bin_errors, expected_error, frame_count, frame_hop
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.model import Enhanced, MixtureDenoiser
from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.representation import Complex, Magnitude, Representation, Waveform
from diffgmm.diffusion.saving import save_model
from diffgmm.inference import Denoiser
from diffgmm.inference.uncertainty import UncertainStream
from diffgmm.networks import UNet


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def mixture_model(representation: Representation | None = None) -> MixtureDenoiser:
    torch.manual_seed(0)
    if isinstance(representation, Waveform):
        return MixtureDenoiser(representation, UNet([4, 6], [[4], [2]], kernel=[5]))
    representation = representation or Complex(hop=255, window="sqrt_hann")
    return MixtureDenoiser(representation, UNet([6, 8], [[4, 1], [4, 1]], features=4))


def white(channels: int, samples: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.3])
def test_expected_error_is_that_of_draws(alpha: float) -> None:
    """Two components, bins from far from zero to around zero; the reference is a million draws."""
    torch.manual_seed(0)
    representation = Complex(alpha=alpha)
    wave = torch.zeros(1, 1, 1000)
    wave[..., 0] = 1.0
    context = representation.context(wave)._replace(level=torch.full((1, 1, 1), 0.5))
    noisy = torch.tensor([[1.5, 0.3, 0.0], [0.2, -0.4, 0.05]]).view(1, 2, 3, 1)
    posterior = GaussianMixture(
        torch.log(torch.tensor([0.7, 0.3])).view(1, 2, 1, 1).expand(1, 2, 3, 1),
        torch.tensor([[0.2, 0.1], [-0.5, 0.4]]).view(1, 2, 2, 1, 1).expand(1, 2, 2, 3, 1),
        torch.log(torch.tensor([0.1, 0.3])).view(1, 2, 1, 1).expand(1, 2, 3, 1),
    )
    output = torch.tensor([0.4 + 0.1j, 0.1j, 0.0]).view(1, 3, 1)
    told = expected_error(representation, noisy, output, posterior, context)
    many = 200_000
    wide = GaussianMixture(*(part.expand(many, *part.shape[1:]) for part in (
        posterior.logits, posterior.means, posterior.log_scales
    )))  # fmt: skip
    drawn = representation.spectrum(noisy - wide.sample(torch.Generator().manual_seed(1)), context)
    seen = (drawn - output).abs().square().mean(0)
    torch.testing.assert_close(told[0], seen, rtol=0.03, atol=1e-4)


@pytest.mark.parametrize("window", ["sqrt_hann", "hann"])
@pytest.mark.parametrize("n_fft", [510, 255])
def test_bins_add_up_to_the_waveforms_error(window: str, n_fft: int) -> None:
    """White noise of 0.02 is left in the output, and the mixture knows it: that is the standard deviation told."""
    representation = Complex(n_fft=n_fft, hop=n_fft // 2, window=window, alpha=1.0)
    noisy = torch.from_numpy(white(1, 32000)[None])
    context = representation.context(noisy)
    encoded = representation.encode(noisy, context)
    shape = (1, 1, *encoded.shape[2:])
    per_dimension = 0.02 / float(context.level) / 2**0.5
    # The noise is the noisy sound itself, give or take 0.02: the speech is 0 give or take that.
    posterior = GaussianMixture(
        torch.zeros(shape), encoded[:, None], torch.full(shape, np.log(per_dimension))
    )
    found = bin_errors(representation, noisy, torch.zeros_like(noisy), posterior)
    std = found.error.sum(1).sqrt()[0, 2:-2]
    torch.testing.assert_close(std, torch.full_like(std, 0.02), rtol=0.005, atol=0)
    # and the output's own bins add up to its power
    found = bin_errors(representation, noisy, noisy, posterior)
    rms = float(found.power.sum(1).mean().sqrt())
    assert rms == pytest.approx(0.1, rel=0.02)
    assert found.error.shape == found.power.shape == (1, n_fft // 2 + 1, frame_count(representation, 32000))


def test_waveform_errors_are_those_of_samples() -> None:
    representation = Waveform()
    noisy = torch.from_numpy(white(1, 1000)[None])
    level = float(representation.context(noisy).level)
    posterior = GaussianMixture(
        torch.zeros(1, 1, 1000), (noisy / level)[:, None], torch.full((1, 1, 1000), np.log(0.03 / level))
    )
    found = bin_errors(representation, noisy, torch.full_like(noisy, 0.04), posterior)
    assert found.error.shape == (1, 1, -(-1000 // FRAME) + 1)
    torch.testing.assert_close(found.error.sqrt()[..., :-1], torch.full_like(found.error, 0.05)[..., :-1])


KINDS = {
    "complex": lambda: Complex(hop=255, window="sqrt_hann"),
    "magnitude": lambda: Magnitude(n_fft=255, hop=127, scaling="power"),
    "waveform": lambda: Waveform(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_tracks_are_aligned_and_the_same_in_pieces(kind: str, rate: int) -> None:
    model = mixture_model(KINDS[kind]())
    denoiser = Denoiser(model, window_seconds=0.5, overlap_seconds=0.1)
    x = white(2, round(1.3 * rate))
    x[1] *= 0.1
    whole = denoiser.denoise_with_uncertainty(x, rate)
    np.testing.assert_array_equal(whole.waveform, denoiser.denoise(x, rate))
    stream = UncertainStream(denoiser, rate, 2, denoiser.options())
    pieces = list(stream.run(np.split(x, [1, 700, 5000], axis=1)))
    for name in ("waveform", "std", "confidence"):
        values = getattr(whole, name)
        assert values.shape == x.shape and values.dtype == np.float32 and np.isfinite(values).all()
        np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in pieces], axis=1), values)
    assert (whole.std >= 0).all() and (whole.confidence >= 0).all() and (whole.confidence <= 1).all()
    assert whole.bins is not None
    frames = len(whole.bins.times)
    assert whole.bins.std.shape == (2, len(whole.bins.frequencies), frames)
    assert whole.bins.responsibilities.shape == (2, 3, len(whole.bins.frequencies), frames)
    np.testing.assert_allclose(whole.bins.responsibilities.sum(1), 1.0, rtol=1e-4)
    assert whole.bins.times[1] * denoiser.sample_rate == frame_hop(model.representation)
    assert x.shape[1] / rate <= whole.bins.times[-1] + whole.bins.times[1]
    inside = whole.bins.times < (x.shape[1] - 1) / rate
    at = np.round(whole.bins.times[inside] * rate).astype(int)
    frame_std = np.sqrt(np.square(whole.bins.std).sum(1))[:, inside]
    np.testing.assert_allclose(whole.std[:, at], frame_std, rtol=0.05)


@pytest.mark.parametrize("level", [1e-4, 20.0])
def test_uncertainty_has_the_level_of_the_sound(level: float) -> None:
    denoiser = Denoiser(mixture_model())
    x = white(1, 9000)
    one, other = (denoiser.denoise_with_uncertainty(factor * x, 16000) for factor in (1.0, np.float32(level)))
    np.testing.assert_allclose(other.std, level * one.std, rtol=1e-3)
    np.testing.assert_allclose(other.confidence, one.confidence, atol=1e-3)


@pytest.mark.parametrize("samples", [0, 1, 100, 80000])
def test_silence_is_certain(samples: int) -> None:
    denoiser = Denoiser(mixture_model())
    found = denoiser.denoise_with_uncertainty(np.zeros(samples, np.float32), 16000)
    assert found.std.shape == (samples,) and not found.std.any() and (found.confidence == 1).all()
    x = white(1, 64000)
    x[:, 20000:30000] = 0
    found = denoiser.denoise_with_uncertainty(x, 16000)
    assert not found.std[:, 21000:29000].any() and (found.confidence[:, 21000:29000] == 1).all()
    assert (found.std[:, :19000] > 0).all()


def test_temperature_widens_what_is_told_and_leaves_the_mean() -> None:
    model = mixture_model(Complex(hop=255, window="sqrt_hann", alpha=1.0))
    x = white(1, 9000)
    plain, wide = (
        Denoiser(model, {"sampler": {"temperature": t}}).denoise_with_uncertainty(x, 16000)
        for t in (1.0, 3.0)
    )
    np.testing.assert_array_equal(plain.waveform, wide.waveform)
    assert (wide.std > plain.std).all() and (wide.confidence < plain.confidence).all()


def test_posterior_samples_are_seeded_draws(tmp_path: Path) -> None:
    denoiser = Denoiser(mixture_model())
    x = white(2, 9000)
    draws = denoiser.posterior_samples(x, 16000, 3, nfe=2)
    assert draws.shape == (3, 2, 9000) and len({draw.tobytes() for draw in draws}) == 3
    np.testing.assert_array_equal(draws[2], denoiser.denoise(x, 16000, estimate="sample", nfe=2, seed=2))
    assert denoiser.posterior_samples(x[0], 16000, 1, nfe=1).shape == (1, 9000)
    with pytest.raises(ValueError, match="n must be at least 1"):
        denoiser.posterior_samples(x, 16000, 0)
    found = denoiser.denoise_with_uncertainty(x, 16000, estimate="sample", nfe=2)
    np.testing.assert_array_equal(found.waveform, draws[0])
    found.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["std"], found.std)
        assert set(arrays) >= {
            "waveform",
            "confidence",
            "sample_rate",
            "bins_std",
            "bins_times",
            "bins_frequencies",
        }
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_draws_spread_as_told() -> None:
    """One-step draws lie around the mean as far as the standard deviation says."""
    denoiser = Denoiser(mixture_model(Complex(hop=255, window="sqrt_hann", alpha=1.0)))
    x = white(1, 16000)
    told = denoiser.denoise_with_uncertainty(x, 16000)
    draws = denoiser.posterior_samples(x, 16000, 24, nfe=1)
    spread = float(np.sqrt(np.square(draws - told.waveform).mean()))
    # Bins are drawn independently; half of that is no spectrum of any sound and drops out in the inverse transform.
    assert spread == pytest.approx(float(np.sqrt(np.square(told.std).mean())) / 2**0.5, rel=0.05)


def test_a_model_without_mixture_is_refused() -> None:
    class Half(torch.nn.Module):
        sample_rate = 16000

        def enhance(self, noisy: torch.Tensor, **options: object) -> Enhanced:
            return Enhanced(0.5 * noisy, 0.5 * noisy, noisy)

    with pytest.raises(ValueError, match="Half gives no mixture"):
        Denoiser(Half()).denoise_with_uncertainty(np.zeros(100, np.float32), 16000)  # type: ignore[arg-type]


def test_a_model_trained_without_a_likelihood_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its widths were moved by nothing, so they mean nothing; its denoised sound is as good as ever."""
    x = white(1, 4000)
    for losses, refused in (
        ({"noise_l1": 1.0, "nll": 0.0}, True),
        ({"noise_l1": 1.0, "nll": 0.1}, False),
        ({}, False),
    ):
        save_model(tmp_path / "model", mixture_model(), {"losses": losses}, {"nfe": 1, "estimate": "mean"})
        denoiser = Denoiser.from_pretrained(tmp_path / "model.json", backend="torch")
        assert denoiser.denoise(x, 16000).shape == x.shape
        if not refused:
            denoiser.denoise_with_uncertainty(x, 16000)
            continue
        with pytest.raises(ModelError, match=r"without a likelihood \(losses: noise_l1, nll\)"):
            denoiser.denoise_with_uncertainty(x, 16000)
        with pytest.raises(ModelError, match="without a likelihood"):
            denoiser.posterior_samples(x, 16000, 2)
        audio.write(tmp_path / "a.wav", x, 16000)
        command = ["denoise", str(tmp_path / "a.wav"), "--model", str(tmp_path / "model.json")]
        assert main([*command, "--uncertainty"]) == 1
        assert (
            "without a likelihood" in capsys.readouterr().err and not (tmp_path / "a.denoised.wav").exists()
        )
        assert main(command) == 0


def test_the_shipped_model_knows_where_it_errs() -> None:
    """On unseen voices and noises of the mini corpus: where more error is expected there is more, and of that size."""
    from data_modules.noisy_speech import NoisySpeech

    denoiser = Denoiser.from_pretrained("base")
    data = NoisySpeech("mini", test_pairs=8, valid_seconds=3.0)
    data.setup("test")
    told, seen = [], []
    for batch in data.test_dataloader():
        for noisy, clean in zip(batch["noisy"].numpy(), batch["clean"].numpy(), strict=True):
            found = denoiser.denoise_with_uncertainty(noisy, 16000)
            for start in range(0, 48000 - 3200, 3200):
                part = slice(start, start + 3200)
                told.append(np.square(found.std[:, part]).mean())
                seen.append(np.square(found.waveform - clean)[:, part].mean())
    ranks = [np.argsort(np.argsort(values)) for values in (told, seen)]
    assert np.corrcoef(ranks)[0, 1] > 0.6
    # 0.71 for independent errors of the bins (docs/uncertainty.md); a factor of two around it.
    assert 0.35 < np.sqrt(np.mean(seen) / np.mean(told)) < 1.42
