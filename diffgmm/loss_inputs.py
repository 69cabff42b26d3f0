"""What training losses look at: a model's answer about a batch, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffgmm.mixture import GaussianMixture
from diffgmm.process import Process
from diffgmm.representation import Context, Representation


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
