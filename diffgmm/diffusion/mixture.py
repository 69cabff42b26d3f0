"""Gaussian mixtures, one per time-frequency bin (or per sample), with closed forms for what the process needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_LOG_2PI = math.log(2.0 * math.pi)
_Z_LIMIT = 1e15  # keeps z * z finite in float32, whatever the input


@dataclass(frozen=True)
class GaussianMixture:
    r"""The mixture :math:`q(v) = \sum_k \pi_k \, N(v; \mu_k, \sigma_k^2 I)`, one per position.

    A value has ``C`` real dimensions per position: 1 for waveforms and magnitudes, 2 (real and imaginary part)
    for complex spectrograms, which share weight and scale. ``*S`` stands for the positions: ``[T]`` or ``[F, N]``.

    Args:
        logits: unnormalised log weights, ``[B, K, *S]``.
        means: component means, ``[B, K, C, *S]``.
        log_scales: logarithms of the standard deviations, ``[B, K, *S]``.

    All three are held in float32 (float64 stays), so results are safe under bf16 autocast.

    Raises:
        ValueError: if the shapes do not fit together.

    Example:
        >>> q = GaussianMixture(torch.zeros(1, 2, 4), torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 4))
        >>> q.log_prob(torch.zeros(1, 1, 4)).shape
        torch.Size([1, 4])
    """

    logits: Tensor
    means: Tensor
    log_scales: Tensor

    def __post_init__(self) -> None:
        logits, means, log_scales = (tuple(x.shape) for x in (self.logits, self.means, self.log_scales))
        if log_scales != logits or means[:2] + means[3:] != logits:
            raise ValueError(
                f"mixture shapes do not fit: logits {logits}, means {means}, log_scales {log_scales}; "
                "expected [B, K, *S], [B, K, C, *S], [B, K, *S]"
            )
        for name in ("logits", "means", "log_scales"):
            value = getattr(self, name)
            if value.dtype not in (torch.float32, torch.float64):
                object.__setattr__(self, name, value.float())

    @property
    def components(self) -> int:
        """Number of Gaussians, K."""
        return self.logits.shape[1]

    @property
    def channels(self) -> int:
        """Real dimensions per position, C."""
        return self.means.shape[2]

    @property
    def log_weights(self) -> Tensor:
        """Normalised log weights, ``[B, K, *S]``."""
        return torch.log_softmax(self.logits, dim=1)

    @property
    def weights(self) -> Tensor:
        """Weights, ``[B, K, *S]``, summing to one over K."""
        return torch.softmax(self.logits, dim=1)

    @property
    def scales(self) -> Tensor:
        """Standard deviations, ``[B, K, *S]``."""
        return self.log_scales.exp()

    def _standardised(self, value: Tensor) -> Tensor:
        z = (value.to(self.means.dtype).unsqueeze(1) - self.means) * torch.exp(-self.log_scales).unsqueeze(2)
        return z.clamp(-_Z_LIMIT, _Z_LIMIT)

    def component_log_prob(self, value: Tensor) -> Tensor:
        """Log of weight times density of each component at ``value`` ``[B, C, *S]``: ``[B, K, *S]``, in nats."""
        z = self._standardised(value)
        log_density = -0.5 * z.square().sum(2) - self.channels * (self.log_scales + 0.5 * _LOG_2PI)
        return self.log_weights + log_density

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density at ``value`` ``[B, C, *S]``: ``[B, *S]``, in nats over all C dimensions of a position."""
        return torch.logsumexp(self.component_log_prob(value), dim=1)

    def nll(self, value: Tensor) -> Tensor:
        """Negative log-likelihood ``[B, *S]`` in nats per real dimension."""
        return -self.log_prob(value) / self.channels

    def responsibilities(self, value: Tensor) -> Tensor:
        """Posterior probability of each component given ``value``: ``[B, K, *S]``, summing to one over K."""
        return torch.softmax(self.component_log_prob(value), dim=1)

    def mean(self) -> Tensor:
        """Expected value, ``[B, C, *S]``."""
        return (self.weights.unsqueeze(2) * self.means).sum(1)

    def variance(self) -> Tensor:
        """Variance per real dimension, ``[B, C, *S]``: within the components plus between them."""
        between = (self.means - self.mean().unsqueeze(1)).square()
        within = torch.exp(2.0 * self.log_scales).unsqueeze(2)
        return (self.weights.unsqueeze(2) * (within + between)).sum(1)

    def _pick(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Means ``[B, C, *S]`` and scales ``[B, *S]`` of component ``index`` ``[B, *S]``."""
        chosen = index.unsqueeze(1)
        scale = self.log_scales.gather(1, chosen).squeeze(1).exp()
        wide = chosen.unsqueeze(2).expand(-1, 1, self.channels, *index.shape[1:])
        return self.means.gather(1, wide).squeeze(1), scale

    def mode(self) -> Tensor:
        """Mean of the most probable component, ``[B, C, *S]``."""
        return self._pick(self.logits.argmax(dim=1))[0]

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw per position, ``[B, C, *S]``; ``generator`` makes it repeatable."""
        like: Any = {"generator": generator, "device": self.logits.device, "dtype": self.logits.dtype}
        uniform = torch.rand(self.logits.shape, **like)
        # Gumbel-max: argmax of log weight plus Gumbel noise is a draw of the component.
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-20, 1.0 - 1e-7)))
        means, scale = self._pick((self.log_weights + gumbel).argmax(dim=1))
        noise = torch.randn(means.shape, **like)
        return means + scale.unsqueeze(1) * noise

    def _by_component(self, value: Tensor | float) -> Tensor:
        """A number, or ``[B, ...]`` with an axis for the components."""
        value = torch.as_tensor(value, dtype=self.means.dtype, device=self.means.device)
        return value.unsqueeze(1) if value.dim() else value

    def affine(
        self, factor: Tensor | float, offset: Tensor | float = 0.0, variance: Tensor | float = 0.0
    ) -> GaussianMixture:
        """Mixture of ``factor * v + offset + sqrt(variance) * eps`` with standard normal ``eps``.

        Args:
            factor: number or tensor that broadcasts to ``[B, *S]`` (shared by the C dimensions); not zero
                unless ``variance`` is positive.
            offset: number or tensor that broadcasts to ``[B, C, *S]``.
            variance: number or tensor, not negative, that broadcasts to ``[B, *S]``.
        """
        factor, offset, variance = map(self._by_component, (factor, offset, variance))
        # logaddexp would need log(0) for a zero variance, whose gradient is not finite.
        grown = factor.square() * torch.exp(2.0 * self.log_scales) + variance
        log_scales = 0.5 * torch.log(grown.clamp_min(torch.finfo(grown.dtype).tiny))
        by_channel = factor.unsqueeze(2) if factor.dim() else factor
        return GaussianMixture(self.logits, by_channel * self.means + offset, log_scales)

    def tempered(self, temperature: float) -> GaussianMixture:
        """The same weights and means with every standard deviation times ``temperature``.

        Raises:
            ValueError: if ``temperature`` is not positive.
        """
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        return GaussianMixture(self.logits, self.means, self.log_scales + math.log(temperature))

    def tilt(self, precision: Tensor | float, information: Tensor) -> GaussianMixture:
        r"""Mixture proportional to :math:`q(v) \exp(h \cdot v - \lambda |v|^2 / 2)`, in closed form.

        With :math:`\lambda \ge 0` this is Bayes' rule for a Gaussian observation of precision
        :math:`\lambda` at :math:`h / \lambda`; per component the precision grows by :math:`\lambda`.

        Args:
            precision: :math:`\lambda`, number or tensor that broadcasts to ``[B, *S]``.
            information: :math:`h`, broadcasts to ``[B, C, *S]``.
        """
        lam, h = self._by_component(precision), self._by_component(information)
        variance = torch.exp(2.0 * self.log_scales)
        gain = 1.0 + lam * variance  # [B, K, *S]
        lam_c = lam.unsqueeze(2) if lam.dim() else lam
        var_c, gain_c = variance.unsqueeze(2), gain.unsqueeze(2)
        means = (self.means + var_c * h) / gain_c
        exponent = ((2.0 * h * self.means + h.square() * var_c - lam_c * self.means.square()) / gain_c).sum(2)
        logits = self.log_weights + 0.5 * (exponent - self.channels * gain.log())
        return GaussianMixture(logits, means, self.log_scales - 0.5 * gain.log())
