"""Provenance of a report's figures, as lines of plain text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from diffgmm.evaluation.results import System
from diffgmm.report.collect import ResultsRun, TrainingRun


def words(command: Any) -> list[str]:
    """A command's words as one would type them; a line breaks between them."""
    if isinstance(command, (list, tuple)):
        return [shlex.quote(str(word)) for word in command]
    return str(command or "").split()


def of_results(run: ResultsRun) -> list[tuple[str, str]]:
    """Name and value of what identifies a benchmark or an evaluation."""
    results = run.results
    lines = [("made", results.created), ("set", f"{results.set.name}, {len(results.set.pairs)} pairs")]
    lines += [("checksum of the set", results.set.checksum), (f"checksum of {run.path.name}", run.sha256)]
    weights = {system.name: str(system.settings.get("weights") or "") for system in results.systems}
    lines += [(f"weights of {name}", checksum) for name, checksum in weights.items()]
    return [(name, value) for name, value in lines if value] + of_record(results.record)


def of_training(run: TrainingRun) -> list[tuple[str, str]]:
    """Name and value of what identifies a training run."""
    names = "started steps epochs seconds parameters accelerator precision resumed_from"
    lines = [(name, str(run.record[name])) for name in names.split() if run.record.get(name) is not None]
    lines += [(f"data {name}", flat(value)) for name, value in _mapping(run.record.get("data")).items()]
    return lines + of_record(run.record)


def of_record(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Revision, versions and machine."""
    revision, machine = record.get("git_revision"), _mapping(record.get("machine"))
    changed = " with changes that were not committed" if record.get("git_modified") else ""
    versions = {"python": record.get("python"), **_mapping(record.get("versions"))}
    cores = f"{machine['cores']} cores" if machine.get("cores") else None
    parts = (machine.get("processor"), cores, machine.get("system"))
    lines = {
        "revision": f"{revision}{changed}" if revision else "",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "machine": ", ".join(str(part) for part in parts if part),
    }
    return [(name, value) for name, value in lines.items() if value]


def _mapping(value: Any) -> Mapping[str, Any]:
    """Of a record that may have anything there."""
    return value if isinstance(value, Mapping) else {}


def settings(system: System) -> str:
    """What a system was set to, without the checksum that is told elsewhere."""
    options = {k: v for k, v in system.settings.items() if k != "weights" and v not in (None, "", 0, [], {})}
    return ", ".join(f"{name}: {flat(value)}" for name, value in options.items())


def flat(value: Any) -> str:
    """Plain data on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {flat(entry)}" for name, entry in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(flat, value))
    return str(value)
