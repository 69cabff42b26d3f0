"""Training losses: what they look at, and one function each, chosen and weighted by name in the configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor, nn

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Process
from diffgmm.diffusion.representation import Context, Representation
from diffgmm.training.perceptual import Dnsmos, perceptual_pesq


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
    def estimate_wave(self) -> Tensor:
        """Clean speech that taking off the expected noise leaves, ``[B, 1, T]``."""
        noise = self.mean
        if not self.process.conditions_on_noisy:  # its steps subtract from the state, not from the noisy end
            step = self.process.reverse(self.state, self.noisy, self.time, torch.zeros_like(self.time))
            noise = self.noisy - (step.offset + step.factor * self.mean)
        return self.representation.decode(self.representation.remove(self.noisy, noise), self.context)

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


def nll(x: LossInputs) -> Tensor:
    """Mixture negative log-likelihood of the true noise, nats per real dimension (Wang et al., 2406.09154)."""
    return _mean(x.mixture.nll(x.noise), x)


def elbo(x: LossInputs) -> Tensor:
    r"""ELBO step term: negative log-likelihood of the next state under the model's step, nats per real dimension.

    :math:`p(x_\tau | x_t, y) = \sum_k \pi_k N(offset + factor\,\mu_k,\; factor^2 \sigma_k^2 + variance)` with the
    process's own reverse step. The next state is drawn together with the state.
    """
    if x.next_state is None:
        raise ValueError(
            "the elbo loss needs a next state; set grid_steps to the number of steps of the sampler"
        )
    step = x.process.reverse(x.state, x.noisy, x.time, x.next_time)
    law = x.mixture.affine(step.factor.squeeze(1), step.offset, step.variance.squeeze(1))
    return _mean(law.nll(x.next_state), x)


def noise_l1(x: LossInputs) -> Tensor:
    """Noise prediction, ``mean |n - E[n]|``."""
    return _mean((x.noise - x.mean).abs(), x)


def noise_huber(x: LossInputs) -> Tensor:
    """Noise prediction, Huber loss with threshold 1 in the network's scaled units (Belz, 2019)."""
    scale = x.representation.noise_affine[0]
    return _mean(nn.functional.huber_loss(x.mean * scale, x.noise * scale, reduction="none"), x)


def balance(x: LossInputs) -> Tensor:
    r"""How far the components are from equal use, in nats: the KL divergence from uniform of their mean weight.

    :math:`KL(1/K \| \bar\pi) = -\frac{1}{K} \sum_k \log(K \bar\pi_k)` with :math:`\bar\pi_k` the weight of
    component k, averaged over bins and batch. In this direction its gradient with respect to a weight's logit is not
    lost as the weight goes to zero, so that a component that nothing uses any more is called back (the divergence in
    the other direction, and an entropy, leave it dead). Responsibilities for the true noise in place of weights would
    bend the dead component's means and scales to the bins it fits best, which helps less. A weight of 0.1 beside
    ``nll`` is enough; components in use are left alone, for shares need to be equal on average only.
    """
    log_weights = x.mixture.log_weights.transpose(0, 1).flatten(1)
    mean = torch.logsumexp(log_weights, dim=1) - math.log(log_weights.shape[1])
    return -(mean + math.log(len(mean))).mean()


def si_sdr(x: LossInputs) -> Tensor:
    """Negative scale-invariant SDR in dB over the windows with speech: of signals without their means, as the metric.

    Le Roux et al., "SDR - half-baked or well done?", 2019. Soft-limited at 30 dB, so that clean windows don't dominate.
    """
    target = x.clean_wave.squeeze(1)
    estimate = x.estimate_wave.squeeze(1)
    target = target - target.mean(dim=1, keepdim=True)
    estimate = estimate - estimate.mean(dim=1, keepdim=True)
    energy = target.square().sum(1, keepdim=True)
    projection = (estimate * target).sum(1, keepdim=True) / (energy + 1e-10) * target
    residual = (estimate - projection).square().sum(1)
    signal = projection.square().sum(1)
    ratio = 10.0 * torch.log10((signal + 1e-9) / (residual + 1e-3 * signal + 1e-9))
    return _over_speech(-ratio, x.audible)


