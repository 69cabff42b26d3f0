"""Scores of many pairs and their means, for the quality callback."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from diffgmm import metrics
from diffgmm.metrics import Score
from diffgmm.statistics import mean

Scores = dict[str, Score]


class Item(NamedTuple):
    """One scored pair; ``position`` (loader, place in its data) is the same whichever rank it fell to."""

    position: tuple[int, int]
    snr: float
    denoised: Scores
    noisy: Scores


def score_item(
    denoised: np.ndarray,
    noisy: np.ndarray | None,
    clean: np.ndarray,
    sample_rate: int,
    names: Sequence[str],
    resample: bool,
) -> tuple[Scores, Scores | None]:
    """Score one pair's result and, if given, its noisy signal; anything unforeseen becomes a reason."""

    def scores(x: np.ndarray) -> Scores:
        found = {}
        for name in names:
            try:
                found[name] = metrics.METRICS[name].explain(x, clean, sample_rate, resample=resample)
            except Exception as error:  # a bug here must not cost a training run; it shows among the reasons
                found[name] = Score(math.nan, f"{type(error).__name__}: {error}")
        return found

    return scores(denoised), None if noisy is None else scores(noisy)


def summary(items: Sequence[Item], names: Sequence[str], snr_edges: Sequence[float] = ()) -> dict[str, float]:
    """Means by the name under which they are logged.

    Args:
        items: scored pairs.
        names: of metrics.
        snr_edges: ascending, in dB; buckets without a pair are left out.
    """
    found = {"pairs": float(len(items))}
    for name in names:
        denoised = [item.denoised[name].value for item in items]
        noisy = [item.noisy[name].value for item in items]
        found[name] = mean(denoised)
        found[f"{name}_valid"] = float(sum(map(math.isfinite, denoised)))
        found[f"{name}_noisy"] = mean(noisy)
        found[f"{name}_improvement"] = mean(list(map(metrics.METRICS[name].improvement, noisy, denoised)))
        for bucket, inside in _buckets(items, snr_edges).items():
            found[f"{name}_snr_{bucket}"] = mean([item.denoised[name].value for item in inside])
    return found


def reasons(items: Sequence[Item], name: str) -> str:
    """Why pairs have no score, counted; empty if all have one."""
    why = Counter(item.denoised[name].reason for item in items if not item.denoised[name].valid)
    return ", ".join(f"{count}: {reason}" for reason, count in sorted(why.items()))


def _buckets(items: Sequence[Item], snr_edges: Sequence[float]) -> dict[str, list[Item]]:
    buckets = {}
    edges = [-math.inf, *snr_edges, math.inf] if snr_edges else []
    for low, high in itertools.pairwise(edges):
        name = f"{low:g}_{high:g}".replace("-inf_", "below_")
        name = f"from_{low:g}" if high == math.inf else name
        inside = [item for item in items if low <= item.snr < high]
        if inside:
            buckets[name] = inside
    return buckets
