"""The page: one file that holds everything and asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from diffgmm.evaluation.results import Results
from diffgmm.metrics import statistics
from diffgmm.report import examples as listening
from diffgmm.report import facts, groups, plots, tables
from diffgmm.report.collect import ReportError, ResultsRun, TrainingRun, collect
from diffgmm.report.training import training
from diffgmm.utils.files import write_text
from diffgmm.utils.version import __version__

TEMPLATES = Path(__file__).with_name("templates")


def render(
    runs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    examples: int = 3,
    title: str | None = None,
    codec: str = "auto",
    model: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of some runs as one HTML file.

    Args:
        runs: files of results, or folders with ``results.json`` or ``metrics.csv``.
        out: the file.
        examples: how many pairs of each run to listen to; 0 for none.
        title: of the page.
        codec: ``flac``, ``ogg``, or ``auto``: lossless unless that gets large.
        model: shipped name or file whose uncertainty is shown for the examples; None: the models of the results,
            where their weights are found.
        overwrite: replace an existing file.

    Returns:
        ``out``.

    Raises:
        ReportError: nothing to show, or ``out`` exists.
        ResultsError: a damaged file.
        ModelError: ``model`` can't be used.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise ReportError(f"{out}: exists already; choose another name or allow overwriting")
    results_runs, trained = collect(runs)
    heard = []
    for run in results_runs:
        maps = listening.maps_for(run.results, model) if examples else None
        heard.append(listening.examples(run, examples, maps))
    heard += [listening.training_examples(run, examples) for run in trained]
    codec = listening.encode([example for shown in heard for example in shown], codec)
    sections = [_section(run) for run in results_runs]
    trainings = [_run(run) for run in trained]
    for part, shown in zip((*sections, *trainings), heard, strict=True):
        part["examples"] = shown
    names = dict.fromkeys(part["name"] for part in (*sections, *trainings))
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    fixed = {"script": Markup(script), "script_hash": digest, "codec": codec}
    curves = training(trained) if trained else None
    level, heading = f"{100 * statistics.LEVEL:g} %", title or f"diffgmm: {', '.join(names)}"
    parts = {"sections": sections, "runs": trainings, "training": curves, "level": level}
    write_text(out, fill("report.html", title=heading, **parts, **fixed))
    return out


def fill(name: str, **values: Any) -> str:
    """A page's template with its values; version and style are those of all pages."""
    blocks: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, **blocks)
    style = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(name).render(style=style, version=__version__, **values)


def _section(run: ResultsRun) -> dict[str, Any]:
    """Everything that the template shows of a file of results, but for the sounds."""
    results, table = run.results, tables.summary(run.results)
    order = sorted(range(len(results.systems)), key=lambda i: results.systems[i].kind != "noisy")
    systems = [results.systems[i] for i in order]
    parts = []
    for name, way in groups.ways(results, table.ids).items():
        metrics = groups.main_metrics(results)
        rows = [(plots.name_of(metric), groups.breakdown(metric, way, systems)) for metric in metrics]
        if shown := [entry for entry in rows if len(entry[1]) > (name != "subset")]:
            parts.append({"name": name, "metrics": shown})
    return {
        **vars(run),
        "name": results.set.name,
        "table": table,
        "tints": [_tint(results, i) for i in range(len(results.systems))],
        "order": order,
        "cost_plots": plots.cost_plots(results, table),
        "snr_plots": plots.snr_plots(results, table.ids),
        "nfe_plots": plots.nfe_plots(results, table.ids),
        "parts": parts,
        "missing": tables.missing(results),
        "command": facts.words(results.command),
        "facts": facts.of_results(run),
        "settings": [(system.name, facts.settings(system)) for system in results.systems],
        "config": json.dumps(results.config, indent=2, ensure_ascii=False) if results.config else "",
    }


def _tint(results: Results, i: int) -> str:
    """Colour of a system in the style sheet."""
    rank = plots.rank(results.systems, i)
    return "faint" if rank is None else f"c{rank % len(plots.COLORS)}"


def _run(run: TrainingRun) -> dict[str, Any]:
    made = {"command": facts.words(run.record.get("command")), "facts": facts.of_training(run)}
    return {**vars(run), "settings": (), **made}  # the settings are in the configuration
