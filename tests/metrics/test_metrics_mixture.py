"""Metrics of the mixture: by hand, against an independent package and numerical integration, over processes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.metrics.coverage import inside, pit
from diffgmm.metrics.crps import crps


def random_mixture(batch: int = 3, channels: int = 2, seed: int = 0) -> tuple[GaussianMixture, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mixture = GaussianMixture(
        draw(batch, 3, 4, 5), draw(batch, 3, channels, 4, 5), 0.5 * draw(batch, 3, 4, 5)
    )
    return mixture, 2 * draw(batch, channels, 4, 5)


def single(mean: float, scale: float) -> GaussianMixture:
    return GaussianMixture(
        torch.zeros(1, 1, 1), torch.full((1, 1, 1, 1), mean), torch.full((1, 1, 1), math.log(scale))
    )


def coverage(mixture: GaussianMixture, value: torch.Tensor, level: float) -> torch.Tensor:
    return inside(pit(mixture, value), level).nanmean()


def test_by_hand() -> None:
    value = torch.full((1, 1, 1), 3.0)
    assert float(single(1.0, 2.0).nll(value)) == pytest.approx(
        0.5 * math.log(2 * math.pi) + math.log(2) + 0.5
    )
    # One Gaussian (Gneiting and Raftery 2007): sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = 1.
    phi = math.exp(-0.5) / math.sqrt(2 * math.pi)
    expected = 2.0 * ((2 * stats.norm.cdf(1.0) - 1) + 2 * phi - 1 / math.sqrt(math.pi))
    assert float(crps(single(1.0, 2.0), value)) == pytest.approx(expected, rel=1e-6)
    assert float(crps(single(1.0, 1e-6), value)) == pytest.approx(2.0, rel=1e-5)  # sure: the absolute error
    assert float(pit(single(1.0, 2.0), value)) == pytest.approx(stats.norm.cdf(1.0), rel=1e-6)
    # Phi(1) = 0.841: in the central 70 % interval (up to 0.85), not in the central 68 % (0.84).
    assert float(coverage(single(1.0, 2.0), value, 0.70)) == 1.0
    assert float(coverage(single(1.0, 2.0), value, 0.68)) == 0.0


def test_crps_and_pit_agree_with_numerical_integration() -> None:
    mixture, value = random_mixture(1)
    for place in [(0, 0, 0), (0, 1, 2), (1, 3, 4)]:
        channel, f, n = place
        weights = mixture.weights[0, :, f, n].numpy()
        means, scales = mixture.means[0, :, channel, f, n].numpy(), mixture.scales[0, :, f, n].numpy()
        truth = float(value[0, channel, f, n])

        def distribution(v: float, w=weights, m=means, s=scales) -> float:  # type: ignore[no-untyped-def]
            return float((w * stats.norm.cdf(v, m, s)).sum())

        below = integrate.quad(lambda v: distribution(v) ** 2, -30, truth, limit=200)[0]
        above = integrate.quad(lambda v: (1 - distribution(v)) ** 2, truth, 30, limit=200)[0]
        assert float(crps(mixture, value)[0, channel, f, n]) == pytest.approx(below + above, abs=1e-6)
        assert float(pit(mixture, value)[0, channel, f, n]) == pytest.approx(distribution(truth), abs=1e-9)


def test_crps_agrees_with_scoringrules() -> None:
    scoringrules = pytest.importorskip("scoringrules")
    mixture, value = random_mixture()
    wide = mixture.means.shape
    flat = [
        x.expand(wide).movedim(1, -1).reshape(-1, 3).numpy()
        for x in (mixture.means, mixture.scales.unsqueeze(2), mixture.weights.unsqueeze(2))
    ]
    theirs = scoringrules.crps_mixnorm(value.reshape(-1).numpy(), *flat, backend="numpy")
    np.testing.assert_allclose(crps(mixture, value).reshape(-1).numpy(), theirs, rtol=1e-9)


def test_truth_drawn_from_the_mixture_is_covered_as_promised() -> None:
    mixture = GaussianMixture(
        torch.tensor([[0.5, -0.5]]).reshape(1, 2, 1).expand(1, 2, 40_000),
        torch.tensor([-1.0, 2.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 40_000),
        torch.tensor([-0.5, 0.3]).reshape(1, 2, 1).expand(1, 2, 40_000),
    )
    truth = mixture.sample(torch.Generator().manual_seed(1))
    u = pit(mixture, truth).reshape(-1).double().numpy()
    assert stats.kstest(u, "uniform").pvalue > 0.01
    for level in (0.5, 0.9):
        assert float(coverage(mixture, truth, level)) == pytest.approx(level, abs=0.01)
    too_sure = GaussianMixture(mixture.logits, mixture.means, mixture.log_scales - 1)
    assert float(coverage(too_sure, truth, 0.9)) < 0.7
    # Proper scores prefer the truth to the too sure and to the too unsure.
    unsure = GaussianMixture(mixture.logits, mixture.means, mixture.log_scales + 1)
    for function in (GaussianMixture.nll, crps):
        right = float(function(mixture, truth).mean())
        assert right < float(function(too_sure, truth).mean()) and right < float(
            function(unsure, truth).mean()
        )


def test_the_truth_that_is_not_finite_is_in_no_interval() -> None:
    mixture, value = random_mixture()
    value[0, 0, 0, 0] = torch.nan
    assert int(inside(pit(mixture, value), 0.9).isnan().sum()) == 1
    assert math.isfinite(float(coverage(mixture, value, 0.9)))


def test_extreme_mixtures_stay_finite() -> None:
    for scale in (1e-8, 1e8):
        found = crps(single(0.0, scale), torch.full((1, 1, 1), 1e4))
        assert bool(torch.isfinite(found).all()) and float(found) >= 0


def test_levels_out_of_range_are_refused() -> None:
    for level in (0.0, 90):
        with pytest.raises(ValueError, match="between 0 and 1"):
            inside(torch.zeros(1), level)
