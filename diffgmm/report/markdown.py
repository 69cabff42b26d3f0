"""The same tables as Markdown, for a file that lies in a repository."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diffgmm.metrics import statistics
from diffgmm.report import facts, groups, plots, tables
from diffgmm.report.collect import ReportError, ResultsRun, TrainingRun, collect
from diffgmm.report.tables import Cell, Table
from diffgmm.utils.files import write_text
from diffgmm.utils.text_table import markdown, number

# Shares of a score by ratio, counts, and what the noisy input alone determines.
_DETAIL = re.compile(r"_(valid|noisy|improvement|percent)$|/pairs$|_snr_|/mixture_(?!nll|coverage_90)")

_FEWEST = 5  # pairs in a noise, below which their mean is not worth a row


def render_markdown(
    runs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the tables of some runs as Markdown; arguments and errors as in :func:`diffgmm.report.render`.

    Folders are left out of commands, so that no machine's layout ends up in a repository.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise ReportError(f"{out}: exists already; choose another name or allow overwriting")
    asked = list(runs)
    results_runs, trained = collect(asked)
    names = " ".join(Path(path).name for path in asked)
    heading, command = "Results", f"diffgmm report {names} --markdown {out.name}"
    if title:
        heading = " ".join(title.split())
        command += f" --title {shlex.quote(heading)}"
    parts = [
        f"# {escape(heading)}",
        f"<!-- Made by `{command}`; edit nothing here, make it anew. -->",
        f"This page is generated from the JSON of the runs by `{command}`: don't edit it.",
        *(_results(run) for run in results_runs),
        *(_training(run) for run in trained),
    ]
    write_text(out, "\n\n".join(parts) + "\n")
    return out


def _results(run: ResultsRun) -> str:
    results, table = run.results, tables.summary(run.results)
    description = f"{results.set.description.rstrip('.')}. " if results.set.description else ""
    parts = [
        f"## {escape(results.set.name)}",
        escape(description)
        + f"Means over {len(table.ids)} pairs (subset {table.subset}) with {100 * statistics.LEVEL:g} % bootstrap "
        "intervals; **bold**: the best, ≈: not told apart from it by the paired test."
        + (" Counts: scores that exist / pairs." if table.incomplete else ""),
        _summary(table),
    ]
    ways = groups.ways(results, table.ids)
    ways["noise"] = {name: ids for name, ids in ways["noise"].items() if len(ids) >= _FEWEST}
    for name in ("subset", "SNR in dB", "noise"):
        metrics = groups.main_metrics(results)[:1] if len(ways[name]) > 1 else []
        if name == "subset":  # wide-band PESQ says nothing of pairs at 8 kHz
            metrics += [m for m in results.metrics if m.name == "pesq_nb" and m not in metrics]
        for metric in metrics:
            rows = [[name, "pairs", *(escape(system.name) for system in results.systems)]]
            for row in groups.breakdown(metric, ways[name], results.systems):
                marked = zip(row.texts, row.best, strict=True)
                means = [f"**{text}**" if best else text for text, best in marked]
                rows.append([escape(row.name), str(row.n), *means])
            parts.append("\n".join([f"### {plots.name_of(metric)} by {name}", "", *markdown(rows)]))
    parts += ["### How it was made", _made(results.command, facts.of_results(run))]
    return "\n\n".join(parts)


def _made(command: Any, lines: Iterable[tuple[str, str]]) -> str:
    """A list of the command and what else tells how figures came about."""
    typed = ("command", f"`{public(' '.join(facts.words(command)))}`")
    return "\n".join(f"- {escape(name)}: {public(value)}" for name, value in (typed, *lines))


def _summary(table: Table) -> str:
    rows = [["system", *(plots.name_of(metric) for metric in table.metrics), *table.cost_names]]
    rows += [[escape(row.system.name), *map(_cell, row.cells), *row.costs] for row in table.rows]
    return "\n".join(markdown(rows))


def _cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text + (" ≈" if cell.tied else "")
    if cell.interval:
        text += f" ({cell.interval.replace(' to ', ' … ')})"
    return text + (f" [{cell.count}]" if cell.count else "")


def _training(run: TrainingRun) -> str:
    made = _made(run.record.get("command"), facts.of_training(run))
    return "\n\n".join([f"## Training {escape(run.name)}", _validation(run) or _last_values(run), made])


def _validation(run: TrainingRun) -> str:
    """Validation along the run, a row for each time; empty if there was none.

    What belongs to one validation may be logged a step apart, as losses and scores are; what a run that was stopped
    has not logged yet stays open.
    """
    curves = {
        name: dict(zip(curve.steps, curve.values, strict=True))
        for name, curve in run.curves.items()
        if name.startswith("val/") and not _DETAIL.search(name)
    }
    times: list[tuple[float, dict[str, float]]] = []
    for step in sorted({step for curve in curves.values() for step in curve}):
        here = {name: curve[step] for name, curve in curves.items() if step in curve}
        if times and step - times[-1][0] <= 1 and not here.keys() & times[-1][1].keys():
            here |= times.pop()[1]
        times.append((step, here))
    rows = [["step", *map(escape, curves)]]
    rows += [[f"{step:g}", *(number(here.get(name), 3) for name in curves)] for step, here in times]
    return "\n".join(markdown(rows)) if times else ""


def _last_values(run: TrainingRun) -> str:
    rows = [["logged", "step", "last value"]]
    rows += [
        [escape(name), f"{curve.steps[-1]:g}", number(curve.values[-1], 4)]
        for name, curve in run.curves.items()
        if name.startswith(("train/", "val/"))
    ]
    return "\n".join(markdown(rows))


def escape(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    text = re.sub(r"\s+", " ", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", text)


def public(text: str) -> str:
    """Without the folders of absolute paths.

    >>> public("diffgmm benchmark --out /data/runs/dsn")
    'diffgmm benchmark --out dsn'
    """
    text = re.sub(r"(?<![\w.~])/(?:[^\s/'\",:]+/)*([^\s/'\",:]*)", r"\1", text)
    return re.sub(r"\s+", " ", text).replace("<", "&lt;").replace("|", "\\|")
