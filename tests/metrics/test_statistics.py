"""Intervals and tests: by hand, against scipy, and that they hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from diffgmm.metrics import statistics
from diffgmm.metrics.statistics import bootstrap_interval, compare, compare_all, estimate, holm

NAN = math.nan


def test_estimate_by_hand() -> None:
    found = estimate([1.0, NAN, 3.0, math.inf, 5.0])
    assert (found.mean, found.sd, found.n_valid, found.n_total) == (3.0, 2.0, 3, 5)
    assert 1.0 <= found.low < 3.0 < found.high <= 5.0
    alone, none = estimate([4.0]), estimate([NAN])
    assert alone.mean == 4.0 and math.isnan(alone.sd) and math.isnan(alone.low)
    assert math.isnan(none.mean) and (none.n_valid, none.n_total) == (0, 1)
    equal = estimate([0.1, 0.1, 0.1])
    assert (equal.mean, equal.low, equal.high) == (pytest.approx(0.1), 0.1, 0.1) and equal.sd < 1e-12


@pytest.mark.parametrize("skewed", [False, True])
def test_interval_agrees_with_scipy(skewed: bool) -> None:
    rng = np.random.default_rng(3)
    x = rng.exponential(size=40) if skewed else rng.normal(2.0, 0.5, size=40)
    theirs = stats.bootstrap((x,), np.mean, method="BCa", n_resamples=100_000).confidence_interval
    low, high = bootstrap_interval(x.tolist(), resamples=100_000)
    tolerance = 0.02 * (high - low)  # what two seeds of 100,000 draws differ by
    assert low == pytest.approx(theirs.low, abs=tolerance)
    assert high == pytest.approx(theirs.high, abs=tolerance)


def test_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        low, high = bootstrap_interval(rng.normal(size=50).tolist(), resamples=400)
        inside += low < 0 < high
    # 0.938 at this number of values: a normal quantile on a standard deviation that is too small by 49/50.
    assert inside / 1000 == pytest.approx(0.938, abs=0.025)


def test_the_same_values_give_the_same_interval_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(1).normal(size=30).tolist()
    once = bootstrap_interval(x)
    assert bootstrap_interval(x) == once
    monkeypatch.setattr(statistics, "_CHUNK", 1000)
    assert bootstrap_interval(x) == pytest.approx(once, abs=1e-12)


def test_comparison_by_hand() -> None:
    # Seven differences, all positive: Wilcoxon's two-sided p is 2 / 2^7.
    base = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]
    better = [value + 0.1 * (i + 1) for i, value in enumerate(base)]
    found = compare(better, base)
    assert found.p == pytest.approx(2 / 2**7) and found.effect == 1.0 and found.verdict == "better"
    assert found.difference == pytest.approx(0.4) and found.low > 0 and found.n_pairs == 7
    # A distance turns the sign.
    assert compare(better, base, higher_is_better=False).verdict == "worse"
    assert compare(better, base, higher_is_better=False).difference == pytest.approx(-0.4)
    # Ranks 1 2 3 of which one is negative: (2 + 3 - 1) / 6.
    assert compare([1.2, 1.3, 0.9], [1.0, 1.0, 1.0]).effect == pytest.approx((2 + 3 - 1) / 6)


def test_what_cannot_be_decided_is_undecided() -> None:
    assert compare([2.0, 2.0], [1.0, 1.0]).verdict == "undecided"  # two pairs never suffice
    same = compare([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (same.p, same.effect, same.difference, same.verdict) == (1.0, 0.0, 0.0, "undecided")
    none = compare([NAN, 1.0], [1.0, NAN])
    assert none.n_pairs == 0 and none.n_total == 2 and math.isnan(none.p) and none.verdict == "undecided"
    # Mean and ranks that contradict each other: nine small gains, one big loss.
    mixed = compare([0.01 * (i + 1) for i in range(15)] + [-9.0], [0.0] * 16)
    assert mixed.p < 0.05 and mixed.difference < 0 < mixed.effect and mixed.verdict == "undecided"
    with pytest.raises(ValueError, match="one score each, got 1 and 2"):
        compare([1.0], [1.0, 2.0])


def test_only_pairs_with_both_scores_count() -> None:
    first, second = [2.0, NAN, 3.0, 4.0], [1.0, 1.0, math.inf, 3.5]
    found = compare(first, second)
    assert (found.n_pairs, found.n_total) == (2, 4) and found.difference == pytest.approx(0.75)


def test_p_agrees_with_scipy() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.2, 1, 80), rng.normal(0, 1, 80)
    assert compare(a.tolist(), b.tolist()).p == pytest.approx(stats.wilcoxon(a, b).pvalue, rel=1e-6)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []
    some = holm([0.02, NAN, 0.01])
    assert some[0] == pytest.approx(0.02) and math.isnan(some[1]) and some[2] == pytest.approx(0.02)


def test_several_metrics_are_corrected_together() -> None:
    base = [1.0] * 7
    better = [1.0 + 0.1 * (i + 1) for i in range(7)]
    names = [f"m{i}" for i in range(4)]
    found = compare_all(dict.fromkeys(names, better), dict.fromkeys(names, base), dict.fromkeys(names, True))
    assert all(one.p_adjusted == pytest.approx(4 * 2 / 2**7) for one in found.values())
    assert {one.verdict for one in found.values()} == {"undecided"}  # alone, each would be "better"


def test_chance_alone_is_seldom_called_better() -> None:
    rng = np.random.default_rng(2)
    verdicts = [
        compare(rng.normal(size=25).tolist(), rng.normal(size=25).tolist(), resamples=10).verdict
        for _ in range(400)
    ]
    assert verdicts.count("undecided") / 400 > 0.92


def test_files_without_a_difference_have_no_rank() -> None:
    found = compare([1.0, 1.0, 1.0, 3.0, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0])
    assert found.effect == 1.0 and found.n_pairs == 5
    same = compare([1.0, 2.0], [1.0, 2.0])
    assert (same.effect, same.p) == (0.0, 1.0)
