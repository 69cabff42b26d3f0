"""Training losses: what they look at, one class each, and their weighted sum.

A configuration names built-in losses with a number, their weight, or any loss by its class path:

    losses:
      nll: 0.1
      spectrum: {class_path: diffgmm.training.losses.Spectrum, init_args: {weight: 30.0, exponent: 0.5}}
      mine: {class_path: my_package.losses.Sharpness, init_args: {weight: 0.2}}
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from diffgmm.diffusion import parts
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.process import Process
from diffgmm.diffusion.representation import Context, Representation
from diffgmm.diffusion.sampler_options import whole_number
from diffgmm.training import perceptual


@dataclass
class LossInputs:
    """Everything a loss may look at; waveforms are decoded once, when the first loss asks.

    Encoded tensors are ``[B, C, *S]``, waveforms ``[B, 1, T]``, times ``[B]``. ``weight`` ``[B]``, of mean one, is each
    window's part in the likelihoods and in noise prediction; ``None`` for equal parts.
    """

    mixture: GaussianMixture
    noise: Tensor
    noisy: Tensor
    state: Tensor
    next_state: Tensor | None
    time: Tensor
    next_time: Tensor
    process: Process
    representation: Representation
    context: Context
    clean_wave: Tensor
    weight: Tensor | None = None

    @cached_property
    def mean(self) -> Tensor:
        """Expected noise, ``[B, C, *S]``."""
        return self.mixture.mean()

    @cached_property
    def estimate(self) -> Tensor:
        """Clean speech that taking off the expected noise leaves, encoded, ``[B, C, *S]``."""
        return self.without(self.mean)

    def without(self, noise: Tensor) -> Tensor:
        """Clean speech that taking off a prediction ``[B, C, *S]`` of the noise leaves, encoded, of that shape."""
        if not self.process.conditions_on_noisy:  # its steps subtract from the state, not from the noisy end
            step = self.process.reverse(self.state, self.noisy, self.time, torch.zeros_like(self.time))
            noise = self.noisy - (step.offset + step.factor * noise)
        return self.representation.remove(self.noisy, noise)

    @cached_property
    def estimate_wave(self) -> Tensor:
        """The same as a waveform, ``[B, 1, T]``."""
        return self.representation.decode(self.estimate, self.context)

    @cached_property
    def level(self) -> Tensor:
        """What encoding divided the noisy window by, ``[B, 1, 1]``: waveform losses are relative to it."""
        return self.context.level

    @cached_property
    def audible(self) -> Tensor:
        """Whether the clean window holds speech above -50 dB of the noisy level, ``[B]``."""
        rms = self.clean_wave.square().mean(dim=(1, 2)).sqrt()
        return rms > self.level.flatten() * 10 ** (-50 / 20)


def _mean(values: Tensor, x: LossInputs) -> Tensor:
    """Mean of ``values`` ``[B, ...]``, windows weighted."""
    if x.weight is None:
        return values.mean()
    return (values.flatten(1).mean(1) * x.weight.to(values.dtype)).mean()


@dataclass(frozen=True)
class Loss(ABC):
    """A scalar to make small; a loss of your own derives from this class.

    Subclasses are frozen dataclasses: their fields are what a configuration may set, and are saved with checkpoints.

    Args:
        weight: factor in the sum of losses; not negative, 0 leaves the loss out.

    Raises:
        ValueError: for a weight that is negative or not finite.

    Example:
        >>> @dataclass(frozen=True)
        ... class Loudest(Loss):
        ...     power: float = 2.0
        ...
        ...     def __call__(self, x: LossInputs) -> Tensor:
        ...         return (x.noise - x.mean).abs().amax() ** self.power
        >>> Loudest(weight=0.1).power
        2.0
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight < math.inf:
            kind = type(self).__name__
            raise ValueError(f"the weight of {kind} must be a number from 0 on, got {self.weight}")

    @abstractmethod
    def __call__(self, x: LossInputs) -> Tensor:
        """The loss of a batch before weighting, a scalar with gradient, in float32."""


