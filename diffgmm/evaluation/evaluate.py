"""From pairs of clean and enhanced speech to rows of scores.

Nothing is left out silently: a pair that cannot be judged has its ``error``, a score that does not exist has its
reason (:mod:`diffgmm.evaluation.pairing` lists files without counterpart).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy import signal

from diffgmm import audio, metrics
from diffgmm.audio.levels import to_mono, without_offset
from diffgmm.evaluation.pairing import Pair
from diffgmm.metrics import Score
from diffgmm.utils.cores import one_thread
from diffgmm.utils.processes import Workers

_LONGEST_DELAY = 1.0  # seconds; more is another recording
_HEARD = 60.0  # seconds that a delay is estimated from
_LEAST_CORRELATION = 0.3  # of an estimate with the clean speech, below which its delay cannot be told
_LEAST_GAIN_DB = 1.0  # of SI-SDR by shifting, below which nothing is called a delay


@dataclass(frozen=True)
class Row:
    """Result of one pair.

    Attributes:
        name: of the pair.
        sample_rate: at which it was judged (the clean file's), in Hz; 0 if it could not be read.
        seconds: length that was judged.
        length_difference: samples by which the enhanced file is longer than the clean one; the common part
            was judged.
        delay: samples by which the enhanced file lags the clean one, as estimated; 0 if it does not.
        noisy_delay: the same of the noisy file.
        scores: of the enhanced file by metric.
        noisy: of the noisy file by metric, empty without one.
        errors: why the pair or a part of it could not be judged; empty if all went well.
        repaired: what had to be put right to read its files, such as a wrong length in a header.
    """

    name: str
    sample_rate: int = 0
    seconds: float = 0.0
    length_difference: int = 0
    delay: int = 0
    noisy_delay: int = 0
    scores: Mapping[str, Score] = field(default_factory=dict)
    noisy: Mapping[str, Score] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()


def evaluate_pair(pair: Pair, names: Sequence[str], resample: bool = False, align: bool = False) -> Row:
    """Score one pair; what is wrong with its files ends up in the row's ``errors``.

    Clean, enhanced and noisy file are judged over the time that all of them have, so that an improvement compares
    the same stretch of sound.

    Args:
        pair: the files.
        names: of metrics.
        resample: bring other rates to the clean file's, and signals to a rate at which a metric is defined.
        align: shift enhanced and noisy file by their estimated delays first.
    """
    errors: list[str] = []
    repaired: list[str] = []
    try:
        clean, rate = _read(pair.clean, repaired)
        enhanced = _beside(pair.enhanced, clean, rate, resample, repaired)
    except audio.AudioError as error:
        return Row(pair.name, errors=(str(error),))
    signals = {"enhanced": enhanced}
    if pair.noisy is not None:
        try:
            signals["noisy"] = _beside(pair.noisy, clean, rate, resample, repaired)
        except audio.AudioError as error:
            errors.append(str(error))
    mono = {kind: without_offset(to_mono(x, clean)) for kind, x in {"clean": clean, **signals}.items()}
    delays = {kind: estimate_delay(mono[kind], mono["clean"], rate) for kind in signals}
    shifts = delays if align else dict.fromkeys(signals, 0)
    start = max(0, *(-shift for shift in shifts.values()))
    ends = (x.shape[1] - shifts[kind] for kind, x in signals.items())
    stop = max(start, min(clean.shape[1], *ends))
    scores = {}
    for kind, x in signals.items():
        shifted = x[:, start + shifts[kind] : stop + shifts[kind]]
        scores[kind] = score_channels(shifted, clean[:, start:stop], rate, names, resample, errors)
    longer = enhanced.shape[1] - clean.shape[1]
    row = Row(pair.name, rate, (stop - start) / rate, longer, delays["enhanced"], delays.get("noisy", 0))
    row = replace(row, scores=scores["enhanced"], noisy=scores.get("noisy", {}))
    return replace(row, errors=tuple(dict.fromkeys(errors)), repaired=tuple(repaired))


@one_thread()
def estimate_delay(x: np.ndarray, clean: np.ndarray, sample_rate: int) -> int:
    """By how many samples a signal lags the clean speech in it, by the peak of their cross-correlation.

    Args:
        x: float ``[samples]``.
        clean: float ``[samples]``; the first minute of both is looked at.
        sample_rate: Hz.

    Returns:
        Samples, at most a second in either direction, negative for a signal that is ahead; 0 where shifting would
        gain less than 1 dB of SI-SDR, or where the correlation is too low (0.3) to tell.

    >>> rng = np.random.default_rng(0)
    >>> clean = rng.standard_normal(8000)
    >>> estimate_delay(np.concatenate([np.zeros(40), clean])[:8000], clean, 16000)
    40
    """
    heard = round(_HEARD * sample_rate)
    a, b = (np.nan_to_num(samples[:heard].astype(np.float64)) for samples in (x, clean))
    scale = math.sqrt(float(a @ a) * float(b @ b))
    if scale == 0.0:
        return 0
    correlation = np.abs(signal.correlate(a, b, method="fft")) / scale
    lags = signal.correlation_lags(len(a), len(b))
    near = np.abs(lags) <= _LONGEST_DELAY * sample_rate
    correlation, lags = correlation[near], lags[near]
    best, unshifted = int(np.argmax(correlation)), int(np.flatnonzero(lags == 0)[0])

    def si_sdr(place: int) -> float:
        square = min(float(correlation[place]) ** 2, 1 - 1e-9)
        return 10 * math.log10(max(square, 1e-9) / (1 - square))

    if correlation[best] < _LEAST_CORRELATION or si_sdr(best) < si_sdr(unshifted) + _LEAST_GAIN_DB:
        return 0
    return int(lags[best])


def _read(path: Path, repaired: list[str]) -> tuple[np.ndarray, int]:
    """Samples and rate of a file; what had to be put right is added to ``repaired``."""
    x, info = audio.read(path)
    if info.note:
        repaired.append(f"{path}: {info.note}")
    return x, info.sample_rate


def _beside(path: Path, clean: np.ndarray, rate: int, resample: bool, repaired: list[str]) -> np.ndarray:
    x, own_rate = _read(path, repaired)
    if own_rate != rate:
        if not resample:
            rates = f"{own_rate} Hz against {rate} Hz of the clean file"
            raise audio.AudioError(f"{path}: {rates}; use --resample")
        x = audio.resample(x, own_rate, rate)
    if len(x) != len(clean):
        raise audio.AudioError(f"{path}: {len(x)} channels against {len(clean)} of the clean file")
    return x


def score_channels(
    x: np.ndarray, clean: np.ndarray, rate: int, names: Sequence[str], resample: bool, errors: list[str]
) -> dict[str, Score]:
    """Mean over channels of every metric, on signals of one length; none if a channel has none.

    Args:
        x: ``[channels, samples]``.
        clean: the same of the clean speech.
        rate: of both, in Hz.
        names: of metrics.
        resample: judge at a rate at which the metric is defined.
        errors: is extended by what kept a metric from being computed.
    """
    scores = {}
    for name in names:
        try:
            explain = metrics.get_metric(name).explain
            channels = [explain(a, b, rate, resample=resample) for a, b in zip(x, clean, strict=True)]
        except ValueError as error:  # not defined at this rate
            errors.append(f"{error} (--resample)" if "resample" in str(error) else str(error))
            scores[name] = Score(math.nan, str(error))
            continue
        reasons = [f"channel {i + 1}: {score.reason}" for i, score in enumerate(channels) if score.reason]
        reason = channels[0].reason if len(channels) == 1 else "; ".join(reasons)
        scores[name] = Score(float(np.mean([score.value for score in channels])), reason)
    return scores


def evaluate(
    pairs: Iterable[Pair],
    names: Sequence[str],
    *,
    resample: bool = False,
    align: bool = False,
    jobs: int = 1,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Score all pairs, in their order; the number of processes changes nothing but the time.

    Args:
        pairs: what to score.
        names: of metrics (:func:`diffgmm.metrics.get_metric`).
        resample, align: see :func:`evaluate_pair`.
        jobs: processes.
        on_row: called with every finished row.

    Raises:
        ValueError: unknown metric.
    """
    for name in names:
        metrics.get_metric(name)
    pairs, rows = list(pairs), []
    with Workers(evaluate_pair, jobs if jobs > 1 else 0) as workers:
        for pair in pairs:
            workers.submit(pair, tuple(names), resample, align)
        for pair, row in zip(pairs, workers.results(), strict=True):
            if not isinstance(row, Row):
                error = f"{pair.enhanced}: the process that scored it died (out of memory?)"
                row = Row(pair.name, errors=(error,))
            rows.append(row)
            if on_row is not None:
                on_row(row)
    return rows
