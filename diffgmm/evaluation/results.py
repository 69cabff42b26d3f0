"""The file ``results.json``: what `diffgmm evaluate` and `diffgmm benchmark` found, and `diffgmm report` shows.

One file holds one set of pairs and any number of systems that were scored on it. A score that does not exist is
``null`` and has a reason; it is counted, never averaged in. Paths are relative to the file's folder where the
audio lies below it, else absolute. Unknown keys are refused, so that a file of a newer layout is not half read.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from diffgmm.metrics import Score, get_metric
from diffgmm.utils import provenance
from diffgmm.utils.errors import UserError
from diffgmm.utils.files import write_text

VERSION = 1
"""Of the layout."""
FILE = "results.json"
KINDS = ("evaluate", "benchmark")
_FORMER_KINDS = {"peer": "baseline"}


class ResultsError(UserError):
    """A results file that can't be used; the message names the file and what to do."""


@dataclass(frozen=True)
class MetricInfo:
    """A column: ``unit`` as in tables (``dB``, ``MOS`` or empty), ``explanation`` one sentence for readers."""

    name: str
    unit: str = ""
    higher_is_better: bool = True
    explanation: str = ""


@dataclass(frozen=True)
class PairInfo:
    """One pair of the set.

    Args:
        id: unique in the set.
        sample_rate: in Hz.
        seconds: length.
        snr: ratio of active levels in dB; None if unknown or there is no noise.
        speaker: who speaks, empty if unknown.
        noise: categories of the noises, first the loudest; empty if unknown or there is none.
        clean: file of the clean speech.
        noisy: file of the noisy speech; None if it is not known.
    """

    id: str
    sample_rate: int
    seconds: float
    snr: float | None = None
    speaker: str = ""
    noise: tuple[str, ...] = ()
    clean: str | None = None
    noisy: str | None = None


@dataclass(frozen=True)
class SetInfo:
    """The pairs that all systems were judged on.

    Args:
        name: such as ``dsn-test``.
        description: one or two sentences.
        checksum: SHA-256 over names and contents of all files, empty if none was made.
        pairs: in order.
        subsets: ids by name of the subset; ``main``, where there is one, is what headline figures are about.
    """

    name: str
    description: str = ""
    checksum: str = ""
    pairs: tuple[PairInfo, ...] = ()
    subsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def ids(self, subset: str | None = None) -> tuple[str, ...]:
        """Ids of a subset; without one, of ``main`` or, if there is none, of all pairs.

        Raises:
            ResultsError: no such subset; the message lists the names.
        """
        if subset is None:
            return self.subsets.get("main", tuple(pair.id for pair in self.pairs))
        if subset == "all":
            return tuple(pair.id for pair in self.pairs)
        if subset not in self.subsets:
            choices = " ".join((*self.subsets, "all"))
            raise ResultsError(f"{self.name} has no subset {subset!r}; choose from {choices}")
        return self.subsets[subset]


@dataclass(frozen=True)
class Cost:
    """What a system costs on this machine; None where it is unknown or was not measured.

    Args:
        rtf_1: seconds of computation per second of audio, one thread.
        rtf_all: the same with all cores.
        peak_memory_mb: by how much the resident memory grew over an interpreter with nothing loaded, 2^20 bytes.
        resident_mb: the most that the process held, 2^20 bytes.
        parameters: numbers in the model.
        macs_per_s: multiply-accumulate operations per second of audio.
    """

    rtf_1: float | None = None
    rtf_all: float | None = None
    peak_memory_mb: float | None = None
    resident_mb: float | None = None
    parameters: int | None = None
    macs_per_s: float | None = None


@dataclass(frozen=True)
class FileScores:
    """Scores of one pair: by metric a value or None; for every None a reason (why, in words)."""

    id: str
    scores: Mapping[str, float | None]
    reasons: Mapping[str, str] = field(default_factory=dict)
    audio: str | None = None

    @classmethod
    def of(cls, id: str, scores: Mapping[str, Score], audio: str | None = None) -> FileScores:
        """As the file keeps them: a score that is not finite becomes None with its reason."""
        values = {name: float(score.value) if score.valid else None for name, score in scores.items()}
        missing = {name: score for name, score in scores.items() if not score.valid}
        reasons = {name: score.reason or "undefined for these signals" for name, score in missing.items()}
        return cls(id, values, reasons, audio)

    @classmethod
    def failed(cls, id: str, names: Iterable[str], reason: str) -> FileScores:
        """Of a pair that a system could not do."""
        names = list(names)
        return cls(id, dict.fromkeys(names), dict.fromkeys(names, reason))


