"""The denoiser without Lightning: representation, network, head and process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from diffgmm.diffusion.head import Head, MixtureHead
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.pretrained import ModelError as ModelError
from diffgmm.diffusion.process import Bridge, Process
from diffgmm.diffusion.representation import SILENCE_RMS, Complex, Representation
from diffgmm.diffusion.sampler_options import SamplerConfig
from diffgmm.diffusion.samplers import sample
from diffgmm.networks import Network, UNet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffgmm.diffusion.sampler_options import Sampling


class Enhanced(NamedTuple):
    """Result of :meth:`MixtureDenoiser.enhance`."""

    waveform: Tensor  # [B, 1, T]
    noise: Tensor  # [B, 1, T]: noisy - waveform
    uncertainty: Tensor  # [B, *S]: standard deviation per real dimension, in the representation's units
    posterior: GaussianMixture | None = None  # of the noise given the noisy window alone


class MixtureDenoiser(nn.Module):
    """``q(n | x_t, y, t)`` from a network, and the reverse process that turns it into clean speech.

    Args:
        representation: what the process runs on.
        network: features from state, noisy signal and time.
        head: features to mixture.
        process: blend or bridge.

    Example:
        >>> model = MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), UNet([8, 8], [[4, 1], [2, 1]]))
        >>> model.enhance(torch.randn(1, 1, 16000)).waveform.shape
        torch.Size([1, 1, 16000])
    """

    def __init__(
        self,
        representation: Representation | None = None,
        network: Network | None = None,
        head: Head | None = None,
        process: Process | None = None,
    ) -> None:
        super().__init__()
        self.representation = representation if representation is not None else Complex()
        self.network: Network = network if network is not None else UNet()
        self.head: Head = head if head is not None else MixtureHead()
        self.process = process if process is not None else Bridge()
        channels, dims = self.representation.channels, self.representation.dims
        if self.network.dims != dims:
            kind = type(self.representation).__name__
            hint = "give kernel and strides one number per axis"
            raise ValueError(f"the network has {self.network.dims} axes, {kind} needs {dims}: {hint}")
        inputs = channels * (2 if self.process.conditions_on_noisy else 1) + (channels == 2)
        self.network.attach(inputs)
        self.head.attach(self.network.features, channels, dims)

    @property
    def sample_rate(self) -> int:
        """Hz; audio at other rates is resampled by :class:`diffgmm.inference.Denoiser`."""
        return self.representation.sample_rate

    def posterior(self, state: Tensor, noisy: Tensor, time: Tensor) -> GaussianMixture:
        """Mixture of the noise, in the representation's units.

        Args:
            state: ``x_t``, ``[B, C, *S]``.
            noisy: ``y``, ``[B, C, *S]``; left unread by a process that does not condition on it.
            time: ``[B]`` in (0, 1].
        """
        factor, offset = self.representation.state_affine
        reference = noisy if self.process.conditions_on_noisy else state
        parts = [state, noisy] if self.process.conditions_on_noisy else [state]
        parts = [factor * part + offset for part in parts]
        if reference.shape[1] == 2:  # a phase-free view of the input saves the network from computing it
            parts.append(reference.square().sum(1, keepdim=True).clamp_min(1e-12).sqrt())
        features = self.network(torch.cat(parts, dim=1), time)
        scale, shift = self.representation.noise_affine
        scaled = self.head(features, (reference + shift) * scale, (state + shift) * scale)
        return scaled if (scale, shift) == (1.0, 0.0) else scaled.affine(1.0 / scale, -shift)

    def posterior_and_target(self, noisy: Tensor, clean: Tensor) -> tuple[GaussianMixture, Tensor]:
        """The mixture of the noise given the noisy signal alone (t = 1), and the true noise ``[B, C, *S]``.

        Args:
            noisy, clean: pairs, ``[B, 1, T]``.
        """
        context = self.representation.context(noisy)
        encoded = self.representation.encode(noisy, context)
        noise = encoded - self.representation.target(clean, context)
        return self.posterior(encoded, encoded, torch.ones(len(noisy), device=noisy.device)), noise

    @torch.no_grad()
    def enhance(
        self, noisy: Tensor, *, generator: torch.Generator | None = None, **sampling: Unpack[Sampling]
    ) -> Enhanced:
        """Denoise ``noisy`` ``[B, 1, T]`` in [-1, 1].

        Args:
            noisy: the windows.
            generator: makes sampling repeatable.
            sampling: ``sampler``, a :class:`diffgmm.diffusion.sampler_options.SamplerConfig` (by default one call, the
                mean), or its fields by name.

        Raises:
            ValueError: if a number is out of range, a name unknown, or the settings contradict each other.
        """
        config = SamplerConfig().changed(**sampling)
        calls: list[GaussianMixture] = []  # the first and the last

        def posterior(state: Tensor, y: Tensor, time: Tensor) -> GaussianMixture:
            mixture = self.posterior(state, y, time)
            mixture = mixture if config.temperature == 1.0 else mixture.tempered(config.temperature)
            calls[1:] = [mixture]
            return mixture

        context = self.representation.context(noisy)
        encoded = self.representation.encode(noisy, context)
        clean, variance = torch.zeros_like(encoded), torch.zeros_like(encoded)
        for _ in range(config.samples):
            run = sample(posterior, encoded, self.process, config, generator=generator)
            clean = clean + run / config.samples
            variance = variance + calls[-1].variance() / config.samples
        if self.representation.rule is not None:
            clean = self.representation.remove(encoded, encoded - clean)
        waveform = self.representation.decode(clean, context)
        audible = noisy.square().mean(dim=(1, 2), keepdim=True).sqrt() > SILENCE_RMS
        waveform = torch.where(audible, waveform, torch.zeros_like(waveform))
        return Enhanced(waveform, noisy - waveform, variance.mean(1).sqrt(), calls[0])
