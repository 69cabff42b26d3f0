"""One number that makes a model as sure as it should be: a temperature, fitted on pairs that training did not see.

The temperature multiplies every standard deviation of the mixtures and leaves weights and means, and with them the
one-step mean, alone. It minimises the CRPS. Likelihood and coverage count every bin alike, the silent ones too, which
every model gets right and which ask for narrower distributions in exchange; the CRPS is in the values' own unit, so
bins count by what there is to be wrong about. ``docs/uncertainty.md`` has what each of the three gives.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.metrics.coverage import inside, pit
from diffgmm.metrics.crps import crps

LEVELS = (0.5, 0.9, 0.99)
BOUNDS = (0.25, 4.0)
EVERY = 8  # neighbouring frames say the same

Criterion = Literal["crps", "nll", "coverage"]
CRITERIA: tuple[Criterion, ...] = ("crps", "nll", "coverage")

Posteriors = list[tuple[GaussianMixture, Tensor]]
"""Mixtures of the noise given the noisy sound, ``[B, ...]``, and the true noise ``[B, C, *S]``."""


@dataclass(frozen=True)
class Scores:
    """How well mixtures describe the truth.

    Attributes:
        temperature: that the mixtures had.
        nll: nats per real dimension.
        crps: in the representation's unit.
        coverage: share of true values in central intervals, by the intervals' level in percent.
        values: how many true values were looked at.
    """

    temperature: float
    nll: float
    crps: float
    coverage: dict[str, float]
    values: int

    @property
    def error(self) -> float:
        """Distance of the 90 % intervals' coverage from 90 %, as a fraction."""
        return abs(self.coverage["90"] - 0.9)

    def record(self) -> dict[str, Any]:
        """Plain data, rounded."""
        fields = asdict(self)
        fields |= {name: round(fields[name], 5) for name in ("temperature", "nll", "crps")}
        fields["coverage"] = {level: round(share, 4) for level, share in self.coverage.items()}
        return fields


@torch.inference_mode()
def collect(model: MixtureDenoiser, batches: Iterable[Mapping[str, Any]], every: int = EVERY) -> Posteriors:
    """The model's one-step posteriors for pairs, thinned out in time, each with the pair's noise.

    Args:
        model: in evaluation mode.
        batches: with ``noisy`` and ``clean`` ``[B, 1, T]``.
        every: only every so many-th frame (or sample) is kept.
    """
    posteriors: Posteriors = []
    device = next(model.parameters()).device
    for batch in batches:
        noisy, clean = (batch[name].to(device) for name in ("noisy", "clean"))
        posterior, noise = model.posterior_and_target(noisy, clean)
        parts = (posterior.logits, posterior.means, posterior.log_scales, noise)
        *thin, noise = (part[..., ::every].clone() for part in parts)
        posteriors.append((GaussianMixture(*thin), noise))
    return posteriors


@torch.inference_mode()
def score(posteriors: Posteriors, temperature: float = 1.0) -> Scores:
    """Likelihood, CRPS and coverage at a temperature.

    Raises:
        ValueError: no posteriors, or a temperature that is not positive.
    """
    if not posteriors:
        raise ValueError("no posteriors to score")
    sums = torch.zeros(2 + len(LEVELS), dtype=torch.float64)
    values = 0
    for posterior, noise in posteriors:
        mixture = posterior.tempered(temperature)
        transformed = pit(mixture, noise)
        parts = [mixture.nll(noise), crps(mixture, noise), *(inside(transformed, level) for level in LEVELS)]
        sums += noise.numel() * torch.stack([part.double().mean().cpu() for part in parts])
        values += noise.numel()
    nll, mean_crps, *shares = (sums / values).tolist()
    coverage = {f"{100 * level:g}": share for level, share in zip(LEVELS, shares, strict=True)}
    return Scores(temperature, nll, mean_crps, coverage, values)


def fit(posteriors: Posteriors, criterion: Criterion = "crps") -> float:
    """The temperature in :data:`BOUNDS` that is best by a criterion (bounded search over its logarithm).

    Args:
        posteriors: of pairs that training did not see.
        criterion: ``crps`` or ``nll`` at its least, or ``coverage`` of the 90 % interval nearest to 90 %.

    Raises:
        ValueError: no posteriors, or no such criterion.
    """
    from scipy.optimize import minimize_scalar

    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}, got {criterion!r}")
    figure = operator.attrgetter("error" if criterion == "coverage" else criterion)
    minimum = minimize_scalar(
        lambda log: figure(score(posteriors, math.exp(log))),
        bounds=tuple(map(math.log, BOUNDS)),
        method="bounded",
        options={"xatol": 0.005},
    )
    return math.exp(float(minimum.x))
