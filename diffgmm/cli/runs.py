"""``diffgmm runs``: what was trained, what it came to, and what two runs do not have in common."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.utils.text_table import aligned

if TYPE_CHECKING:
    from diffgmm.training.run_folders import Run

HELP = "list and compare training runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("folders", nargs="*", default=["runs"], metavar="DIR", help="runs, or folders with runs below (runs)")
    add("--metric", metavar="NAME,...", help="columns, e.g. val/loss,val/pesq_wb (the usual ones)")
    add("--sort", metavar="NAME", help="from the best to the worst of this (by start)")
    add("--last", action="store_true", help="last values instead of the best ones")
    add("--best", metavar="NAME", help="print only the folder of the run that is best by this")
    add("--diff", action="store_true", help="show what two runs (given as the two folders) differ in")
    add("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the table, the best run or the differences."""
    from diffgmm.training.run_folders import RunsError, columns, find_runs, order
    from diffgmm.utils.errors import UsageError

    try:
        if args.diff:
            return _diff(args)
        runs, by = find_runs(args.folders), "last" if args.last else "best"
        asked = [name for name in (args.metric or "").split(",") if name]
        wanted = args.best or args.sort
        if wanted:
            columns(runs, [wanted])
            runs = order(runs, wanted, by)
        if args.best:
            print(runs[0].folder)
            return 0
        names = columns(runs, asked or ([wanted, *columns(runs)] if wanted else []))
    except RunsError as error:
        raise UsageError(str(error)) from error
    names = list(dict.fromkeys(names))
    if args.json:
        print(json.dumps([_plain(entry, by) for entry in runs], indent=2, ensure_ascii=False))
    else:
        print(_table(runs, names, by))
    return 0


def _diff(args: argparse.Namespace) -> int:
    from diffgmm.training.run_folders import RunsError, differences, find_runs

    if len(args.folders) != 2:
        raise RunsError(f"--diff takes two runs, got {len(args.folders)}")
    pair = []
    for folder in args.folders:
        in_folder = find_runs([folder])
        if len(in_folder) > 1:
            raise RunsError(f"{folder}: has {len(in_folder)} runs, name one, such as {in_folder[-1].folder}")
        pair += in_folder
    found_ = differences(*pair)
    if args.json:
        rows = [
            {"key": difference.key, "first": difference.first, "second": difference.second}
            for difference in found_
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif found_:
        lines = [("", str(pair[0].folder), str(pair[1].folder))]
        lines += [
            (difference.key, _short(difference.first), _short(difference.second)) for difference in found_
        ]
        print("\n".join(aligned(lines, left=range(3))))
    else:
        print("the same settings, code, versions, data and machine")
    return 0


def _plain(run: Run, by: str) -> dict[str, Any]:
    values = {name: run.value(name, by) for name in run.values}
    return {"folder": str(run.folder), "values": values, "settings": run.settings, "record": run.record}


def _table(runs: Sequence[Run], names: Sequence[str], by: str) -> str:
    from diffgmm.training.run_folders import order

    best = {name: order(runs, name, by)[0] for name in names}
    head = ("run", "started", "steps", "min", "kJ", *names, "revision")
    rows = [head]
    for entry in runs:
        cells = []
        for name in names:
            value = entry.value(name, by)
            mark = "*" if len(runs) > 1 and entry is best[name] and value is not None else " "
            cells.append("-" if value is None else f"{value:.4g}{mark}")
        record = entry.record
        seconds = record.get("seconds_in_all", record.get("seconds"))
        revision = (record.get("git_revision") or "-")[:8] + ("+" if record.get("git_modified") else "")
        steps = str(record.get("steps", "-")) + ("" if record.get("finished", True) else "...")
        minutes = "-" if seconds is None else f"{seconds / 60:.1f}"
        started = str(record.get("started", "-"))[:16]
        rows.append((_name(entry.folder), started, steps, minutes, _energy(record), *cells, revision))
    return "\n".join(aligned(rows, left=range(1)))


def _energy(record: Any) -> str:
    parts = [part for part in (record.get("energy_joules") or {}).values() if part is not None]
    return f"{sum(parts) / 1e3:.1f}" if parts else "-"


def _name(folder: Path) -> str:
    try:
        return str(folder.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(folder)


def _short(value: Any, most: int = 60) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 3] + "..."
