"""Heads: features to the weights, means and scales of a mixture."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.networks.base import Sized, at_least_float32
from diffgmm.utils.errors import one_of

Means = Literal["mask", "free", "offset", "tanh"]
MEANS: tuple[Means, ...] = get_args(Means)
Scales = Literal["absolute", "relative"]
SCALES: tuple[Scales, ...] = get_args(Scales)
RELATIVE_FLOOR = 0.05  # magnitude below which relative scales are absolute after all
NEIGHBOURS = 2  # places to either side, on each axis, whose magnitudes bound a scale


class Head(Sized, ABC):
    """Features of a network to a mixture for the noise; a head of your own derives from this class.

    Attributes:
        components: K, of the mixtures; set in the constructor.
    """

    components: int

    @abstractmethod
    def build(self, features: int, channels: int, dims: int) -> None:
        """Make the layers for a network's ``features`` and values of ``channels`` on ``dims`` axes; called once."""

    @abstractmethod
    def forward(self, features: Tensor, reference: Tensor, state: Tensor) -> GaussianMixture:
        """Mixture of the noise in the network's scaled units.

        Args:
            features: ``[B, features, *S]``.
            reference: the noisy signal (the state, for a process that does not show it), ``[B, C, *S]``.
            state: ``[B, C, *S]``.
        """


class MixtureHead(Head):
    """Three linear maps per position (as in Wang et al., arXiv 2406.09154, section 3): pi, mu and sigma.

    Args:
        components: K.
        means: ``mask``: a factor times the reference (complex for two channels); ``free``: the value itself;
            ``tanh``: its hyperbolic tangent, between -1 and 1 in scaled units;
            ``offset``: the value plus what the state has already lost of the noise, y - x_t.
        min_scale: smallest standard deviation, in the representation's units. A likelihood without a floor rewards
            a component that collapses onto one point without bound.
        initial_scale: standard deviation at the start of training (of a bin of magnitude one, if relative).
        scales: ``absolute``: standard deviations as such; ``relative``: times the magnitude of the reference per real
            dimension, so that quiet bins start with little noise. Not for decibels, whose zero means nothing.
        max_scale: largest standard deviation, as a multiple of the largest magnitude of the reference up to two places
            away on each axis; ``None``: no limit. The likelihood hardly minds a component that is far too wide if its
            weight is small, but a draw from it is a burst. Not for decibels. The mean is the same with and without.

    Components start apart (masks from 0 to 1, weights equal), since equal components would stay equal.

    Raises:
        ValueError: for an unknown parameterisation or fewer than one component.
    """

    def __init__(
        self,
        components: int = 3,
        means: Means = "mask",
        min_scale: float = 1e-3,
        initial_scale: float = 0.3,
        scales: Scales = "absolute",
        max_scale: float | None = None,
    ) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"components must be at least 1, got {components}")
        one_of("means", means, MEANS)
        one_of("scales", scales, SCALES)
        self.relative = scales == "relative"
        self.components, self.kind = components, means
        self._log_floor, self._initial = math.log(min_scale), math.log(initial_scale)
        self.max_scale = max_scale
        self.linear: nn.Module = nn.Identity()

    def build(self, features: int, channels: int, dims: int) -> None:
        """Make the linear map from ``features`` for values of ``channels`` dimensions."""
        self.channels = channels
        size = self.components * (2 + channels)
        layer = nn.Conv1d(features, size, 1) if dims == 1 else nn.Conv2d(features, size, 1)
        assert layer.bias is not None
        with torch.no_grad():
            layer.weight.mul_(0.5)
            layer.bias.zero_()
            layer.bias[self.components : 2 * self.components] = self._initial
            start = (torch.arange(self.components) + 0.5) / self.components
            layer.bias[2 * self.components :: channels] = start if self.kind == "mask" else start - 0.5
        self.linear = layer

    def forward(self, features: Tensor, reference: Tensor, state: Tensor) -> GaussianMixture:
        """Mixture of the noise in scaled units.

        Args:
            features: ``[B, features, *S]``.
            reference: what masks multiply (the noisy signal, or the state where the prediction depends on it alone),
                ``[B, C, *S]``.
            state: ``[B, C, *S]``, used by ``offset``.
        """
        raw = at_least_float32(self.linear(features))
        reference, state = at_least_float32(reference), at_least_float32(state)
        k = self.components
        logits, log_scales, values = raw[:, :k], raw[:, k : 2 * k], raw[:, 2 * k :]
        if self.relative:
            power = reference.square().mean(1, keepdim=True)
            log_scales = log_scales + 0.5 * torch.log(power + RELATIVE_FLOOR**2)
        log_scales = self._log_floor + nn.functional.softplus(log_scales - self._log_floor)
        if self.max_scale is not None:
            limit = (self.max_scale * loudest_neighbour(reference)).log().clamp_min(self._log_floor)
            log_scales = torch.minimum(log_scales, limit)
        values = values.reshape(values.shape[0], k, self.channels, *values.shape[2:])
        reference = reference.unsqueeze(1)
        if self.kind == "free":
            means = values
        elif self.kind == "tanh":
            means = values.tanh()
        elif self.kind == "offset":
            means = values + reference - state.unsqueeze(1)
        elif self.channels == 2:
            (a, b), (c, d) = (x.unbind(2) for x in (values, reference))
            means = torch.stack([a * c - b * d, a * d + b * c], dim=2)  # complex product
        else:
            means = values * reference
        return GaussianMixture(logits, means, log_scales)


def loudest_neighbour(values: Tensor) -> Tensor:
    """Largest magnitude up to :data:`NEIGHBOURS` places away on each axis: ``[B, C, *S]`` to ``[B, 1, *S]``."""
    magnitude = values.square().sum(1, keepdim=True).clamp_min(1e-24).sqrt()
    pool = nn.functional.max_pool1d if magnitude.dim() == 3 else nn.functional.max_pool2d
    return pool(magnitude, 2 * NEIGHBOURS + 1, stride=1, padding=NEIGHBOURS)
