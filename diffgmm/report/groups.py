"""Ways to take a set of pairs apart: by ratio, by noise, by named subset; and how quality comes out in each part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diffgmm.evaluation.results import MetricInfo, Results, System
from diffgmm.metrics.statistics import mean
from diffgmm.utils.text_table import NONE, number

FIRST = ("pesq_wb", "pesq_nb", "estoi", "si_sdr", "dnsmos_ovrl", "distillmos", "stoi")
"""What plots and breakdowns show first, where it was measured."""
_MOST_LEVELS, _WIDTH = 8, 5.0


def main_metrics(results: Results, limit: int = 4) -> list[MetricInfo]:
    """The metrics that plots are drawn of, in order of :data:`FIRST`; others follow as the file has them."""
    there = [metric for metric in results.metrics if has_values(results, metric)]
    order = {name: i for i, name in enumerate(FIRST)}
    return sorted(there, key=lambda metric: order.get(metric.name, len(order)))[:limit]


def has_values(results: Results, metric: MetricInfo, ids: Sequence[str] | None = None) -> bool:
    """Whether any system has a score."""
    return any(math.isfinite(x) for system in results.systems for x in system.values(metric.name, ids))


def by_snr(results: Results, ids: Sequence[str]) -> dict[float, list[str]]:
    """Ids by ratio in dB: by the values themselves where they are few, else by 5 dB wide bins' centres."""
    wanted = set(ids)
    known = [(pair.snr, pair.id) for pair in results.set.pairs if pair.id in wanted and pair.snr is not None]
    levels = {round(snr) for snr, _ in known}
    few = len(levels) <= _MOST_LEVELS and all(abs(snr - round(snr)) < 0.05 for snr, _ in known)
    groups: dict[float, list[str]] = {}
    for snr, id in known:
        level = float(round(snr)) if few else (math.floor(snr / _WIDTH) + 0.5) * _WIDTH
        groups.setdefault(level, []).append(id)
    return dict(sorted(groups.items()))


def by_noise(results: Results, ids: Sequence[str]) -> dict[str, list[str]]:
    """Ids by category of the loudest noise."""
    wanted, groups = set(ids), dict[str, list[str]]()
    for pair in results.set.pairs:
        if pair.id in wanted and pair.noise:
            groups.setdefault(pair.noise[0], []).append(pair.id)
    return dict(sorted(groups.items()))


def by_subset(results: Results) -> dict[str, list[str]]:
    """Ids by named subset, without those that only say the ratio again."""
    return {
        name: list(ids)
        for name, ids in results.set.subsets.items()
        if ids and not name.removeprefix("snr").lstrip("-").isdigit()
    }


def ways(results: Results, ids: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """All of them by what tells the parts from one another."""
    by_level = {number(snr, 1).removesuffix(".0"): part for snr, part in by_snr(results, ids).items()}
    return {"subset": by_subset(results), "noise": by_noise(results, ids), "SNR in dB": by_level}


@dataclass(frozen=True)
class Group:
    """A row of a breakdown: a mean a system as text, which are best, and how good from 0 to 1 within the row."""

    name: str
    n: int
    texts: tuple[str, ...]
    best: tuple[bool, ...]
    shades: tuple[float, ...]


def breakdown(
    metric: MetricInfo, groups: Mapping[str, Sequence[str]], systems: Sequence[System]
) -> list[Group]:
    """One row a group that has scores."""
    digits, rows = digits_of(metric), []
    for name, ids in groups.items():
        means = [mean(system.values(metric.name, ids)) for system in systems]
        known = [x for x in means if math.isfinite(x)]
        if not known:
            continue
        low, high = min(known), max(known)
        shades = []
        for x in means:
            share = (x - low) / (high - low) if high > low and math.isfinite(x) else 0.0
            shades.append(round(share if metric.higher_is_better or high == low else 1 - share, 2))
        best = leaders(metric, systems, means)
        marks = tuple(i in best for i in range(len(means)))
        rows.append(Group(name, len(ids), tuple(number(x, digits) for x in means), marks, tuple(shades)))
    return rows


def leaders(metric: MetricInfo, systems: Sequence[System], means: Sequence[float]) -> list[int]:
    """Systems with the best mean, first the very best and then those that look the same; the input does not compete."""
    rivals = [i for i, x in enumerate(means) if math.isfinite(x) and systems[i].kind != "noisy"]
    rivals.sort(key=lambda i: means[i], reverse=metric.higher_is_better)
    texts = [number(x, digits_of(metric)) for x in means]
    return [i for i in rivals if texts[i] == texts[rivals[0]]]


def digits_of(metric: MetricInfo) -> int:
    """Decimals to show: two where there is a unit, three for shares."""
    return 2 if metric.unit else 3


def large(value: float | None) -> str:
    """A number with the letter for its size.

    >>> large(900860)
    '901 k'
    """
    if value is None:
        return NONE
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"
