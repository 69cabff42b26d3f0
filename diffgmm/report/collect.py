"""Sources of a report: files of results and folders of training runs, read and checked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diffgmm.evaluation.results import FILE, Results, ResultsError, read_results
from diffgmm.training.run_folders import CONFIG, CURVES, Run, read_run
from diffgmm.utils.files import sha256_of


class ReportError(ResultsError):
    """A report that can't be made; one line that names the file and what to do."""


@dataclass(frozen=True)
class ResultsRun:
    """A file of results.

    Attributes:
        key: short and safe, unique in the report; anchors are made of it.
        path: of the file.
        sha256: of the file.
        results: what it holds.
    """

    key: str
    path: Path
    sha256: str
    results: Results

    def place(self, name: str | None) -> Path | None:
        """Where an audio file that is named in the results lies."""
        return self.path.parent / name if name else None


@dataclass(frozen=True)
class TrainingRun(Run):
    """A folder of a training run.

    Attributes:
        key: as in :class:`ResultsRun`.
        name: for readers.
        config: text of the configuration, empty if there is none.
    """

    key: str = ""
    name: str = ""
    config: str = ""


def collect(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[ResultsRun], list[TrainingRun]]:
    """Read all runs, each once.

    Args:
        paths: files of results, folders that hold ``results.json`` or ``metrics.csv`` (or both).

    Raises:
        ReportError: nothing there to show.
        ResultsError, RunsError: a damaged file of results, or of a run.
    """
    results_runs: list[ResultsRun] = []
    runs: list[TrainingRun] = []
    asked = list(dict.fromkeys(Path(path) for path in paths))
    if not asked:
        raise ReportError("nothing to report on: give folders with results.json or metrics.csv")
    for path in asked:
        file = path / FILE if path.is_dir() else path
        has_curves = path.is_dir() and (path / CURVES).is_file()
        if path.is_dir() and not has_curves and not file.is_file():
            raise ReportError(f"{path}: holds neither {FILE} nor {CURVES}{_hint(path)}")
        if file.is_file() or not path.is_dir():
            results = read_results(file)
            results_runs.append(ResultsRun(f"r{len(results_runs) + 1}", file, sha256_of(file), results))
        if has_curves:
            runs.append(_training(path, f"t{len(runs) + 1}"))
    return results_runs, runs


def _hint(folder: Path) -> str:
    """Where the runs are, if they lie one folder below."""
    inner = sorted(path.parent for name in (FILE, CURVES) for path in folder.glob(f"*/{name}"))
    return f"; did you mean {inner[-1]}?" if inner else ""


def _training(folder: Path, key: str) -> TrainingRun:
    run, config = read_run(folder), folder / CONFIG
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    return TrainingRun(**vars(run), key=key, name="/".join(folder.resolve().parts[-2:]), config=text)
