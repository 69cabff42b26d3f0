"""Provenance of a report's figures, as lines of plain text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from diffgmm.evaluation.results import System
from diffgmm.report.collect import ResultsRun, TrainingRun


def command_line(command: Any) -> str:
    """A command as one would type it."""
    return (
        shlex.join(str(word) for word in command)
        if isinstance(command, (list, tuple))
        else str(command or "")
    )


def words(command: Any) -> list[str]:
    """A command's words, quoted where they have to be; a line breaks between them."""
    if isinstance(command, (list, tuple)):
        return [shlex.quote(str(word)) for word in command]
    return str(command or "").split()


def of_results(run: ResultsRun) -> list[tuple[str, str]]:
    """Name and value of what identifies a benchmark or an evaluation."""
    results = run.results
    lines = [("made", results.created), ("set", f"{results.set.name}, {len(results.set.pairs)} pairs")]
    if results.set.checksum:
        lines.append(("checksum of the set", results.set.checksum))
    lines.append((f"checksum of {run.path.name}", run.sha256))
    for system in results.systems:
        weights = system.settings.get("weights")
        if weights:
            lines.append((f"weights of {system.name}", str(weights)))
    return lines + of_record(results.record)


def of_training(run: TrainingRun) -> list[tuple[str, str]]:
    """Name and value of what identifies a training run."""
    record = run.record
    lines = [("started", str(record["started"]))] if record.get("started") else []
    lines += [
        (name, str(record[name]))
        for name in ("steps", "epochs", "seconds", "parameters", "accelerator", "precision", "resumed_from")
        if record.get(name) is not None
    ]
    data = record.get("data")
    if isinstance(data, Mapping):
        lines += [(f"data {name}", flat(value)) for name, value in data.items()]
    return lines + of_record(record)


def of_record(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Revision, versions and machine."""
    lines = []
    revision = record.get("git_revision")
    if revision:
        changed = " with changes that were not committed" if record.get("git_modified") else ""
        lines.append(("revision", f"{revision}{changed}"))
    versions = record.get("versions")
    known = {k: v for k, v in versions.items() if v} if isinstance(versions, Mapping) else {}
    if record.get("python"):
        known = {"python": record["python"], **known}
    if known:
        lines.append(("versions", ", ".join(f"{name} {version}" for name, version in known.items())))
    machine = record.get("machine")
    if isinstance(machine, Mapping):
        cores = f"{machine['cores']} cores" if machine.get("cores") else ""
        parts = [str(machine.get("processor") or ""), cores, str(machine.get("system") or "")]
        lines.append(("machine", ", ".join(part for part in parts if part)))
    return lines


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


def plain(config: Any) -> str:
    """A configuration as JSON for reading; empty if there is none."""
    return json.dumps(config, indent=2, ensure_ascii=False) if config else ""