@dataclass(frozen=True)
class System:
    """One row of the table.

    Args:
        name: unique in the file.
        kind: ``noisy`` (the input), ``model``, ``baseline``, ``command``, or ``files`` (enhanced elsewhere).
        settings: ``nfe``, ``estimate``, ``version``, ``weights`` (their SHA-256), ``lag``, ...
        cost: see :class:`Cost`.
        files: one entry a pair, in the order of the set.
        audio_dir: folder of the enhanced audio, ``ID.wav`` each; None if it was not kept.
    """

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    files: tuple[FileScores, ...] = ()
    audio_dir: str | None = None

    def values(self, metric: str, ids: Iterable[str] | None = None) -> list[float]:
        """The scores of one metric, NaN where there is none; with ``ids`` in that order and for those only."""
        by_id = {file.id: file.scores.get(metric) for file in self.files}
        return [math.nan if (x := by_id.get(key)) is None else x for key in (by_id if ids is None else ids)]


@dataclass(frozen=True)
class Results:
    """The whole file.

    Args:
        kind: ``evaluate`` or ``benchmark``.
        created: local time, ISO 8601 with the zone.
        command: as typed.
        config: settings that produced it, as plain data.
        record: from :func:`diffgmm.utils.provenance.facts`.
        set: the pairs.
        systems: the rows, in the order to show.
        metrics: the columns, in the order to show.
    """

    kind: str
    created: str
    command: tuple[str, ...]
    set: SetInfo
    systems: tuple[System, ...]
    metrics: tuple[MetricInfo, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    def system(self, name: str) -> System:
        """The system of that name.

        Raises:
            ResultsError: there is none; the message lists the names.
        """
        by_name = {system.name: system for system in self.systems}
        if name not in by_name:
            raise ResultsError(f"no system {name!r}; there are {', '.join(by_name)}")
        return by_name[name]


def write_results(path: str | os.PathLike[str], results: Results) -> None:
    """Write atomically; an existing file is replaced. Strict JSON: no NaN, no Infinity."""
    data = {"version": VERSION, **asdict(results)}
    data["set"]["n"] = len(results.set.pairs)
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read a file, or ``results.json`` in a folder.

    Raises:
        ResultsError: missing, damaged or of another version.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}; give a results.json or its folder") from error
    except ValueError as error:
        raise ResultsError(f"{path}: not a results file ({error})") from error
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        raise ResultsError(f"{path}: not a results file of diffgmm")
    if data.pop("version", None) != VERSION:
        raise ResultsError(f"{path}: written by another version of diffgmm; make it anew")
    try:
        return _results(data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{path}: damaged ({error}); make it anew") from error


T = TypeVar("T")


def _make(cls: type[T], data: Mapping[str, Any], **replaced: Any) -> T:
    """An object of a dataclass from plain data; lists become tuples."""
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    unknown = set(data) - names
    if unknown:
        raise ValueError(f"unknown {', '.join(sorted(unknown))} in {cls.__name__}")
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return cls(**{**plain, **replaced})


def _results(data: Mapping[str, Any]) -> Results:
    info = {key: value for key, value in data["set"].items() if key != "n"}
    subsets = {name: tuple(ids) for name, ids in info["subsets"].items()}
    pairs = tuple(_make(PairInfo, pair) for pair in info["pairs"])
    systems = []
    for system in data["systems"]:
        files = tuple(_make(FileScores, file) for file in system["files"])
        kind = _FORMER_KINDS.get(system["kind"], system["kind"])
        systems.append(_make(System, system, kind=kind, cost=_make(Cost, system["cost"]), files=files))
    metrics = tuple(_make(MetricInfo, metric) for metric in data["metrics"])
    described = _make(SetInfo, info, pairs=pairs, subsets=subsets)
    return _make(Results, data, set=described, systems=tuple(systems), metrics=metrics)


def made(
    kind: str,
    pairs: SetInfo,
    systems: Iterable[System],
    metrics: Iterable[str],
    config: Mapping[str, Any],
    command: Iterable[str] | None = None,
) -> Results:
    """Results of this process, with its record; without ``command``, the process's own."""
    record = provenance.facts()
    words, columns = tuple(command or record["command"]), metric_infos(metrics)
    return Results(kind, record["started"], words, pairs, tuple(systems), columns, dict(config), record)


def metric_infos(names: Iterable[str]) -> tuple[MetricInfo, ...]:
    """Columns for metrics; what explains one is the first line of its docstring."""
    explained = ((m, (m.function.__doc__ or "").strip().split("\n", 1)[0]) for m in map(get_metric, names))
    return tuple(MetricInfo(m.name, m.unit, m.higher_is_better, first) for m, first in explained)
