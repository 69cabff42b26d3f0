"""The mixture's closed forms against autograd, quadrature, Monte Carlo and torch.distributions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffgmm.diffusion.mixture import GaussianMixture


def mixture(k: int = 3, c: int = 2, shape: tuple[int, ...] = (4, 5), seed: int = 0) -> GaussianMixture:
    g = torch.Generator().manual_seed(seed)
    return GaussianMixture(
        torch.randn(2, k, *shape, generator=g, dtype=torch.float64),
        torch.randn(2, k, c, *shape, generator=g, dtype=torch.float64),
        0.5 * torch.randn(2, k, *shape, generator=g, dtype=torch.float64) - 0.5,
    )


def integrate(values: Tensor, axis: Tensor) -> Tensor:
    return torch.trapezoid(values, axis, dim=-1)


def line(q: GaussianMixture, axis: Tensor) -> Tensor:
    """Density of a one-dimensional, one-position mixture along ``axis`` ``[M]``."""
    wide = GaussianMixture(
        q.logits.expand(1, -1, len(axis)),
        q.means.expand(1, -1, 1, len(axis)),
        q.log_scales.expand(1, -1, len(axis)),
    )
    return wide.log_prob(axis.reshape(1, 1, -1)).exp().squeeze(0)


AXIS = torch.linspace(-40, 40, 200001, dtype=torch.float64)


@pytest.mark.parametrize("c", [1, 2])
def test_log_prob_equals_torch_distributions(c: int) -> None:
    q = mixture(c=c)
    d = torch.distributions
    last = q.means.movedim((1, 2), (-2, -1))
    reference = d.MixtureSameFamily(
        d.Categorical(logits=q.logits.movedim(1, -1)),
        d.Independent(d.Normal(last, q.scales.movedim(1, -1).unsqueeze(-1)), 1),
    )
    value = torch.randn(2, c, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(value), reference.log_prob(value.movedim(1, -1)))
    torch.testing.assert_close(q.mean(), reference.mean.movedim(-1, 1))
    torch.testing.assert_close(q.variance(), reference.variance.movedim(-1, 1))


def test_one_component_is_the_gaussian() -> None:
    q = mixture(k=1, c=1)
    value = torch.randn(2, 1, 4, 5, dtype=torch.float64)
    normal = torch.distributions.Normal(q.means[:, 0], q.scales)
    torch.testing.assert_close(q.log_prob(value), normal.log_prob(value).squeeze(1))
    torch.testing.assert_close(q.mean(), q.mode())


def test_weights_and_responsibilities_sum_to_one() -> None:
    q = mixture()
    ones = torch.ones(2, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(q.weights.sum(1), ones)
    torch.testing.assert_close(q.responsibilities(torch.randn(2, 2, 4, 5)).sum(1), ones)


def test_density_integrates_to_one() -> None:
    g = torch.Generator().manual_seed(3)
    q = GaussianMixture(
        torch.randn(1, 3, 1, generator=g, dtype=torch.float64),
        2 * torch.randn(1, 3, 1, 1, generator=g, dtype=torch.float64),
        torch.randn(1, 3, 1, generator=g, dtype=torch.float64) * 0.3,
    )
    assert integrate(line(q, AXIS), AXIS).item() == pytest.approx(1.0, abs=1e-9)


def test_mode_is_the_mean_of_the_most_probable_component() -> None:
    q = GaussianMixture(
        torch.tensor([[[0.0], [2.0]]]), torch.tensor([[[[-1.0]], [[3.0]]]]), torch.zeros(1, 2, 1)
    )
    assert q.mode().item() == 3.0


def test_sample_has_the_moments_and_repeats_with_its_generator() -> None:
    q = mixture(shape=(1,))
    many = GaussianMixture(
        q.logits.expand(2, 3, 200000), q.means.expand(2, 3, 2, 200000), q.log_scales.expand(2, 3, 200000)
    )
    draws = many.sample(torch.Generator().manual_seed(1))
    torch.testing.assert_close(draws.mean(-1, keepdim=True), q.mean(), atol=0.02, rtol=0)
    torch.testing.assert_close(draws.var(-1, keepdim=True), q.variance(), atol=0.03, rtol=0.02)
    again = many.sample(torch.Generator().manual_seed(1))
    assert torch.equal(draws, again)


@pytest.mark.parametrize("variance", [0.0, 0.7])
def test_affine_equals_the_distribution_of_the_transformed_value(variance: float) -> None:
    q = mixture(k=2, c=1, shape=(1,))
    q = GaussianMixture(q.logits[:1], q.means[:1], q.log_scales[:1])
    moved = q.affine(-0.4, 1.5, variance)
    p = line(moved, AXIS)
    assert integrate(p, AXIS).item() == pytest.approx(1.0, abs=1e-9)
    mean = integrate(p * AXIS, AXIS)
    torch.testing.assert_close(mean, (-0.4 * q.mean() + 1.5).squeeze())
    second = integrate(p * (AXIS - mean) ** 2, AXIS)
    torch.testing.assert_close(second, (0.16 * q.variance() + variance).squeeze())


def test_affine_takes_one_factor_per_window() -> None:
    q = mixture()
    factor = torch.tensor([0.5, 2.0], dtype=torch.float64).reshape(2, 1, 1)
    moved = q.affine(factor, torch.zeros(2, 2, 4, 5, dtype=torch.float64))
    torch.testing.assert_close(moved.mean(), factor.unsqueeze(1) * q.mean())


@settings(max_examples=40, deadline=None)
@given(
    precision=st.floats(0.0, 50.0), where=st.floats(-6.0, 6.0), seed=st.integers(0, 1000), k=st.integers(1, 5)
)
def test_tilt_equals_quadrature(precision: float, where: float, seed: int, k: int) -> None:
    q = mixture(k=k, c=1, shape=(1,), seed=seed)
    q = GaussianMixture(q.logits[:1], q.means[:1], q.log_scales[:1])
    information = torch.full((1, 1, 1), precision * where, dtype=torch.float64)
    tilted = q.tilt(precision, information)
    weight = line(q, AXIS) * torch.exp(-0.5 * precision * (AXIS - where) ** 2)
    expected = weight / integrate(weight, AXIS)
    assert (line(tilted, AXIS) - expected).abs().max().item() < 1e-6 * expected.max().item()


def test_tilt_of_two_dimensions_equals_the_product_of_gaussians() -> None:
    q = mixture(k=1)
    z = torch.randn(2, 2, 4, 5, dtype=torch.float64)
    tilted = q.tilt(3.0, 3.0 * z)
    variance = 1 / (1 / q.scales**2 + 3.0)
    torch.testing.assert_close(tilted.scales**2, variance)
    torch.testing.assert_close(
        tilted.means, variance.unsqueeze(2) * (q.means / q.scales.unsqueeze(2) ** 2 + 3.0 * z.unsqueeze(1))
    )


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e6, -1e20, 3e38])
@pytest.mark.parametrize("log_scale", [-12.0, 0.0, 30.0])
def test_extreme_inputs_stay_finite_with_gradients(value: float, log_scale: float) -> None:
    logits = torch.tensor([[[-1e4], [1e4]]], requires_grad=True)
    means = torch.tensor([[[[0.0]], [[1e6]]]], requires_grad=True)
    log_scales = torch.full((1, 2, 1), log_scale, requires_grad=True)
    q = GaussianMixture(logits, means, log_scales)
    result = q.log_prob(torch.full((1, 1, 1), value))
    assert torch.isfinite(result).all()
    result.sum().backward()
    for leaf in (logits, means, log_scales):
        assert leaf.grad is not None and torch.isfinite(leaf.grad).all()


def test_bfloat16_autocast_agrees_with_float32() -> None:
    q64 = mixture()
    q = GaussianMixture(q64.logits.float(), q64.means.float(), q64.log_scales.float())
    value = torch.randn(2, 2, 4, 5)
    exact = q.log_prob(value)
    with torch.autocast("cpu", torch.bfloat16):
        low = GaussianMixture(q.logits.bfloat16(), q.means.bfloat16(), q.log_scales.bfloat16())
        assert low.logits.dtype == torch.float32
        assert torch.equal(q.log_prob(value), exact)
        torch.testing.assert_close(low.log_prob(value), exact, atol=0.3, rtol=0.05)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes do not fit.*\[B, K, C, \*S\]"):
        GaussianMixture(torch.zeros(1, 2, 3), torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 3))


def test_nll_is_per_real_dimension() -> None:
    q = GaussianMixture(torch.zeros(1, 1, 1), torch.zeros(1, 1, 2, 1), torch.zeros(1, 1, 1))
    assert q.nll(torch.zeros(1, 2, 1)).item() == pytest.approx(0.5 * math.log(2 * math.pi))


def test_temperature_multiplies_the_scales_alone() -> None:
    q = mixture()
    hot = q.tempered(1.7)
    torch.testing.assert_close(hot.scales, 1.7 * q.scales)
    assert torch.equal(hot.weights, q.weights) and torch.equal(hot.mean(), q.mean())
    with pytest.raises(ValueError, match="temperature must be positive"):
        q.tempered(-1.0)


def test_mode_goes_by_weight_alone() -> None:
    """Not by the height of the density, nor by a component's place, width or mean."""
    logits = torch.tensor([0.0, 2.0, 1.0]).reshape(1, 3, 1).repeat(1, 1, 2)
    logits[..., 1] = logits[..., 1].roll(1, dims=1)  # the second position's most probable one is the last
    means = torch.tensor([[7.0, -7.0], [1.0, -1.0], [-3.0, 3.0]]).reshape(1, 3, 2, 1).repeat(1, 1, 1, 2)
    for log_scales in ([-6.0, 0.0, -1.0], [1.0, -6.0, 2.0], [0.0, 0.0, 0.0]):
        q = GaussianMixture(logits, means, torch.tensor(log_scales).reshape(1, 3, 1).repeat(1, 1, 2))
        assert q.mode().tolist() == [[[1.0, -3.0], [-1.0, 3.0]]]


@pytest.mark.parametrize(
    ("uniform", "logit", "chosen"),
    [
        ((0.0, 0.0), -2.0, 0),  # generators can give 0, and infinite noise would always pick the first
        ((0.0, 0.0), 2.0, 1),
        ((1.0, 1.0), 2.0, 1),
        ((1e-19, 1e-3), -1.7, 1),  # -log(-log u): -3.777 and -1.933
        ((1e-19, 1e-3), -1.9, 0),
        ((0.5, 1 - 2e-6), -12.6, 1),  # 0.367 and 13.122
        ((0.5, 1 - 2e-6), -12.9, 0),
    ],
)
def test_components_are_drawn_by_gumbel_noise(
    monkeypatch: pytest.MonkeyPatch, uniform: tuple[float, float], logit: float, chosen: int
) -> None:
    numbers = torch.tensor(uniform).reshape(1, 2, 1)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: numbers)
    q = GaussianMixture(
        torch.tensor([0.0, logit]).reshape(1, 2, 1),
        torch.tensor([-100.0, 100.0]).reshape(1, 2, 1, 1),
        torch.zeros(1, 2, 1),
    )
    assert (q.sample().item() > 0) == bool(chosen)
