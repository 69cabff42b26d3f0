"""From pairs of clean and enhanced speech to rows of scores.

Nothing is left out silently: a pair that cannot be judged has its ``error``, a score that does not exist has its
reason (:mod:`diffgmm.evaluation.pairing` lists files without counterpart).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from diffgmm import audio, metrics
from diffgmm.evaluation.pairing import Pair
from diffgmm.evaluation.scores import Row
from diffgmm.metrics import Score
from diffgmm.utils.processes import Workers


def evaluate_pair(pair: Pair, names: Sequence[str], resample: bool = False) -> Row:
    """Score one pair; what is wrong with its files ends up in the row's ``errors``.

    Args:
        pair: the files.
        names: of metrics.
        resample: bring other rates to the clean file's, and signals to a rate at which a metric is defined.
    """
    errors: list[str] = []
    try:
        clean, info = audio.read(pair.clean)
        rate = info.sample_rate
        enhanced = _beside(pair.enhanced, clean, rate, resample)
    except audio.AudioError as error:
        return Row(pair.name, errors=(str(error),))
    scores = _scores(enhanced, clean, rate, names, resample, errors)
    noisy: dict[str, Score] = {}
    if pair.noisy is not None:
        try:
            noisy = _scores(_beside(pair.noisy, clean, rate, resample), clean, rate, names, resample, errors)
        except audio.AudioError as error:
            errors.append(str(error))
    samples = min(clean.shape[1], enhanced.shape[1])
    difference = enhanced.shape[1] - clean.shape[1]
    return Row(pair.name, rate, samples / rate, difference, scores, noisy, tuple(dict.fromkeys(errors)))


def _beside(path: Path, clean: np.ndarray, rate: int, resample: bool) -> np.ndarray:
    x, info = audio.read(path)
    if info.sample_rate != rate:
        if not resample:
            raise audio.AudioError(
                f"{path}: {info.sample_rate} Hz against {rate} Hz of the clean file; use --resample"
            )
        x = audio.resample(x, info.sample_rate, rate)
    if len(x) != len(clean):
        raise audio.AudioError(f"{path}: {len(x)} channels against {len(clean)} of the clean file")
    return x


def _scores(
    x: np.ndarray, clean: np.ndarray, rate: int, names: Sequence[str], resample: bool, errors: list[str]
) -> dict[str, Score]:
    """Mean over channels of every metric, on the common length; none if a channel has none."""
    samples = min(x.shape[1], clean.shape[1])
    scores = {}
    for name in names:
        try:
            found = [
                metrics.METRICS[name].explain(a[:samples], b[:samples], rate, resample=resample)
                for a, b in zip(x, clean, strict=True)
            ]
        except ValueError as error:  # not defined at this rate
            errors.append(f"{error} (--resample)" if "resample" in str(error) else str(error))
            scores[name] = Score(math.nan, str(error))
            continue
        reasons = [f"channel {i + 1}: {one.reason}" for i, one in enumerate(found) if one.reason]
        reason = found[0].reason if len(found) == 1 else "; ".join(reasons)
        scores[name] = Score(float(np.mean([one.value for one in found])), reason)
    return scores


def evaluate(
    pairs: Iterable[Pair],
    names: Sequence[str],
    *,
    resample: bool = False,
    jobs: int = 1,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Score all pairs, in their order; the number of processes changes nothing but the time.

    Args:
        pairs: what to score.
        names: of metrics in :data:`diffgmm.metrics.NAMES`.
        resample: see :func:`evaluate_pair`.
        jobs: processes.
        on_row: called with every finished row.

    Raises:
        ValueError: unknown metric.
    """
    unknown = [name for name in names if name not in metrics.METRICS]
    if unknown:
        raise ValueError(f"unknown metric {', '.join(unknown)}; choose from {' '.join(metrics.NAMES)}")
    pairs, rows = list(pairs), []
    with Workers(evaluate_pair, jobs if jobs > 1 else 0) as workers:
        for pair in pairs:
            workers.submit(pair, tuple(names), resample)
        for pair, row in zip(pairs, workers.results(), strict=True):
            if not isinstance(row, Row):
                row = Row(
                    pair.name, errors=(f"{pair.enhanced}: the process that scored it died (out of memory?)",)
                )
            rows.append(row)
            if on_row is not None:
                on_row(row)
    return rows