@dataclass(frozen=True)
class NLL(Loss):
    """Mixture negative log-likelihood of the true noise, nats per real dimension (Wang et al., 2406.09154)."""

    def __call__(self, x: LossInputs) -> Tensor:
        return _mean(x.mixture.nll(x.noise), x)


@dataclass(frozen=True)
class ELBO(Loss):
    r"""ELBO step term: negative log-likelihood of the next state under the model's step, nats per real dimension.

    :math:`p(x_\tau | x_t, y) = \sum_k \pi_k N(offset + factor\,\mu_k,\; factor^2 \sigma_k^2 + variance)` with the
    process's own reverse step. The next state is drawn together with the state.
    """

    def __call__(self, x: LossInputs) -> Tensor:
        if x.next_state is None:
            raise ValueError("the elbo loss needs a next state: set grid_steps to the sampler's steps")
        step = x.process.reverse(x.state, x.noisy, x.time, x.next_time)
        transition = x.mixture.affine(step.factor.squeeze(1), step.offset, step.variance.squeeze(1))
        return _mean(transition.nll(x.next_state), x)


@dataclass(frozen=True)
class NoiseL1(Loss):
    """Noise prediction, ``mean |n - E[n]|``."""

    def __call__(self, x: LossInputs) -> Tensor:
        return _mean((x.noise - x.mean).abs(), x)


@dataclass(frozen=True)
class NoiseHuber(Loss):
    """Noise prediction, Huber loss in the network's scaled units (Belz, 2019).

    Args:
        threshold: where squares turn into magnitudes.
    """

    threshold: float = 1.0

    def __call__(self, x: LossInputs) -> Tensor:
        scale = x.representation.noise_affine[0]
        pair = x.mean * scale, x.noise * scale
        return _mean(nn.functional.huber_loss(*pair, reduction="none", delta=self.threshold), x)


@dataclass(frozen=True)
class Balance(Loss):
    r"""How far the components are from equal use, in nats: the KL divergence from uniform of their mean weight.

    :math:`KL(1/K \| \bar\pi) = -\frac{1}{K} \sum_k \log(K \bar\pi_k)` with :math:`\bar\pi_k` the weight of
    component k, averaged over bins and batch. In this direction its gradient with respect to a weight's logit is not
    lost as the weight goes to zero, so that a component that nothing uses any more is called back (the divergence in
    the other direction, and an entropy, leave it dead). Responsibilities for the true noise in place of weights would
    bend the dead component's means and scales to the bins it fits best, which helps less. A weight of 0.1 beside
    ``nll`` is enough; components in use are left alone, for shares need to be equal on average only.
    """

    def __call__(self, x: LossInputs) -> Tensor:
        log_weights = x.mixture.log_weights.transpose(0, 1).flatten(1)
        mean = torch.logsumexp(log_weights, dim=1) - math.log(log_weights.shape[1])
        return -(mean + math.log(len(mean))).mean()


@dataclass(frozen=True)
class SISDR(Loss):
    """Negative scale-invariant SDR in dB over the windows with speech, both signals without their means.

    Le Roux et al., "SDR - half-baked or well done?", 2019; the metric :func:`diffgmm.metrics.si_sdr`, soft-limited so
    that clean windows don't dominate.

    Args:
        limit: of the ratio, in dB.
    """

    limit: float = 30.0

    def __call__(self, x: LossInputs) -> Tensor:
        target, estimate = x.clean_wave.squeeze(1), x.estimate_wave.squeeze(1)
        target = target - target.mean(dim=1, keepdim=True)
        estimate = estimate - estimate.mean(dim=1, keepdim=True)
        energy = target.square().sum(1, keepdim=True)
        projection = (estimate * target).sum(1, keepdim=True) / (energy + 1e-10) * target
        return _negative_ratio(projection, estimate - projection, self.limit, x)


@dataclass(frozen=True)
class SNR(Loss):
    """Negative SNR of the speech estimate in dB over the windows with speech, soft-limited.

    Unlike ``si_sdr`` it holds the level: with that one alone, a model may take a decibel off all it lets through.

    Args:
        limit: of the ratio, in dB.
    """

    limit: float = 30.0

    def __call__(self, x: LossInputs) -> Tensor:
        target = x.clean_wave.squeeze(1)
        return _negative_ratio(target, x.estimate_wave.squeeze(1) - target, self.limit, x)


