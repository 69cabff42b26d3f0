r"""The default setting as one plain function of the waveform: one network call, the mixture's mean, nothing else.

:meth:`diffgmm.diffusion.model.MixtureDenoiser.enhance` with ``nfe=1`` and ``estimate="mean"`` leaves much unused:
at t = 1 the
state *is* the noisy signal, so the first convolution sees the same numbers twice; the time embedding is a constant;
scales of the mixture do not enter its mean; and :math:`\sum_k \pi_k m_k y = (\sum_k \pi_k m_k) y` multiplies once. The
Fourier transforms are products with matrices, so that the model is a graph which any runtime can take.
"""

from __future__ import annotations

import copy
from functools import reduce

import torch
from torch import Tensor, nn

from diffgmm.diffusion.fourier import Fourier, kernels
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.process import Process
from diffgmm.diffusion.representation import SILENCE_RMS, Complex
from diffgmm.networks import UNet
from diffgmm.networks.fuse import folded
from diffgmm.utils.errors import UserError


class UnsupportedModel(UserError):
    """A model that has no such graph; the message says why."""


class OneStep(nn.Module):
    """``[B, 1, T]`` noisy to ``[B, 1, T]`` clean; made by :func:`one_step`.

    Equal to ``model.enhance(noisy).waveform`` but for rounding (about -125 dB).
    """

    def __init__(self, skeleton: MixtureDenoiser) -> None:
        super().__init__()
        representation, head, process = skeleton.representation, skeleton.head, skeleton.process
        # Classes that derive from these compute something else.
        kinds = [type(part).__name__ for part in (representation, head, process)]
        if type(representation) is not Complex:
            raise UnsupportedModel(f"only complex spectrograms have a one-step graph, this is {kinds[0]}")
        if type(head) is not MixtureHead:
            raise UnsupportedModel(
                f"only models with a MixtureHead have a one-step graph, this is {kinds[1]}"
            )
        if not _subtracts(process):
            raise UnsupportedModel(
                f"one step of the process {kinds[2]} is no subtraction, which the graph has"
            )
        self.network, self.linear = skeleton.network, head.linear
        self.components, self.means = head.components, head.kind
        self.merged = True  # whether the first convolution takes state and noisy signal as one
        self.sample_rate = representation.sample_rate
        self.n_fft, self.hop = representation.n_fft, representation.hop
        self.alpha, self.beta, self.floor = representation.alpha, representation.beta, representation._FLOOR
        self.fourier = Fourier(representation)

    def forward(self, noisy: Tensor) -> Tensor:
        samples = noisy.shape[-1]
        rms = noisy.square().mean(dim=(1, 2), keepdim=True).sqrt()
        audible = rms > SILENCE_RMS
        level = torch.where(audible, rms, torch.ones_like(rms))
        margin = (self.n_fft // 2, self.n_fft // 2 + -samples % self.hop)
        padded = nn.functional.pad(noisy / level, margin)
        real, imaginary = self.fourier(padded)
        power = real * real + imaginary * imaginary
        shrink = self.beta * _power(power.clamp_min(self.floor), 0.5 * (self.alpha - 1.0))
        real, imaginary = real * shrink, imaginary * shrink
        magnitude = (power * (shrink * shrink)).clamp_min(1e-12).sqrt()
        parts = [real, imaginary] * (1 if self.merged else 2) + [magnitude]
        features = self.network(torch.cat(parts, dim=1), torch.ones_like(rms.flatten()))
        mean_real, mean_imaginary = self._mean(self.linear(features))
        if self.means == "mask":  # the mask's mean times the noisy signal, a complex product
            noise = real * mean_real - imaginary * mean_imaginary
            imaginary = imaginary - (real * mean_imaginary + imaginary * mean_real)
            real = real - noise
        else:
            real, imaginary = real - mean_real, imaginary - mean_imaginary
        real, imaginary = real / self.beta, imaginary / self.beta
        power = (real * real + imaginary * imaginary).clamp_min(self.floor**self.alpha)
        expand = _power(power, 0.5 * (1.0 / self.alpha - 1.0))
        start = self.n_fft // 2
        wave = self.fourier.inverse(real * expand, imaginary * expand)[..., start : start + samples]
        return torch.where(audible, wave * level, torch.zeros_like(wave))

    def _mean(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted mean of the components' masks (or values), ``[B, 1, F, N]`` twice.

        Written out over the components: a softmax over the second of four axes is slow in most runtimes.
        """
        k = self.components
        values = (raw[:, k:].tanh() if self.means == "tanh" else raw[:, k:]).split(1, dim=1)
        logits = raw[:, :k].split(1, dim=1)
        top = reduce(torch.maximum, logits)
        weights = [(logit - top).exp() for logit in logits]
        total = reduce(torch.add, weights)
        real, imaginary = (reduce(torch.add, map(torch.mul, weights, values[part::2])) for part in (0, 1))
        return real / total, imaginary / total


def _subtracts(process: Process) -> bool:
    """Whether the reverse step from t = 1 to 0 takes the noise off the noisy signal, and does nothing else."""
    noisy = torch.tensor([0.5, -2.0]).reshape(1, 1, 2)
    step = process.reverse(noisy, noisy, torch.ones(1), torch.zeros(1))
    offset, factor = step.offset.expand_as(noisy), step.factor.expand_as(noisy)
    return torch.allclose(offset, noisy) and torch.allclose(factor, -torch.ones_like(noisy))


def folded_step(model: MixtureDenoiser) -> tuple[OneStep, dict[str, Tensor]]:
    """The graph without its weights, and these as differentiable functions of the model's parameters.

    Compare :func:`diffgmm.networks.fuse.folded`.

    Raises:
        UnsupportedModel: its representation is not :class:`~diffgmm.diffusion.representation.Complex`, its head no
            :class:`~diffgmm.diffusion.head.MixtureHead`, or its process not one whose single step is a subtraction.
    """
    skeleton, weights = folded(model, time=1.0)
    step = OneStep(skeleton)
    state = dict(step.named_parameters())
    weights = {name: value for name, value in weights.items() if name.startswith("network.")}
    if model.process.conditions_on_noisy:
        # Of the inputs (state, noisy signal, magnitude) the first two are equal.
        entries = step.network.entries() if type(step.network) is UNet else []
        step.merged = bool(entries)
        names = {id(value): name for name, value in step.named_parameters()}
        for layer in entries:
            name = names[id(layer.weight)]
            first = weights.get(name, state[name])
            weights[name] = torch.cat([first[:, :2] + first[:, 2:4], first[:, 4:]], dim=1)
    k = step.components
    for name in ("linear.weight", "linear.bias"):  # logits, log scales, values; scales do not enter the mean
        weights[name] = torch.cat([state[name][:k], state[name][2 * k :]])
    assert isinstance(model.representation, Complex)  # or there were no such step
    transform = kernels(model.representation, 0.0 * weights["linear.bias"].sum())
    return step, weights | {f"fourier.{name}": value for name, value in transform.items()}


def one_step(model: MixtureDenoiser) -> OneStep:
    """The graph with weights of its own, for inference.

    Raises:
        UnsupportedModel: as :func:`folded_step`.
    """
    with torch.no_grad():
        step, weights = folded_step(model)
        put(step, weights)
    return copy.deepcopy(step).eval()


def put(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Replace parameters and buffers by tensors, which may have any shape and history."""
    for name, value in weights.items():
        path, _, leaf = name.rpartition(".")
        owner = module.get_submodule(path)
        delattr(owner, leaf)
        owner.register_buffer(leaf, value)


class FromParameters(nn.Module):
    """The same function computed from the model's own parameters, folding included: what a traced graph starts from."""

    def __init__(self, model: MixtureDenoiser) -> None:
        super().__init__()
        self.model = model

    def forward(self, noisy: Tensor) -> Tensor:
        step, weights = folded_step(self.model)
        put(step, weights)
        return step(noisy)


def _power(x: Tensor, exponent: float) -> Tensor:
    """``x ** exponent``; the compression exponent of one half needs only square roots, which are many times faster."""
    if exponent == -0.25:
        return x.sqrt().sqrt().reciprocal()
    if exponent == 0.5:
        return x.sqrt()
    return x if exponent == 1.0 else x.pow(exponent)
