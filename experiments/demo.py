"""The demo behind `make demo`: denoise, look, listen, score, then train a small model, with public commands.

Everything lands in one folder:

- ``clean/``, ``noisy/``: pairs of unseen voices and noises at 0, 5, 10 and 15 dB, listed in ``pairs.csv``
- ``denoised/``: the noisy files after the shipped model, with pictures; ``scores.csv``: scores of each file
- ``run/``: a training run of two minutes; ``denoised-run/``, ``scores-run.csv``: the same for its model
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from data_modules.errors import DataError
from data_modules.offline.pair_folder import write_pairs
from diffgmm.metrics.statistics import mean
from diffgmm.utils.text_table import aligned

CONFIG = Path(__file__).with_name("mini.yaml")
MARK = ".written-by-diffgmm-demo"
SNRS = (0.0, 5.0, 10.0, 15.0)
SCORES = {"pesq_wb": 2, "stoi": 3, "estoi": 3, "si_sdr": 1}  # decimals worth printing


def fresh(folder: Path) -> None:
    """Remove what an earlier demo wrote; anything else in the way is left alone.

    Raises:
        DataError: the folder holds something that no demo wrote.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).is_file()):
        raise DataError(f"{folder}: was not written by the demo; move it away or choose another --folder")
    shutil.rmtree(folder)


def diffgmm(*arguments: str | Path) -> None:
    """Show a command as a user would type it, then run it.

    Raises:
        CalledProcessError: it failed; it has said why.
    """
    words = [str(argument) for argument in arguments]
    print(f"\n$ diffgmm {shlex.join(words)}", flush=True)
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "diffgmm.cli.main", *words], check=True)
    print(f"  ({time.monotonic() - start:.0f} s)", flush=True)


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(scores: list[dict[str, str]], snr_of: dict[str, float]) -> str:
    """Lay out mean scores before and after, one row per signal-to-noise ratio and one for all pairs.

    Args:
        scores: rows of ``diffgmm evaluate``.
        snr_of: ratio in dB of each pair.
    """
    groups = {f"{snr:g} dB": [row for row in scores if snr_of[row["name"]] == snr] for snr in SNRS}
    lines = [["  SNR", "pairs", *SCORES], ["", "", *["noisy -> denoised"] * len(SCORES)]]
    for label, rows in {**groups, "all": scores}.items():
        cells = [f"  {label}", str(len(rows))]
        for name, digits in SCORES.items():
            before, after = (mean(float(row[key]) for row in rows) for key in (f"noisy_{name}", name))
            cells.append(f"{before:.{digits}f} -> {after:.{digits}f}")
        lines.append(cells)
    text = aligned(lines, left={0})
    changes = [(float(row["si_sdr"]) - float(row["noisy_si_sdr"]), row["name"]) for row in scores]
    if known := [change for change in changes if math.isfinite(change[0])]:
        text.append("  least change of si_sdr in a pair: {:+.1f} dB ({})".format(*min(known)))
    return "\n".join(text)


def denoise_and_score(folder: Path, suffix: str, title: str, *options: str | Path) -> None:
    """Denoise the pairs into ``denoised{suffix}``, score into ``scores{suffix}.csv``, print the table."""
    noisy, denoised, scores = folder / "noisy", folder / f"denoised{suffix}", folder / f"scores{suffix}.csv"
    diffgmm("denoise", noisy, "-o", denoised, "--picture", *options)
    diffgmm("evaluate", "--clean", folder / "clean", "--noisy", noisy, "--enhanced", denoised, "-o", scores)
    snr_of = {row["name"]: float(row["snr"]) for row in read_table(folder / "pairs.csv")}
    print(f"\n{title}, means over pairs of unseen speakers and noises:")
    print(table(read_table(scores), snr_of), flush=True)


def demo(folder: Path, pairs: int, minutes: float) -> None:
    """Run all steps.

    Args:
        folder: where everything goes; replaced if an earlier demo wrote it.
        pairs: how many pairs are mixed.
        minutes: of training; 0 leaves the training out.
    """
    fresh(folder)
    print(f"Mix {pairs} pairs of unseen voices and noises into {folder}", flush=True)
    write_pairs(folder, "test", pairs, snrs=SNRS)
    (folder / MARK).touch()
    denoise_and_score(folder, "", "Shipped model")
    if minutes > 0:
        seconds = round(60 * minutes)
        limit = f"00:{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        bar = str(sys.stderr.isatty()).lower()  # a log needs none
        diffgmm(
            "fit", "--config", os.path.relpath(CONFIG), "--trainer.max_time", limit,
            "--trainer.enable_progress_bar", bar, "--trainer.logger", "lightning.pytorch.loggers.CSVLogger",
            "--trainer.logger.save_dir", folder, "--trainer.logger.name", "run",
        )  # fmt: skip
        checkpoint = folder / "run" / "version_0" / "checkpoints" / "last.ckpt"
        denoise_and_score(folder, "-run", f"After {minutes:g} minutes of training", "--model", checkpoint)


def main() -> int:
    """Parse the options and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.demo", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where everything goes (demo)")
    parser.add_argument("--pairs", type=int, default=24, metavar="N", help="pairs to mix (24)")
    parser.add_argument("--minutes", type=float, default=2.0, metavar="M", help="of training; 0: none (2)")
    options = parser.parse_args()
    start = time.monotonic()
    try:
        demo(options.folder, options.pairs, options.minutes)
    except DataError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"demo: error: the command above failed (exit code {error.returncode})", file=sys.stderr)
        return 1
    print(f"\nDone in {(time.monotonic() - start) / 60:.1f} minutes. Written to {options.folder}:")
    for name, what in CONTENTS.items():
        if (options.folder / name).exists():
            print(f"  {options.folder / name!s:<28} {what}")
    return 0


CONTENTS = {
    "noisy": "listen to these first",
    "denoised": "the same files denoised by the shipped model, and their spectrograms (PNG)",
    "clean": "what was there before the noise",
    "scores.csv": "scores of every file",
    "pairs.csv": "speaker, noise and ratio of every file",
    "denoised-run": "denoised by the model that was trained just now",
    "scores-run.csv": "its scores",
    "run": "the training run: configuration, checkpoints, metrics, images, audio",
}

if __name__ == "__main__":
    sys.exit(main())