def _negative_ratio(signal: Tensor, residual: Tensor, limit: float, x: LossInputs) -> Tensor:
    """Minus the ratio of the energies of two ``[B, T]`` in dB, no better than ``limit``.

    A mean over the windows with speech; zero (with gradient) if there is none.
    """
    energy = signal.square().sum(1)
    noise = residual.square().sum(1) + 10.0 ** (-limit / 10.0) * energy
    ratio = -10.0 * torch.log10((energy + 1e-9) / (noise + 1e-9))
    weight = x.audible.to(ratio.dtype)
    return torch.where(x.audible, ratio, torch.zeros_like(ratio)).sum() / weight.sum().clamp_min(1.0)


@dataclass(frozen=True)
class WaveformL1(Loss):
    """``mean |s - estimate|`` of the waveforms, relative to the noisy level: it holds phase and level."""

    def __call__(self, x: LossInputs) -> Tensor:
        return ((x.estimate_wave - x.clean_wave) / x.level).abs().mean()


@dataclass(frozen=True)
class Consistency(Loss):
    """Mean square difference between the estimate and the same after decoding and encoding, in encoded units.

    What overlapping frames do not agree on is lost at resynthesis, so that bins are asked to be those of a waveform
    (Wisdom et al., "Differentiable consistency constraints for improved deep speech enhancement", 2019, section 2).
    """

    def __call__(self, x: LossInputs) -> Tensor:
        return (x.representation.encode(x.estimate_wave, x.context) - x.estimate).square().mean()


_LONGEST = 16384  # samples of an analysis window


@lru_cache(maxsize=16)
def _hann(size: int, device: str) -> Tensor:
    return torch.hann_window(size, device=device)


def _spectrum(wave: Tensor, size: int, hop: int) -> Tensor:
    taps = _hann(size, str(wave.device))
    return torch.stft(wave.squeeze(1), size, hop, window=taps, return_complex=True) / taps.sum().sqrt()


def _power(spectrum: Tensor, floor: float) -> Tensor:
    return torch.view_as_real(spectrum).square().sum(-1).clamp_min(floor)


@dataclass(frozen=True)
class Spectrum(Loss):
    """Compressed-spectrum loss on the re-analysed waveform, levels relative to the noisy window.

    Braun and Tashev, "A consolidated view of loss functions for supervised deep learning-based speech
    enhancement", 2021, eq. 6.

    Args:
        exponent: of the magnitudes, in (0, 1].
        magnitude: share of the term on magnitudes alone; the rest is that on complex values.
        n_fft, hop: of the analysis, in samples.
    """

    exponent: float = 0.3
    magnitude: float = 0.7
    n_fft: int = 512
    hop: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("n_fft", self.n_fft, 2, _LONGEST)
        whole_number("hop", self.hop, 1, self.n_fft)

    def __call__(self, x: LossInputs) -> Tensor:
        a, b = (_spectrum(w / x.level, self.n_fft, self.hop) for w in (x.estimate_wave, x.clean_wave))
        power_a, power_b = (_power(v, 1e-8) for v in (a, b))
        half = 0.5 * self.exponent
        magnitude = (power_a.pow(half) - power_b.pow(half)).square().mean()
        compressed = (a * power_a.pow(half - 0.5) - b * power_b.pow(half - 0.5)).abs().square().mean()
        return self.magnitude * magnitude + (1.0 - self.magnitude) * compressed


