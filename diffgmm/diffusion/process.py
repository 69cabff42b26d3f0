r"""Diffusion between clean and noisy speech: states, their marginals, and the reverse step.

A state is :math:`x_t = s + t\,n + \sigma_t\,\epsilon = y - (1 - t)\,n + \sigma_t\,\epsilon` with clean speech s,
noise n = y - s, noisy speech y; t = 1 is the noisy end and t = 0 the clean one.

* :class:`Blend`: :math:`\sigma_t = 0`. A reverse step subtracts a part of the noise (Wang et al.,
  arXiv 2406.09154). Since noisy speech beside a state would reveal the noise, its prediction is
  conditioned on the state alone.
* :class:`Bridge`: :math:`\sigma_t^2 = c^2 t (1 - t)`, the Brownian bridge from s to y. A state is an
  observation of n with precision :math:`(1 - t) / (c^2 t)`: informative, not decisive.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor


class ReverseStep(NamedTuple):
    """Distribution of the next state given the noise: ``x_tau = offset + factor * n + sqrt(variance) * eps``."""

    offset: Tensor
    factor: Tensor
    variance: Tensor


def _like(time: Tensor, state: Tensor) -> Tensor:
    """``time`` ``[B]`` (or a scalar tensor) shaped to broadcast over ``state`` ``[B, ...]``."""
    return time.reshape(-1, *([1] * (state.dim() - 1))).to(state.dtype)


class Process(ABC):
    """What models, samplers and training need of a process; states ``[B, C, *S]``, times ``[B]`` in [0, 1].

    A subclass is a frozen dataclass of plain numbers, or keeps its arguments in ``init_args``: that is how a saved
    model describes it. The caller sees to it that ``t_next`` is smaller than ``time``: a check here would wait
    for the device in every step.
    """

    conditions_on_noisy: ClassVar[bool] = True
    """Whether the network sees the noisy signal beside the state."""

    @abstractmethod
    def sigma(self, time: Tensor) -> Tensor:
        """Standard deviation of the state at ``time``, ``[B]``."""

    def state(self, clean: Tensor, noise: Tensor, time: Tensor, eps: Tensor) -> Tensor:
        """State at ``time`` ``[B]`` for ``clean``, ``noise`` and standard normal ``eps``, each ``[B, C, *S]``."""
        return clean + _like(time, clean) * noise + _like(self.sigma(time), clean) * eps

    @abstractmethod
    def reverse(self, state: Tensor, noisy: Tensor, time: Tensor, t_next: Tensor) -> ReverseStep:
        """Distribution of the state at ``t_next`` given the state at ``time``, the noisy end and the noise."""

    def flow(self, state: Tensor, noisy: Tensor, time: Tensor, t_next: Tensor) -> ReverseStep:
        """Deterministic step with the marginals of :meth:`reverse`.

        Raises:
            ValueError: the process has none; its solver is ``step``.
        """
        raise ValueError(f"{type(self).__name__} has no flow: use the solver step")

    def observation(self, state: Tensor, noisy: Tensor, time: Tensor) -> tuple[Tensor, Tensor] | None:
        """What the state says about the noise: precision ``[B, *S]`` or broadcastable, information ``[B, C, *S]``.

        ``None`` where that is no Gaussian observation; sub-steps then don't exist.
        """
        return None


@dataclass(frozen=True)
class Blend(Process):
    """Deterministic blend of clean and noisy: ``x_t = s + t n``. See the module's text."""

    conditions_on_noisy = False

    def sigma(self, time: Tensor) -> Tensor:
        """Standard deviation of the state at ``time``: zero everywhere."""
        return torch.zeros_like(time)

    def reverse(self, state: Tensor, noisy: Tensor, time: Tensor, t_next: Tensor) -> ReverseStep:
        """Step to ``t_next`` that subtracts the share ``time - t_next`` of the noise from the state.

        The form with ``noisy`` is not used: it would throw away what earlier steps have subtracted.
        """
        gap = _like(time - t_next, state)
        return ReverseStep(state, -gap, torch.zeros_like(gap))

    def flow(self, state: Tensor, noisy: Tensor, time: Tensor, t_next: Tensor) -> ReverseStep:
        """As :meth:`reverse`, which is deterministic already: ``dx/dt`` is the noise."""
        return self.reverse(state, noisy, time, t_next)


@dataclass(frozen=True)
class Bridge(Process):
    """Brownian bridge from clean to noisy: ``x_t = s + t n + c sqrt(t (1 - t)) eps``.

    Args:
        c: diffusion coefficient, in units of the representation; positive.

    Raises:
        ValueError: if ``c`` is not positive.
    """

    c: float = 0.5

    def __post_init__(self) -> None:
        if not self.c > 0:
            raise ValueError(f"bridge: c must be positive, got {self.c} (the blend has no randomness)")

    def sigma(self, time: Tensor) -> Tensor:
        """Standard deviation of the state at ``time``: ``c sqrt(t (1 - t))``."""
        return self.c * torch.sqrt((time * (1.0 - time)).clamp_min(0.0))

    def reverse(self, state: Tensor, noisy: Tensor, time: Tensor, t_next: Tensor) -> ReverseStep:
        r"""Distribution of the state at ``t_next`` given the state at ``time``, the noisy end and the noise.

        :math:`x_\tau | x_t, n, y \sim N(s + (\tau/t)(x_t - s),\; c^2 \tau (t - \tau) / t)` with s = y - n:
        the bridge is Markov, and between 0 and t it is a bridge from s to :math:`x_t`.
        """
        share = _like((time - t_next) / time, state)
        variance = self.c**2 * t_next * (time - t_next) / time
        return ReverseStep((1.0 - share) * state + share * noisy, -share, _like(variance, state))

    def flow(self, state: Tensor, noisy: Tensor, time: Tensor, t_next: Tensor) -> ReverseStep:
        r"""Deterministic step with the marginals of :meth:`reverse`; put the *expected* noise in its place.

        With :math:`u = (x_t - y) / \sigma_t` and :math:`\rho = (1 - t) / \sigma_t` the probability flow is
        :math:`du / d\rho = -E[n | x_t, y]`; the step is exact while that expectation stays constant (compare
        Zheng et al., "Diffusion bridge implicit models", arXiv 2405.15885). At t = 1 the state is the point y and
        u standard normal whatever the noise: there, and only there, the step has a variance.
        """
        start = time >= 1.0
        sigma = torch.where(start, torch.ones_like(time), self.sigma(time))
        ratio = torch.where(start, torch.zeros_like(time), self.sigma(t_next) / sigma)
        variance = torch.where(start, self.sigma(t_next).square(), torch.zeros_like(time))
        factor = ratio * (1.0 - time) - (1.0 - t_next)
        offset = noisy + _like(ratio, state) * (state - noisy)
        return ReverseStep(offset, _like(factor, state), _like(variance, state))

    def observation(self, state: Tensor, noisy: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        r"""What the state says about the noise: precision :math:`(1-t)/(c^2 t)`, information :math:`(y-x_t)/(c^2 t)`.

        As a function of n, ``log N(x_t; y - (1 - t) n, sigma_t^2)`` is
        ``information * n - precision * n^2 / 2`` up to a constant; both vanish at t = 1.
        Their difference between two times carries a mixture from one to the other
        (``GaussianMixture.tilt``).
        """
        denominator = self.c**2 * _like(time, state)
        precision = (1.0 - _like(time, state)) / denominator
        return precision.squeeze(1), (noisy - state) / denominator
