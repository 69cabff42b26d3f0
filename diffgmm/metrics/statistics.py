"""Confidence intervals of means, and paired tests between two systems.

Everything is seeded: the same values give the same result on any machine. Values that are not finite are scores
that do not exist; they are left out, and every result says how many were left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 0
_NORMAL = NormalDist()
_CHUNK = 4_000_000  # drawn numbers held at once

Scores = Mapping[str, Sequence[float]]
"""By metric, one per file."""

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"


def mean(values: Iterable[float]) -> float:
    """Of the finite values; NaN if there is none."""
    there = [value for value in values if math.isfinite(value)]
    return math.fsum(there) / len(there) if there else math.nan


class Estimate(NamedTuple):
    """A mean and what is known about it.

    Attributes:
        mean: of the finite values, NaN if there is none.
        sd: standard deviation (n - 1 in the denominator), NaN below two values.
        low: lower end of the bootstrap interval of the mean, NaN below two values.
        high: its upper end.
        n_valid: finite values.
        n_total: all values.
    """

    mean: float
    sd: float
    low: float
    high: float
    n_valid: int
    n_total: int


class Comparison(NamedTuple):
    """Whether one system is better than another on the same files.

    Attributes:
        difference: mean of the paired differences, positive where the first system is better (so for a distance, of
            which less is better, it is the other's value minus this one's); in the metric's unit.
        low: lower end of the bootstrap interval of that mean.
        high: its upper end.
        effect: matched-pairs rank-biserial correlation, from -1 (worse on all files) to 1 (better on all).
        p: two-sided p value of Wilcoxon's signed-rank test.
        p_adjusted: the same after :func:`holm`'s correction over the metrics that were compared together.
        n_pairs: files on which both have a score.
        n_total: files.
        verdict: ``better``, ``worse`` or ``undecided`` at the 5 % level, by ``p_adjusted``; mean and ranks must agree.
    """

    difference: float
    low: float
    high: float
    effect: float
    p: float
    p_adjusted: float
    n_pairs: int
    n_total: int
    verdict: str


def bootstrap_interval(values: Sequence[float], resamples: int = RESAMPLES) -> tuple[float, float]:
    """Interval for the mean by the bias-corrected and accelerated bootstrap (BCa; Efron, JASA 1987).

    Args:
        values: one per file; those not finite are left out.
        resamples: how often the values are drawn anew.

    Returns:
        ``(low, high)``, which holds the true mean with probability :data:`LEVEL`; NaN for fewer than two values, the
        value itself if all are equal.

    >>> low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> 1.0 < low < 3.0 < high < 5.0
    True
    """
    x = np.array([value for value in values if math.isfinite(value)], dtype=np.float64)
    if x.size < 2:
        return math.nan, math.nan
    deviations = x - x.mean()
    if not np.abs(deviations).max() > 1e-12 * np.abs(x).max():
        return float(x[0]), float(x[0])
    rng = np.random.default_rng(SEED)
    chunk = max(1, _CHUNK // x.size)
    drawn = [
        deviations[rng.integers(0, x.size, (min(chunk, resamples - start), x.size))].mean(axis=1)
        for start in range(0, resamples, chunk)
    ]
    means = np.sort(np.concatenate(drawn))
    below = (np.count_nonzero(means < 0) + 0.5 * np.count_nonzero(means == 0)) / resamples
    bias = _NORMAL.inv_cdf(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples))
    # The jackknife's acceleration, which for a mean is a sixth of the skewness over the root of n.
    acceleration = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))
    tails = (bias + _NORMAL.inv_cdf(tail) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    ends = [_NORMAL.cdf(bias + z / (1 - acceleration * z)) for z in tails]
    low, high = np.quantile(means, ends) + x.mean()
    return float(low), float(high)


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, standard deviation and interval of the finite values, with their number.

    >>> estimate([2.0, 4.0, float("nan")]).n_valid
    2
    """
    x = [float(value) for value in values if math.isfinite(value)]
    average = mean(x)
    squares = math.fsum((value - average) ** 2 for value in x)
    sd = math.sqrt(squares / (len(x) - 1)) if len(x) > 1 else math.nan
    return Estimate(average, sd, *bootstrap_interval(x), len(x), len(values))


def compare(
    first: Sequence[float], second: Sequence[float], higher_is_better: bool = True, resamples: int = RESAMPLES
) -> Comparison:
    """Compare two systems on the same files by Wilcoxon's signed-rank test (Wilcoxon, Biometrics 1945).

    Args:
        first: scores of the system in question, one per file, NaN for none.
        second: scores of the other one, file by file the same.
        higher_is_better: direction of the metric.
        resamples: of the interval.

    Returns:
        The comparison, as if alone; :func:`compare_all` corrects for several metrics.

    Raises:
        ValueError: unequal numbers of scores.

    >>> comparison = compare([2.1, 2.4, 2.9, 2.0, 2.2, 2.6, 2.5], [2.0, 2.2, 2.6, 1.6, 1.7, 2.0, 1.8])
    >>> comparison.verdict, round(comparison.difference, 2), round(comparison.p, 4)
    ('better', 0.4, 0.0156)
    """
    if len(first) != len(second):
        raise ValueError(f"a paired comparison needs one score each, got {len(first)} and {len(second)}")
    both = [(a, b) for a, b in zip(first, second, strict=True) if math.isfinite(a) and math.isfinite(b)]
    # Rounded so that a difference of equal size has an equal rank, whatever its last bit is.
    x = np.round([(a - b) if higher_is_better else (b - a) for a, b in both], 12)
    difference = float(x.mean()) if x.size else math.nan
    low, high = bootstrap_interval(x.tolist(), resamples)
    effect, p = _signed_ranks(x)
    verdict = _verdict(difference, effect, p)
    return Comparison(difference, low, high, effect, p, p, x.size, len(first), verdict)


def _signed_ranks(x: np.ndarray) -> tuple[float, float]:
    """Rank-biserial correlation and p value of paired differences; differences of zero say nothing and are dropped."""
    from scipy.stats import rankdata, wilcoxon

    changed = x[x != 0]
    if not changed.size:
        return (0.0, 1.0) if x.size else (math.nan, math.nan)
    ranks = rankdata(np.abs(changed))
    effect = float((ranks * np.sign(changed)).sum() / ranks.sum())
    # Below 50 differences without ties scipy's test is exact.
    return effect, float(wilcoxon(changed).pvalue)


def _verdict(difference: float, effect: float, p: float) -> str:
    if not p < 1 - LEVEL or difference * effect <= 0:
        return UNDECIDED
    return BETTER if difference > 0 else WORSE


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values of several tests for their number (Holm, Scandinavian Journal of Statistics 1979).

    Args:
        p_values: one per test; NaN stands for a test that could not be made and is not counted.

    Returns:
        Adjusted values in the same order, NaN where NaN was.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def compare_all(first: Scores, second: Scores, higher_is_better: Mapping[str, bool]) -> dict[str, Comparison]:
    """Compare two systems by several metrics at once, p values adjusted by :func:`holm`.

    Args:
        first: scores by metric, each one per file.
        second: the other system's, same metrics, same files.
        higher_is_better: direction by metric.

    Raises:
        ValueError: unequal numbers of scores.
    """
    comparisons = {name: compare(first[name], second[name], higher_is_better[name]) for name in first}
    adjusted = holm([comparison.p for comparison in comparisons.values()])
    for (name, c), p in zip(comparisons.items(), adjusted, strict=True):
        comparisons[name] = c._replace(p_adjusted=p, verdict=_verdict(c.difference, c.effect, p))
    return comparisons