@dataclass(frozen=True)
class MultiResolutionSTFT(Loss):
    """Spectral convergence plus log-magnitude distance (Yamamoto et al., "Parallel WaveGAN", 2020, eqs. 4 to 6).

    Args:
        sizes: windows in samples; a quarter of each is its hop.
    """

    sizes: Sequence[int] = (256, 512, 1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        for size in self.sizes:
            whole_number("sizes", size, 4, _LONGEST)

    def __call__(self, x: LossInputs) -> Tensor:
        total = x.mean.new_zeros(())
        for size in self.sizes:
            spectra = (_spectrum(w / x.level, size, size // 4) for w in (x.estimate_wave, x.clean_wave))
            a, b = (_power(spectrum, 1e-7).sqrt() for spectrum in spectra)
            convergence = (a - b).square().sum().sqrt() / b.square().sum().sqrt().clamp_min(1e-3)
            total = total + (convergence + (a.log() - b.log()).abs().mean()) / len(self.sizes)
        return total


def _finite_windows(gradient: Tensor) -> Tensor:
    """``gradient`` ``[B, T]`` with zeros in windows where it is not finite.

    About one window in 150 of real data (frames that are silent to the perceptual model) has an infinite
    derivative of the disturbance; without this a single one would end a training run.
    """
    good = torch.isfinite(gradient).all(dim=1, keepdim=True)
    return torch.where(good, gradient, torch.zeros_like(gradient))


@dataclass(frozen=True)
class _Perceptual(Loss):
    """A loss through a model of a listener, which is expensive: it hears a share of the windows.

    Args:
        share: of the batch's windows, in (0, 1]: the first ones with speech, which are drawn at random anyway.
    """

    share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"the share of {type(self).__name__} is above 0 and at most 1, got {self.share}")

    def __call__(self, x: LossInputs) -> Tensor:
        chosen = x.audible.nonzero().flatten()[: math.ceil(self.share * len(x.audible))]
        if not len(chosen):
            return x.mean.sum() * 0.0
        # At an ordinary level, whatever the recording's.
        clean, estimate = ((wave / x.level)[chosen, 0] * 0.1 for wave in (x.clean_wave, x.estimate_wave))
        return self.judged(clean, estimate, x.representation.sample_rate)

    @abstractmethod
    def judged(self, clean: Tensor, estimate: Tensor, sample_rate: int) -> Tensor:
        """The loss of windows ``[n, T]``."""


@dataclass(frozen=True)
class Pesq(_Perceptual):
    """Differentiable PESQ of windows with speech (package ``torch-pesq``); advised beside ``snr``, not alone.

    Args:
        share: of the batch's windows that are judged.
    """

    def judged(self, clean: Tensor, estimate: Tensor, sample_rate: int) -> Tensor:
        # The package's own level alignment divides by the signal's power: windows hold speech at an ordinary level.
        if estimate.requires_grad:
            estimate.register_hook(_finite_windows)
        disturbance = perceptual.pesq(sample_rate, str(clean.device))(clean, estimate)
        return torch.nan_to_num(disturbance, nan=0.0, posinf=0.0, neginf=0.0).mean()


@dataclass(frozen=True)
class Stoi(_Perceptual):
    """How far the intelligibility of windows with speech is below 1 (package ``torch-stoi``).

    Within 0.01 of the metrics ``stoi`` and ``estoi`` (Taal et al., 2011; Jensen and Taal, 2016) on whole sentences.
    A window with less than 0.4 s of speech has no such score, and no gradient.

    Args:
        share: of the batch's windows that are judged.
        extended: ESTOI, which spectra with other modulations than the clean speech's lower, not only other envelopes.
    """

    extended: bool = True

    def judged(self, clean: Tensor, estimate: Tensor, sample_rate: int) -> Tensor:
        if estimate.requires_grad:
            estimate.register_hook(_finite_windows)
        clean, estimate = (perceptual.at_stoi_rate(wave, sample_rate) for wave in (clean, estimate))
        return 1.0 + perceptual.stoi(self.extended, str(clean.device))(estimate, clean).mean()


@dataclass(frozen=True)
class Dnsmos(_Perceptual):
    """How far SIG, BAK and OVRL of DNSMOS P.835 are below the clean window's plus a margin, mean of the three, in MOS.

    The clean window bounds it: what the network likes better than speech that was never noisy is not asked for. The
    margin is for clean recordings with a hiss of their own, which a denoiser may take off. Watch that PESQ, ESTOI and
    DNSMOS P.808, a different network, rise with it.

    Args:
        share: of the batch's windows that are judged.
        margin: in MOS.

    Raises:
        ValueError: when called for a model that is not at 16 kHz.
    """

    share: float = 0.25
    margin: float = 0.3

    def __call__(self, x: LossInputs) -> Tensor:
        if (rate := x.representation.sample_rate) != 16000:
            raise ValueError(f"the dnsmos loss listens at 16000 Hz, the model works at {rate}: leave it out")
        return super().__call__(x)

    def judged(self, clean: Tensor, estimate: Tensor, sample_rate: int) -> Tensor:
        model = perceptual.dnsmos(str(clean.device))
        with torch.no_grad():
            bound = model(clean) + self.margin
        return torch.relu(bound - model(estimate)).mean()


LOSSES: dict[str, type[Loss]] = {
    "nll": NLL,
    "elbo": ELBO,
    "noise_l1": NoiseL1,
    "noise_huber": NoiseHuber,
    "balance": Balance,
    "si_sdr": SISDR,
    "snr": SNR,
    "waveform_l1": WaveformL1,
    "consistency": Consistency,
    "spectrum": Spectrum,
    "multi_resolution_stft": MultiResolutionSTFT,
    "pesq": Pesq,
    "stoi": Stoi,
    "dnsmos": Dnsmos,
}
"""Name in the configuration to class."""


def described(losses: Mapping[str, Any], trust: Collection[str] = ()) -> dict[str, float | Loss]:
    """Losses from :meth:`WeightedLoss.description`, which may come from a stranger's file.

    Args:
        losses: by name a number, or class path and settings.
        trust: packages whose classes may be named beside this one's; they are imported.

    Raises:
        ModelError: it names something else, or settings that the class doesn't take.
    """
    own = {parts.class_path(cls): cls for cls in LOSSES.values()}
    made: dict[str, float | Loss] = {}
    for name, value in losses.items():
        if not isinstance(value, Mapping):
            made[name] = value
            continue
        path, settings = str(value.get("class_path")), value.get("init_args") or {}
        cls = own.get(path) or parts.foreign_class(path, "loss", Loss, trust)
        try:
            made[name] = cls(**settings)
        except (TypeError, ValueError) as error:
            raise ModelError(f"the loss {path} can't be made as described: {parts.brief(error)}") from error
    return made


class WeightedLoss:
    """Sum of losses, each times its weight; a weight of zero leaves the loss out.

    Args:
        losses: by name a loss, or a number, the weight of the built-in loss of that name (:data:`LOSSES`) with its
            default settings. The name is what logs call it.

    Raises:
        ValueError: for an unknown name, a negative weight, or if no weight is positive.
    """

    def __init__(self, losses: Mapping[str, float | Loss]) -> None:
        made: dict[str, Loss] = {}
        for name, loss in losses.items():
            if not isinstance(loss, Loss) and name not in LOSSES:
                raise ValueError(f"unknown loss {name}; there are {', '.join(LOSSES)}, or give a class_path")
            made[name] = loss if isinstance(loss, Loss) else LOSSES[name](weight=float(loss))
        self.losses = {name: loss for name, loss in made.items() if loss.weight > 0}
        if not self.losses:
            raise ValueError("at least one loss needs a positive weight")

    def includes(self, kind: type[Loss]) -> bool:
        """Whether a loss of this class is among them."""
        return any(isinstance(loss, kind) for loss in self.losses.values())

    def description(self) -> dict[str, Any]:
        """Plain data by name: the weight of a built-in loss with default settings, else class path and settings."""
        described: dict[str, Any] = {}
        for name, loss in self.losses.items():
            usual = name in LOSSES and loss == LOSSES[name](weight=loss.weight)
            spec = {"class_path": parts.class_path(type(loss)), "init_args": asdict(loss)}
            described[name] = loss.weight if usual else spec
        return described

    def values(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Each loss by name: scalars with gradient, before weighting."""
        with torch.autocast(inputs.mean.device.type, enabled=False):
            return {name: loss(inputs) for name, loss in self.losses.items()}

    def __call__(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Total (scalar, with gradient) and each loss by name (detached, before weighting)."""
        total, parts = inputs.mean.new_zeros(()), {}
        for name, value in self.values(inputs).items():
            parts[name] = value.detach()
            total = total + self.losses[name].weight * value
        return total, parts