def snr(x: LossInputs) -> Tensor:
    """Negative SNR of the speech estimate in dB over the windows with speech, soft-limited at 30 dB.

    Unlike ``si_sdr`` it holds the level: with that one alone, a model may take a decibel off all it lets through.
    """
    target = x.clean_wave.squeeze(1)
    signal = target.square().sum(1)
    residual = (x.estimate_wave.squeeze(1) - target).square().sum(1)
    ratio = 10.0 * torch.log10((signal + 1e-9) / (residual + 1e-3 * signal + 1e-9))
    return _over_speech(-ratio, x.audible)


def _over_speech(values: Tensor, audible: Tensor) -> Tensor:
    """Mean of ``values`` ``[B]`` over the windows with speech; zero (with gradient) if there is none."""
    weight = audible.to(values.dtype)
    return (torch.where(audible, values, torch.zeros_like(values))).sum() / weight.sum().clamp_min(1.0)


@lru_cache(maxsize=16)
def _hann(size: int, device: str) -> Tensor:
    return torch.hann_window(size, device=device)


def _spectrum(wave: Tensor, size: int) -> Tensor:
    taps = _hann(size, str(wave.device))
    return torch.stft(wave.squeeze(1), size, size // 4, window=taps, return_complex=True) / taps.sum().sqrt()


def spectrum(x: LossInputs) -> Tensor:
    """Compressed-spectrum loss on the re-analysed waveform: 0.7 magnitude + 0.3 complex, exponent 0.3.

    Braun and Tashev, "A consolidated view of loss functions for supervised deep learning-based speech
    enhancement", 2021, eq. 6; window 512, hop 128, levels relative to the noisy window.
    """
    a, b = (_spectrum(w / x.level, 512) for w in (x.estimate_wave, x.clean_wave))
    power_a, power_b = (torch.view_as_real(v).square().sum(-1).clamp_min(1e-8) for v in (a, b))
    magnitude = (power_a.pow(0.15) - power_b.pow(0.15)).square().mean()
    compressed = (a * power_a.pow(-0.35) - b * power_b.pow(-0.35)).abs().square().mean()
    return 0.7 * magnitude + 0.3 * compressed


def multi_resolution_stft(x: LossInputs) -> Tensor:
    """Spectral convergence plus log-magnitude distance at windows of 256, 512 and 1024 samples.

    Yamamoto et al., "Parallel WaveGAN", 2020, eqs. 4 to 6.
    """
    total = x.mean.new_zeros(())
    for size in (256, 512, 1024):
        a, b = (
            torch.view_as_real(_spectrum(w / x.level, size)).square().sum(-1).clamp_min(1e-7).sqrt()
            for w in (x.estimate_wave, x.clean_wave)
        )
        convergence = (a - b).square().sum().sqrt() / b.square().sum().sqrt().clamp_min(1e-3)
        total = total + (convergence + (a.log() - b.log()).abs().mean()) / 3
    return total


def _finite_rows(gradient: Tensor) -> Tensor:
    """``gradient`` ``[B, T]`` with zeros in rows that are not finite.

    About one window in 150 of real data (frames that are silent to the perceptual model) has an infinite
    derivative of the disturbance; without this a single one would end a training run.
    """
    good = torch.isfinite(gradient).all(dim=1, keepdim=True)
    return torch.where(good, gradient, torch.zeros_like(gradient))


def _heard(x: LossInputs, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Clean and estimated ``windows`` (indices or a mask) ``[B, T]`` at an ordinary level, whatever the recording's."""
    clean, estimate = ((wave / x.level)[windows, 0] * 0.1 for wave in (x.clean_wave, x.estimate_wave))
    return clean, estimate


@lru_cache(maxsize=4)
def _pesq_model(sample_rate: int, device: str) -> nn.Module:
    return perceptual_pesq(sample_rate).to(device)


def pesq(x: LossInputs) -> Tensor:
    """Differentiable PESQ of the windows with speech (package ``torch-pesq``); advised beside ``snr``, not alone."""
    model = _pesq_model(x.representation.sample_rate, str(x.mean.device))
    if not bool(x.audible.any()):
        return x.mean.sum() * 0.0
    # Its own level alignment divides by the signal's power: give it windows of ordinary level with speech.
    reference, degraded = _heard(x, x.audible)
    if degraded.requires_grad:
        degraded.register_hook(_finite_rows)
    return torch.nan_to_num(model(reference, degraded), nan=0.0, posinf=0.0, neginf=0.0).mean()


@lru_cache(maxsize=4)
def _dnsmos_model(device: str) -> nn.Module:
    return Dnsmos(floor=1e-8, reduced=True).to(device)  # the floor is what rounding to 16 bits leaves


def dnsmos(x: LossInputs) -> Tensor:
    """How far SIG, BAK and OVRL of DNSMOS P.835 are below the clean window's plus 0.3, mean of the three, in MOS.

    The clean window bounds it: what the network likes better than speech that was never noisy is not asked for. The
    margin is for clean recordings with a hiss of their own, which a denoiser may take off. It is dear, so it listens
    to the first quarter of the windows with speech, which are drawn at random anyway. Watch that PESQ, ESTOI and
    DNSMOS P.808, a different network, rise with it.

    Raises:
        ValueError: for a model that is not at 16 kHz.
    """
    if x.representation.sample_rate != 16000:
        raise ValueError(
            f"the dnsmos loss listens at 16000 Hz, the model works at {x.representation.sample_rate}: leave it out"
        )
    chosen = x.audible.nonzero().flatten()[: -(-len(x.audible) // 4)]
    if not len(chosen):
        return x.mean.sum() * 0.0
    model = _dnsmos_model(str(x.mean.device))
    clean, estimate = _heard(x, chosen)
    with torch.no_grad():
        bound = model(clean) + 0.3
    return torch.relu(bound - model(estimate)).mean()


LOSSES: dict[str, Callable[[LossInputs], Tensor]] = {
    "nll": nll,
    "elbo": elbo,
    "noise_l1": noise_l1,
    "noise_huber": noise_huber,
    "balance": balance,
    "si_sdr": si_sdr,
    "snr": snr,
    "spectrum": spectrum,
    "multi_resolution_stft": multi_resolution_stft,
    "pesq": pesq,
    "dnsmos": dnsmos,
}
"""Name in the configuration to function."""


class WeightedLoss:
    """Sum of named losses, each times its weight; a weight of zero leaves the loss out.

    Args:
        weights: e.g. ``{"nll": 1.0, "noise_l1": 1.0}``; names from :data:`LOSSES`.

    Raises:
        ValueError: for an unknown name, or if no weight is positive.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        unknown = sorted(set(weights) - set(LOSSES))
        if unknown:
            raise ValueError(f"unknown loss {', '.join(unknown)}; there are {', '.join(LOSSES)}")
        self.weights = {name: float(weight) for name, weight in weights.items() if weight > 0}
        if not self.weights:
            raise ValueError("at least one loss needs a positive weight")

    def values(self, inputs: LossInputs) -> dict[str, Tensor]:
        """Each loss by name: scalars with gradient, before weighting."""
        with torch.autocast(inputs.mean.device.type, enabled=False):
            return {name: LOSSES[name](inputs) for name in self.weights}

    def __call__(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Total (scalar, with gradient) and each loss by name (detached, before weighting)."""
        total, parts = inputs.mean.new_zeros(()), {}
        for name, value in self.values(inputs).items():
            parts[name] = value.detach()
            total = total + self.weights[name] * value
        return total, parts
