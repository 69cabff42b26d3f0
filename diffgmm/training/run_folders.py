"""Training runs on disk: found by their records, compared by their metrics and settings."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from diffgmm.metrics import METRICS
from diffgmm.utils.errors import UsageError

CONFIG, CURVES, RECORD = "config.yaml", "metrics.csv", "record.json"
# What callbacks append to a metric's name.
_PART_OF_A_METRIC = re.compile(r"_(improvement|valid|noisy|snr_below_0|snr_0_5|snr_5_10|snr_from_10)$")
_FIRST = ("val/loss", "val/pesq_wb", "val/estoi", "val/si_sdr")


class RunsError(UsageError):
    """Runs that can't be shown; one line that names the folder and what to do."""


class Curve(NamedTuple):
    """One logged quantity: steps and values, both finite, in order of logging."""

    steps: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """A run's folder.

    Attributes:
        folder: of the run.
        curves: by the name that was logged.
        settings: by key, flat.
        record: what :class:`diffgmm.training.callbacks.record.RunRecord` wrote, empty if it did not.
    """

    folder: Path
    curves: Mapping[str, Curve] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    def value(self, name: str, by: str = "best") -> float | None:
        """The best or the last value of a logged quantity; None if it was not logged."""
        if name not in self.curves:
            return None
        values = self.curves[name].values
        return values[-1] if by == "last" else (max if rises(name) else min)(values)


def rises(name: str) -> bool:
    """Whether more of a quantity is better: metrics know it of themselves, of anything else less is better.

    A metric's mean over some ratios goes with the metric, its improvement rises whatever the metric, and a loss falls
    though it may have a metric's name.

    >>> rises("val/si_sdr"), rises("val/loss/si_sdr"), rises("val/lsd"), rises("val/lsd_improvement")
    (True, False, False, True)
    """
    stage, _, last = name.rpartition("/")
    if "loss" in stage.split("/"):
        return False
    metric = METRICS.get(_PART_OF_A_METRIC.sub("", last))
    return metric is not None and (metric.higher_is_better or last.endswith(("_improvement", "_valid")))


def find_runs(folders: Iterable[str | os.PathLike[str]]) -> list[Run]:
    """All runs in or below some folders, in order of their start.

    Raises:
        RunsError: a folder is missing, or holds no run.
    """
    runs: dict[Path, Run] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise RunsError(f"{folder}: no such folder; name the one that runs were written into")
        inside = {path.parent for name in (RECORD, CURVES) for path in folder.rglob(name)}
        if not inside:
            raise RunsError(f"{folder}: no run there (a folder with {RECORD} or {CURVES})")
        runs |= {path.resolve(): read_run(path) for path in inside}
    # `validate` and `test` leave their metrics, too.
    trainings = [run for run in runs.values() if run.record.get("verb", "fit") == "fit"]
    return sorted(trainings, key=lambda run: (str(run.record.get("started", "")), str(run.folder)))


def read_run(folder: Path) -> Run:
    """The run in a folder.

    Raises:
        RunsError: a damaged file.
    """

    def text(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8") if (folder / name).is_file() else "{}"

    try:
        record, config = json.loads(text(RECORD)), yaml.safe_load(text(CONFIG)) or {}
    except (ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise RunsError(f"{folder}: damaged ({reason}); move it away or train anew") from error
    if not isinstance(record, dict):
        raise RunsError(f"{folder / RECORD}: not a record of a run")
    return Run(folder, read_curves(folder / CURVES), dict(flat(config)), record)


def read_curves(path: Path) -> dict[str, Curve]:
    """Curves of the file that Lightning's ``CSVLogger`` writes: one column a quantity, many cells empty.

    Raises:
        RunsError: not such a file.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        table = csv.DictReader(file)
        if "step" not in (table.fieldnames or ()):
            raise RunsError(f"{path}: not a file of training curves, which has a column named step")
        try:
            for row in table:
                if None in row.values():  # a last line that a kill cut short
                    continue
                step = float(row.pop("step") or "nan")
                for name, text in row.items():
                    if name and name != "epoch" and math.isfinite(value := float(text or "nan")):
                        points.setdefault(name, []).append((step, value))
        except (ValueError, TypeError, csv.Error) as error:
            raise RunsError(f"{path}: line {table.line_num}: not a number ({error})") from error
    finite = {name: [point for point in pairs if math.isfinite(point[0])] for name, pairs in points.items()}
    return {name: Curve(*map(tuple, zip(*pairs, strict=True))) for name, pairs in finite.items() if pairs}


def flat(data: Any, key: str = "") -> Iterable[tuple[str, Any]]:
    """Nested settings as keys with dots; lists of plain values stay lists.

    >>> dict(flat({"model": {"head": {"components": 3}}, "channels": [4, 6]}))
    {'model.head.components': 3, 'channels': [4, 6]}
    """
    if isinstance(data, Mapping) and data:
        for name, value in data.items():
            yield from flat(value, f"{key}.{name}" if key else str(name))
    elif isinstance(data, list) and any(isinstance(item, (Mapping, list)) for item in data):
        for i, value in enumerate(data):
            yield from flat(value, f"{key}.{i}")
    else:
        yield key, data


def columns(runs: Sequence[Run], asked: Sequence[str] = ()) -> list[str]:
    """Quantities to show: those asked for, else the usual ones that any run has.

    Raises:
        RunsError: no run has logged one of those asked for.
    """
    logged = {name for run in runs for name in run.curves}
    for name in asked:
        if name not in logged:
            near = sorted(other for other in logged if name.rpartition("/")[2] in other)[:5]
            raise RunsError(f"no run has logged {name}" + (f"; there are {', '.join(near)}" if near else ""))
    return list(asked) or [name for name in _FIRST if name in logged] or sorted(logged & {"train/loss"})


def order(runs: Sequence[Run], name: str, by: str = "best") -> list[Run]:
    """The runs from the best to the worst of a quantity; those without it last."""
    sign = -1 if rises(name) else 1
    values = {run.folder: run.value(name, by) for run in runs}
    return sorted(runs, key=lambda run: math.inf if (v := values[run.folder]) is None else sign * v)


class Difference(NamedTuple):
    """One thing that two runs do not have in common."""

    key: str
    first: Any
    second: Any


_MISSING = "-"
_FACTS = (
    "git_revision", "git_modified", "python", "versions", "machine", "seed", "devices", "precision", "data",
)  # fmt: skip
# Where a run was written is no property of it.
_PLACES = ("default_root_dir", "save_dir", "dirpath", "ckpt_path")


def differences(first: Run, second: Run) -> list[Difference]:
    """Settings, revision, versions, data and machine of two runs where they differ."""

    def facts(run: Run) -> dict[str, Any]:
        recorded = ((f"record.{key}", v) for name in _FACTS for key, v in flat(run.record.get(name), name))
        return {**run.settings, **dict(recorded)}

    a, b = facts(first), facts(second)
    every = (Difference(key, a.get(key, _MISSING), b.get(key, _MISSING)) for key in {**a, **b})
    return [d for d in every if d.first != d.second and d.key.rpartition(".")[2] not in _PLACES]
