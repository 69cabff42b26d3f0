"""``diffgmm runs``: what was trained, what it came to, and what two runs do not have in common."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.cli.options import add_shared, names
from diffgmm.utils.errors import UsageError
from diffgmm.utils.text_table import aligned

if TYPE_CHECKING:
    from diffgmm.training.run_folders import Run

HELP = "list and compare training runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("folders", nargs="*", default=["runs"], metavar="DIR", help="runs, or folders with runs below (runs)")
    add("--metric", type=names, default=(), metavar="NAME,...", help="columns, as val/loss (the usual ones)")
    add("--sort", metavar="NAME", help="from the best to the worst of this (by start)")
    add("--last", action="store_true", help="last values instead of the best ones")
    add("--best", metavar="NAME", help="print only the folder of the run that is best by this")
    add("--diff", action="store_true", help="show what two runs (given as the two folders) differ in")
    add_shared(parser, "--json")


def run(args: argparse.Namespace) -> int:
    """Print the table, the best run or the differences."""
    from diffgmm.training.run_folders import columns, find_runs, order

    if args.diff:
        return _diff(args.folders, args.json)
    runs, by = find_runs(args.folders), "last" if args.last else "best"
    wanted = args.best or args.sort
    if wanted:
        columns(runs, [wanted])
        runs = order(runs, wanted, by)
    if args.best:
        print(runs[0].folder)
        return 0
    shown = columns(runs, list(args.metric) or ([wanted, *columns(runs)] if wanted else []))
    if args.json:
        facts = []
        for entry in runs:
            values = {name: entry.value(name, by) for name in entry.curves}
            about = {"settings": entry.settings, "record": entry.record}
            facts.append({"folder": str(entry.folder), "values": values, **about})
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        print(_table(runs, list(dict.fromkeys(shown)), by))
    return 0


def _diff(folders: Sequence[str], as_json: bool) -> int:
    from diffgmm.training.run_folders import differences, find_runs

    if len(folders) != 2:
        raise UsageError(f"--diff takes two runs, got {len(folders)}")
    pair = []
    for folder in folders:
        below = find_runs([folder])
        if len(below) > 1:
            raise UsageError(f"{folder}: has {len(below)} runs, name one, such as {below[-1].folder}")
        pair += below
    changes = differences(*pair)
    if as_json:
        print(json.dumps([change._asdict() for change in changes], indent=2, ensure_ascii=False))
    elif changes:
        rows = [["", *(str(entry.folder) for entry in pair)]]
        rows += [[change.key, _short(change.first), _short(change.second)] for change in changes]
        print("\n".join(aligned(rows, left=range(3))))
    else:
        print("the same settings, code, versions, data and machine")
    return 0


def _table(runs: Sequence[Run], metrics: Sequence[str], by: str) -> str:
    from diffgmm.training.run_folders import order

    best = {name: order(runs, name, by)[0] for name in metrics}
    rows = [["run", "started", "steps", "min", *metrics, "revision"]]
    for entry in runs:
        record, folder = entry.record, entry.folder.resolve()
        cells = []
        for name in metrics:
            value = entry.value(name, by)
            mark = "*" if len(runs) > 1 and entry is best[name] else " "
            cells.append("-" if value is None else f"{value:.4g}{mark}")
        seconds = record.get("seconds_in_all", record.get("seconds"))
        place = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else entry.folder
        steps = f"{record.get('steps', '-')}{'' if record.get('finished', True) else '...'}"
        minutes = "-" if seconds is None else f"{seconds / 60:.1f}"
        revision = (record.get("git_revision") or "-")[:8] + ("+" if record.get("git_modified") else "")
        rows.append([str(place), str(record.get("started", "-"))[:16], steps, minutes, *cells, revision])
    return "\n".join(aligned(rows, left=range(1)))


def _short(value: Any, most: int = 60) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 3] + "..."
