"""The same tables as Markdown, for a file that lies in a repository."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from diffgmm.metrics import statistics
from diffgmm.report import facts, groups, plots, tables
from diffgmm.report.collect import ReportError, ResultsRun, TrainingRun, collect
from diffgmm.report.tables import Cell, Table
from diffgmm.utils.files import replacing

# Shares of a score by ratio, counts, and what the noisy input alone determines.
_DETAIL = re.compile(r"_(valid|noisy|improvement|percent)$|/pairs$|_snr_|/mixture_(?!nll|coverage_90)")

_FEWEST = 5  # pairs in a noise, below which their mean is not worth a row


def render_markdown(
    runs: Iterable[str | os.PathLike[str]], out: str | os.PathLike[str], *, overwrite: bool = False
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
    parts = [
        "# Results",
        f"<!-- Made by `diffgmm report {names} --markdown {out.name}`; edit nothing here, make it anew. -->",
        f"This page is generated from the JSON of the runs by `diffgmm report {names} --markdown {out.name}`: "
        "don't edit it.",
        *(_results(run) for run in results_runs),
        *(_training(run) for run in trained),
    ]
    with replacing(out) as part:
        part.write_text("\n\n".join(part_ for part_ in parts if part_) + "\n", encoding="utf-8")
    return out


def _results(run: ResultsRun) -> str:
    results, table = run.results, tables.summary(run.results)
    intro = f"{results.set.description.rstrip('.')}. " if results.set.description else ""
    level = f"{100 * statistics.LEVEL:g} %"
    parts = [
        f"## {escape(results.set.name)}",
        escape(intro)
        + f"Means over {len(table.ids)} pairs (subset {table.subset}) with {level} bootstrap intervals; "
        "**bold**: the best, ≈: not told apart from it by the paired test."
        + (" Counts: scores that exist / pairs." if table.incomplete else ""),
        _summary(table),
    ]
    systems = results.systems
    ways = (
        ("subset", groups.by_subset(results)),
        (
            "SNR in dB",
            {groups.number(x, 1).removesuffix(".0"): y for x, y in groups.by_snr(results, table.ids).items()},
        ),
        ("noise", {k: ids for k, ids in groups.by_noise(results, table.ids).items() if len(ids) >= _FEWEST}),
    )
    for name, way in ways:
        metrics = groups.main_metrics(results)[:1] if len(way) > 1 else []
        if name == "subset":  # wide-band PESQ says nothing of pairs at 8 kHz
            metrics += [
                metric for metric in results.metrics if metric.name == "pesq_nb" and metric not in metrics
            ]
        for metric in metrics:
            rows = groups.breakdown(metric, way, systems)
            head = [name, "pairs", *(system.name for system in systems)]
            body = [
                [
                    row.name,
                    str(row.n),
                    *(f"**{t}**" if b else t for t, b in zip(row.texts, row.best, strict=True)),
                ]
                for row in rows
            ]
            parts.append(f"### {plots.name_of(metric)} by {name}\n\n{_table(head, body, raw=2)}")
    lines = [("command", f"`{public(facts.command_line(results.command))}`"), *facts.of_results(run)]
    parts.append(
        "### How it was made\n\n" + "\n".join(f"- {escape(name)}: {public(value)}" for name, value in lines)
    )
    return "\n\n".join(parts)


def _summary(table: Table) -> str:
    head = [
        "system",
        *(plots.name_of(metric) for metric in table.metrics),
        *(name for name, _ in table.cost_names),
    ]
    body = [[row.system.name, *(_cell(cell) for cell in row.cells), *row.costs] for row in table.rows]
    return _table(head, body, raw=1)


def _cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text + (" ≈" if cell.tied else "")
    if cell.interval:
        text += f" ({cell.interval.replace(' to ', ' … ')})"
    return text + (f" [{cell.count}]" if cell.count else "")


def _training(run: TrainingRun) -> str:
    lines = [
        ("command", f"`{public(facts.command_line(run.record.get('command')))}`"),
        *facts.of_training(run),
    ]
    return "\n\n".join(
        [
            f"## Training {escape(run.name)}",
            _validation(run) or _last_values(run),
            "\n".join(f"- {escape(name)}: {public(value)}" for name, value in lines),
        ]
    )


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
    rows = [
        [f"{step:g}", *(groups.number(here[name], 3) if name in here else "–" for name in curves)]
        for step, here in times
    ]
    return _table(["step", *curves], rows) if rows else ""


def _last_values(run: TrainingRun) -> str:
    rows = [
        [name, f"{curve.steps[-1]:g}", groups.number(curve.values[-1], 4)]
        for name, curve in run.curves.items()
        if name.startswith(("train/", "val/"))
    ]
    return _table(["logged", "step", "last value"], rows)


def _table(head: Sequence[str], body: Sequence[Sequence[str]], raw: int | None = None) -> str:
    """A table; from the column ``raw`` on, cells are Markdown already."""
    first = len(head) if raw is None else raw
    rows = [[escape(cell) if i < first else cell for i, cell in enumerate(row)] for row in body]
    lines = [[escape(cell) for cell in head], ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
