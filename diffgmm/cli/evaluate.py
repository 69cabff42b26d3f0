"""``diffgmm evaluate``: folders of clean and enhanced speech in, a table of scores out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffgmm.evaluation import Pair
    from diffgmm.scores import Row

HELP = "score enhanced speech against clean speech"
_LINES = 20  # of each kind of complaint; the CSV has them all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("--clean", required=True, metavar="DIR", help="folder of clean speech")
    add("--enhanced", required=True, metavar="DIR", help="folder of enhanced files of the same names")
    add("--noisy", metavar="DIR", help="folder of noisy files of the same names, to show the improvement")
    add("-o", "--output", metavar="FILE.csv", help="write the scores of every file")
    add(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="default: pesq_wb (pesq_nb below 16 kHz) stoi estoi si_sdr; also snr segmental_snr sdr lsd",
    )
    add("--jobs", type=int, metavar="N", help="processes (default: as many as there are cores)")
    add("--resample", action="store_true", help="bring differing sample rates together instead of refusing")
    add("--overwrite", action="store_true", help="replace an existing FILE.csv")


def run(args: argparse.Namespace) -> int:
    """Evaluate; returns 1 if any file failed or has no counterpart (the others are scored all the same)."""
    from tqdm import tqdm

    from diffgmm import evaluation, scores
    from diffgmm.audio import AudioError
    from diffgmm.cli.errors import FAILED, UsageError, complain

    output = _checked_output(args.output, args.overwrite)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {args.jobs}")
    try:
        pairing = evaluation.pair_folders(args.clean, args.enhanced, args.noisy)
    except AudioError as error:
        raise UsageError(str(error)) from error
    if not pairing.pairs:
        raise UsageError(
            f"no file in {args.enhanced} has the name of one in {args.clean} (endings may differ)"
        )
    names = _metrics(args.metrics, pairing.pairs)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = args.jobs or max(1, min(cores, len(pairing.pairs) // 4))  # starting a process costs a few files
    with tqdm(total=len(pairing.pairs), unit="file", disable=None, leave=False) as bar:
        rows = evaluation.evaluate(
            pairing.pairs, names, resample=args.resample, jobs=jobs, on_row=lambda _: bar.update()
        )
    print(render(rows, names))
    bad = [error for row in rows for error in row.errors]
    for lines in (list(pairing.unmatched), bad):
        for line in lines[:_LINES]:
            complain(line)
        if len(lines) > _LINES:
            complain(f"... and {len(lines) - _LINES} more")
    if output:
        scores.write_csv(output, rows, names)
        print(f"wrote {output}")
    return FAILED if bad or pairing.unmatched else 0


def _checked_output(name: str | None, overwrite: bool) -> Path | None:
    """Refuse before the work what could not be written after it."""
    from diffgmm.cli.errors import UsageError

    if name is None:
        return None
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{path}: is a directory, give a file name for the scores")
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists already; choose another name or add --overwrite")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder to write into")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path.parent}: cannot write into this folder")
    return path


def _metrics(asked: Sequence[str] | None, pairs: Sequence[Pair]) -> tuple[str, ...]:
    from diffgmm import audio, metrics
    from diffgmm.cli.errors import UsageError

    if asked:
        names = [name for entry in asked for name in entry.split(",") if name]
        if names == ["all"]:
            return metrics.NAMES
        unknown = [name for name in names if name not in metrics.NAMES]
        if unknown:
            raise UsageError(f"unknown metric {unknown[0]!r}; choose from all {' '.join(metrics.NAMES)}")
        return tuple(dict.fromkeys(names))
    for pair in pairs:
        try:
            return metrics.default_names(audio.probe(pair.clean).sample_rate)
        except audio.AudioError:
            continue  # will be named when it is scored
    return metrics.default_names(16000)


def render(rows: Sequence[Row], names: Sequence[str]) -> str:
    """The table of means and the counts beside it, as text."""
    from diffgmm import metrics, scores

    kinds = ["enhanced"]
    if any(row.noisy for row in rows):
        kinds = ["noisy", "enhanced", "improvement"]
    lines = [["metric", "", *kinds, "scored"]]
    for name in names:
        unit = metrics.METRICS[name].unit
        digits = 2 if unit else 3
        found = {kind: scores.summarise(v) for kind, v in scores.columns(rows, name).items()}
        cells = []
        for kind in kinds:
            one, sign = found[kind], "+" if kind == "improvement" else ""
            spread = f" ± {one.std:.{digits}f}" if one.n_valid > 1 else ""
            cells.append(f"{one.mean:{sign}.{digits}f}{spread}" if one.n_valid else "-")
        arrow = "" if metrics.METRICS[name].higher_is_better else " (lower is better)"
        counts = f"{found['enhanced'].n_valid}/{found['enhanced'].n_total}"
        if "noisy" in kinds and found["improvement"].n_valid != found["enhanced"].n_valid:
            counts += f" (noisy {found['noisy'].n_valid}, both {found['improvement'].n_valid})"
        lines.append([name, unit + arrow, *cells, counts])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for line in lines:
        sides = "<<" + ">" * (len(line) - 2)
        text.append("  ".join(f"{cell:{s}{w}}" for cell, s, w in zip(line, sides, widths, strict=True)))
    text.insert(1, "-" * max(map(len, text)))
    differing = [row for row in rows if row.length_difference]
    if differing:
        most = max(differing, key=lambda row: abs(row.length_difference))
        text.append(
            f"{len(differing)} of {len(rows)} pairs differ in length (most: {most.name}, "
            f"{most.length_difference:+d} samples); the common part was scored"
        )
    missing = [f"  {row.name}: {note}" for row in rows if not row.errors for note in scores.notes(row)]
    if missing:
        text += ["no score, not in the means:", *missing[:_LINES]]
        text += [f"  ... and {len(missing) - _LINES} more"] if len(missing) > _LINES else []
    failed = sum(bool(row.errors) for row in rows)
    text.append(
        f"{len(rows) - failed} of {len(rows)} pairs scored" + (f", {failed} with errors" if failed else "")
    )
    return "\n".join(line.rstrip() for line in text)
