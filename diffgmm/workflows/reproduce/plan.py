"""Descriptions of benchmarks in YAML: corpus, pairs, systems and expected figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from diffgmm.evaluation.results import Results
from diffgmm.metrics import METRICS
from diffgmm.utils.errors import UsageError
from diffgmm.utils.files import write_text

SETS = ("named", "pairs", "corpus")
"""Kinds of pairs: a set that comes as a list, mixtures of a corpus (``belz: true``: his), or a corpus of pairs."""
MARK = "# Measured here by `diffgmm reproduce {name} --record`; edit nothing below, make it anew.\n"


class ReproduceError(UsageError):
    """A benchmark that can't be run; one line: what, where, and what to do."""


@dataclass(frozen=True)
class Plan:
    """A benchmark's description.

    Args:
        name: of its file.
        path: its file.
        title: one line.
        corpus: ``name`` and ``variant``.
        set: ``kind`` (see :data:`SETS`) and its options.
        systems: ``models``, ``nfe``, ``estimate``, ``samples``, ``seed``.
        metrics: columns.
        tolerance: by metric, how far a figure may be from the expected one.
        subset: of the set; None: its main one.
        train: ``config``, a YAML beside the description, and ``settings`` for it.
        published: figures of others: ``system``, ``values`` and ``source``.
        notes: what a reader must know, one sentence each.
        expected: figures by system: ``values``, and ``weights`` of a model.
        measured: how the expected figures came about.
    """

    name: str
    path: Path
    title: str
    corpus: Mapping[str, Any]
    set: Mapping[str, Any]
    systems: Mapping[str, Any]
    metrics: tuple[str, ...]
    tolerance: Mapping[str, float] = field(default_factory=dict)
    subset: str | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    published: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    expected: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def training(self) -> Path:
        """The experiment's YAML.

        Raises:
            ReproduceError: the benchmark names none.
        """
        if not self.train.get("config"):
            raise ReproduceError(f"{self.path}: names no experiment to train; leave --train out")
        return (self.path.parent / str(self.train["config"])).resolve()


def find_plan(name: str, folder: Path) -> Path:
    """The file of a benchmark by its name, or the file itself.

    Raises:
        ReproduceError: there is none; the message lists the names.
    """
    for path in (folder / f"{name}.yaml", Path(name)):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise ReproduceError(f"no benchmark {name!r}; there are {names}")


def read_plan(path: Path) -> Plan:
    """Read and check a description.

    Raises:
        ReproduceError: damaged, or it contradicts itself.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ReproduceError(f"{path}: {str(error).splitlines()[0]}") from error
    known = {field.name for field in fields(Plan)} - {"name", "path"}
    if not isinstance(data, dict):
        raise ReproduceError(f"{path}: must have title, corpus, set, systems and metrics")
    if unknown := [key for key in data if key not in known]:
        raise ReproduceError(f"{path}: unknown {unknown[0]!r}; there are {', '.join(sorted(known))}")
    if missing := [key for key in ("title", "corpus", "set", "systems", "metrics") if not data.get(key)]:
        raise ReproduceError(f"{path}: {missing[0]} is missing")
    given: Any = {key: tuple(x) if isinstance(x, list) else x for key, x in data.items() if x}
    plan = Plan(path.stem, path, **given)
    if plan.set.get("kind") not in SETS:
        raise ReproduceError(f"{path}: kind of the set must be one of {', '.join(SETS)}")
    if unknown := [name for name in (*plan.metrics, *plan.tolerance) if name not in METRICS]:
        raise ReproduceError(f"{path}: unknown metric {unknown[0]}")
    for row in plan.published:
        if not row.get("source") or not row.get("system") or not isinstance(row.get("values"), Mapping):
            raise ReproduceError(f"{path}: a published figure needs system, values and source")
    return plan


def record_expected(plan: Plan, expected: Mapping[str, Any], results: Results) -> None:
    """Write expected figures into the description's file, in place of what is there; the rest stays as it is.

    Args:
        plan: the description.
        expected: figures by system.
        results: that they are from: when, on which set, with what code and versions, and on which processor.
    """
    record = results.record
    measured = {
        "created": results.created, "set": results.set.checksum, "git_revision": record.get("git_revision"),
        "processor": record.get("machine", {}).get("processor"), "versions": record.get("versions"),
    }  # fmt: skip
    text = plan.path.read_text(encoding="utf-8")
    mark = MARK.format(name=plan.name)
    kept = text.partition(mark)[0].rstrip("\n")
    if "\nexpected:" in kept or "\nmeasured:" in kept:
        raise ReproduceError(f"{plan.path}: has expected figures of another hand; take them out first")
    figures = yaml.safe_dump({"expected": dict(expected), "measured": measured}, sort_keys=False)
    write_text(plan.path, f"{kept}\n\n{mark}{figures}")
