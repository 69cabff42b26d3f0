"""Common parts of the metrics: checks of the signals, reasons for missing scores, the list by name."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np

from diffgmm.audio import resample as resample_audio
from diffgmm.diffusion.sampler_options import FOREIGN, foreign_function
from diffgmm.utils.cores import one_thread

#: Peaks below this are silence: -140 dB of full scale, under one step of 24-bit audio.
SILENCE = 1e-7


class NoScore(Exception):
    """The metric does not exist for these signals; the message says why."""


class Score(NamedTuple):
    """A metric's value and, when it is not finite, the reason.

    NaN stands for a score that does not exist (a silent signal, NaN in the audio, too short), an infinite
    value for a ratio without a denominator (estimate and reference are equal). Neither belongs into an
    average.
    """

    value: float
    reason: str = ""

    @property
    def valid(self) -> bool:
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Measure:
    """A metric and what is known about it.

    Attributes:
        name: as in tables and logs, for example ``pesq_wb``; of another package ``PACKAGE.MODULE:FUNCTION``.
        unit: ``"dB"``, ``"MOS"`` or empty for a plain ratio.
        higher_is_better: direction of improvement.
        rates: sample rates in Hz at which it is defined, empty for any; resampling goes to the highest below.
        seconds: shortest signal it can judge.
        function: ``(estimate, reference, sample_rate) -> float`` on checked float64 signals; may raise
            :class:`NoScore`.
        needs_reference: false for a metric that listens to the estimate alone; the reference may be anything then.
    """

    name: str
    unit: str
    higher_is_better: bool
    rates: tuple[int, ...]
    seconds: float
    function: Callable[[np.ndarray, np.ndarray, int], float]
    needs_reference: bool = True

    @one_thread()
    def explain(
        self, estimate: np.ndarray, reference: np.ndarray, sample_rate: int, *, resample: bool = False
    ) -> Score:
        """Score one signal and keep the reason when that is impossible; on one thread, whatever is set.

        Args:
            estimate: the processed signal, float ``[samples]``.
            reference: the clean signal, float ``[samples]``, aligned with ``estimate``.
            sample_rate: of both, in Hz.
            resample: bring both to a rate at which the metric is defined, if theirs is none.

        Raises:
            ValueError: not two 1-D arrays of one length, or a rate at which the metric is not defined.
        """
        a, b = np.asarray(estimate), np.asarray(reference)
        if a.ndim != 1 or a.shape != b.shape:
            raise ValueError(f"{self.name} compares two signals of one length, got {a.shape} and {b.shape}")
        rate = self.rate_for(sample_rate, resample)
        try:
            for label, x in (("estimate", a), ("reference", b))[: 2 if self.needs_reference else 1]:
                if not x.size:
                    raise NoScore("no samples")
                if not np.isfinite(x).all():
                    raise NoScore(f"{label} holds NaN or Inf")
                if np.abs(x).max() < SILENCE:
                    raise NoScore(f"{label} is silent")
            if a.size < self.seconds * sample_rate:
                raise NoScore(f"shorter than {self.seconds:g} s")
            if rate != sample_rate:
                a, b = (resample_audio(x, sample_rate, rate) for x in (a, b))
            value = float(self.function(a.astype(np.float64), b.astype(np.float64), rate))
        except NoScore as why:
            return Score(math.nan, str(why))
        if math.isinf(value):
            return Score(value, "no error left: equal signals" if value > 0 else "nothing in common")
        return Score(value, "" if math.isfinite(value) else "undefined for these signals")

    def improvement(self, before: float, after: float) -> float:
        """By how much ``after`` is better than ``before`` (positive is better); NaN unless both are finite."""
        if not (math.isfinite(before) and math.isfinite(after)):
            return math.nan
        return after - before if self.higher_is_better else before - after

    def rate_for(self, sample_rate: int, resample: bool = False) -> int:
        """The rate at which signals of ``sample_rate`` are judged.

        Raises:
            ValueError: the metric is not defined at ``sample_rate`` and may not resample, or would have to
                invent a band.
        """
        if not self.rates or sample_rate in self.rates:
            return sample_rate
        defined = f"{self.name} is defined at {' or '.join(map(str, self.rates))} Hz"
        lower = [rate for rate in self.rates if rate < sample_rate]
        if not lower:
            instead = "; use pesq_nb" if self.name == "pesq_wb" and sample_rate >= 8000 else ""
            raise ValueError(f"{defined}, which {sample_rate} Hz cannot give{instead}")
        if not resample:
            raise ValueError(f"{defined}, not {sample_rate}; resample the signals first")
        return max(lower)


#: Every metric of this package by name, filled by :func:`metric` in the order of import.
METRICS: dict[str, Measure] = {}

Function = Callable[[np.ndarray, np.ndarray, int], float]
"""``(estimate [samples], reference [samples], sample_rate) -> float``."""


def metric(
    *,
    unit: str = "",
    higher_is_better: bool = True,
    rates: tuple[int, ...] = (),
    seconds: float = 0.0,
    needs_reference: bool = True,
) -> Callable[[Function], Function]:
    """Make a metric of a function: describe it (:class:`Measure`) and wrap it in the checks of :meth:`Measure.explain`.

    One of another package goes by ``PACKAGE.MODULE:FUNCTION`` (:func:`get_metric`); the first line of its docstring
    explains it in reports.

    Args:
        unit, higher_is_better, rates, seconds, needs_reference: see :class:`Measure`.

    Example:
        >>> @metric(unit="dB", higher_is_better=False)
        ... def level_error(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
        ...     return abs(10 * float(np.log10((estimate @ estimate) / (reference @ reference))))
        >>> round(level_error(np.full(8, 0.1), np.full(8, 1.0), 16000), 6)
        20.0
    """

    def describe(function: Function) -> Function:
        ours = function.__module__.startswith("diffgmm.metrics.")
        name = function.__name__ if ours else f"{function.__module__}:{function.__name__}"
        measure = Measure(name, unit, higher_is_better, rates, seconds, function, needs_reference)
        if ours:
            METRICS[name] = measure

        @functools.wraps(function)
        def checked(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
            return measure.explain(estimate, reference, sample_rate).value

        checked.__dict__["measure"] = measure
        return checked

    return describe


def get_metric(name: str, trust: Collection[str] | None = None) -> Measure:
    """A metric of this package by name, or one of another package by ``PACKAGE.MODULE:FUNCTION``, which is imported.

    Args:
        name: of the metric.
        trust: packages that may be imported; ``None``: any, for names that the user wrote.

    Raises:
        ValueError: there is no such metric, or its package is not trusted or can't be imported.
    """
    if name in METRICS:
        return METRICS[name]
    if not FOREIGN.fullmatch(name):
        known = " ".join(METRICS)
        raise ValueError(f"unknown metric {name!r:.90}; choose from {known}, or give PACKAGE.MODULE:FUNCTION")
    measure = getattr(foreign_function(name, "metric", trust), "measure", None)
    if not isinstance(measure, Measure):
        raise ValueError(f"{name} is a function, but no metric: decorate it with @diffgmm.metrics.metric()")
    return replace(measure, name=name)


T = TypeVar("T")


def remembering(function: Callable[..., T]) -> Callable[..., T]:
    """Keep the last results of a costly function, so that metrics with a common part compute it once."""
    results: OrderedDict[bytes, T] = OrderedDict()

    @functools.wraps(function)
    def cached(estimate: np.ndarray, reference: np.ndarray, *options: int | str) -> T:
        key = hashlib.blake2b(estimate.tobytes(), key=repr(options).encode(), digest_size=16)
        key.update(reference.tobytes())
        if key.digest() not in results:
            results[key.digest()] = function(estimate, reference, *options)
            if len(results) > 4:
                results.popitem(last=False)
        return results[key.digest()]

    return cached


def installed(*packages: str) -> bool:
    """Whether all of these packages are there; none is imported."""
    return all(importlib.util.find_spec(name) is not None for name in packages)


def hann_frames(x: np.ndarray, length: int) -> np.ndarray:
    """Cut ``[samples]`` into whole Hann-windowed frames ``[count, length]``, a quarter of their length apart.

    A signal shorter than one frame is zero-padded to one.
    """
    if x.size < length:
        x = np.pad(x, (0, length - x.size))
    cut = np.lib.stride_tricks.sliding_window_view(x, length)[:: max(1, length // 4)]
    return cut * np.hanning(length + 2)[1:-1]  # without the zeros at both ends, so that no sample is ignored
