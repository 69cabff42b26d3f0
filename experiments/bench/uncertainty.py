"""Calibration of a model's uncertainty: ``python -m experiments.bench.uncertainty --data debian-speech-noise``.

Prints two tables and, with ``--markdown docs/uncertainty.md``, puts them between that file's marks: the temperature by
three criteria, fitted on validation pairs and judged on test pairs, and how well what ``diffgmm denoise --uncertainty``
tells ranks the true errors of the output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from scipy.stats import spearmanr

from diffgmm.audio import figures
from diffgmm.cli.calibrate import corpus_batches, corpus_posteriors
from diffgmm.diffusion.model import ModelError
from diffgmm.diffusion.pretrained import model_path
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.saving import load_model
from diffgmm.evaluation.calibration import CRITERIA, fit, score
from diffgmm.inference import Denoiser
from diffgmm.utils.files import write_text
from diffgmm.utils.text_table import markdown
from experiments.release import marks

PIECE = 0.2  # seconds
SPEECH = 1e-4  # a piece has speech if its energy is above this share of its file's loudest piece: 40 dB below

_TABLES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def temperatures(name: str, corpus: str, pairs: int) -> list[str]:
    """A table: by each criterion, the temperature that validation pairs ask for and what it does on test pairs."""
    model, _ = load_model(model_path(name))
    posteriors = {split: corpus_posteriors(model, corpus, split, pairs) for split in ("valid", "test")}
    head = "fitted on validation,temperature,validation: in 90 %,test: in 50 %,in 90 %,in 99 %,test CRPS"
    rows = [head.split(",")]
    fitted = [(_TABLES["criteria"][name], fit(posteriors["valid"], name)) for name in CRITERIA]
    for says, value in [("nothing", 1.0), *fitted]:
        valid, test = (score(posteriors[split], value) for split in ("valid", "test"))
        shares = [valid.coverage["90"], *(test.coverage[level] for level in ("50", "90", "99"))]
        rows.append([says, f"{value:.3f}", *(f"{100 * share:.1f}" for share in shares), f"{test.crps:.5f}"])
    return markdown(rows)


def _pairs(corpus: str, split: str, rate: int, pairs: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Clean and noisy ``[T]``."""
    for batch in corpus_batches(corpus, split, rate, pairs):
        yield from zip(batch["clean"][:, 0].numpy(), batch["noisy"][:, 0].numpy(), strict=True)


def _energies(x: np.ndarray, size: int) -> np.ndarray:
    """Energy of each whole piece of ``[T]``."""
    return np.square(x[: len(x) // size * size], dtype=np.float64).reshape(-1, size).sum(1)


def _without(energy: np.ndarray, rank: np.ndarray) -> float:
    """Percentage of the energy that is left without the quarter of the pieces that ranks highest."""
    return 100 * float(energy[np.argsort(rank)[: len(rank) * 3 // 4]].sum() / energy.sum())


def ranking(
    denoiser: Denoiser, corpus: str, split: str, pairs: int
) -> tuple[dict[str, float], tuple[np.ndarray, np.ndarray]]:
    """How ``std`` and ``confidence`` of the output compare with its true errors; keys as in the table.

    Also the energies of the error that ``std`` tells and of the true one, of all pieces.
    """
    rate = denoiser.sample_rate
    size = round(PIECE * rate)
    representation = getattr(denoiser.model, "representation", None)
    if not isinstance(representation, Complex):
        raise ModelError("errors of single bins are those of models on complex spectrograms")
    window = np.sqrt(np.hanning(representation.n_fft + 1)[:-1])
    files, bins, pieces = [], [], []
    for clean, noisy in _pairs(corpus, split, rate, pairs):
        result = denoiser.denoise_with_uncertainty(noisy, rate)
        assert result.bins is not None
        error = result.waveform - clean
        files.append((np.sqrt(np.mean(result.std**2)), np.sqrt(np.mean(error**2))))
        half = representation.n_fft // 2
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(error, half), representation.n_fft)
        true = np.abs(np.fft.rfft(frames[:: representation.hop] * window)).T
        std_of_bins = result.bins.std[0]
        shared = min(true.shape[1], std_of_bins.shape[1])
        bins.append(spearmanr(std_of_bins[:, :shared].ravel(), true[:, :shared].ravel()).statistic)
        speech = _energies(clean, size)
        confidence = result.confidence[: len(speech) * size].reshape(-1, size).mean(1)
        columns = (_energies(result.std, size), _energies(error, size), _energies(result.waveform, size))
        pieces.append(np.stack([*columns, speech, confidence, speech > SPEECH * speech.max()]))
    std, error, output, speech, confidence, spoken = np.concatenate(pieces, axis=1)
    heard = (spoken > 0) & (error > 0) & (confidence < 1)
    seen = 10 * np.log10(speech[heard] / error[heard])
    stands_for = 10 * np.log10(confidence[heard] / (1 - confidence[heard]))
    found = {
        "files": spearmanr(*np.transpose(files)).statistic,
        "pieces": spearmanr(std, error).statistic,
        "bins": float(np.nanmedian(bins)),
        "confidence": spearmanr(confidence[heard], seen).statistic,
        "left": _without(error, std),
        "least": _without(error, error),
        "loud": _without(error, output),
        "ratio": float(np.sqrt(error.sum() / std.sum())),
        "decibels": float(np.median(seen - stands_for)),
    }
    return found, (std / size, error / size)


def tenths(told: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Pieces in ten equal parts by what is told of them, as ``[4, 10]`` in dBFS.

    Args:
        told, true: mean squares of the error that is told and of the true one, by piece.

    Returns:
        Root mean square told; root mean square of the truth, and its 10 % and 90 % quantiles.
    """
    parts = np.array_split(np.argsort(told), 10)
    rows = [[told[part].mean(), true[part].mean(), *np.quantile(true[part], (0.1, 0.9))] for part in parts]
    return 10 * np.log10(np.maximum(np.transpose(rows), 1e-12))


def draw(curves: dict[str, np.ndarray], path: Path) -> None:
    """An SVG: the true error against the one that is told, a curve of :func:`tenths` a split."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for color, (name, (told, true, low, high)) in zip(("#1f6feb", "#d9822b"), curves.items(), strict=False):
        axes.fill_between(told, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(told, true, marker="o", color=color, label=name)
    ends = [float(min(c[0].min() for c in curves.values())), float(max(c[0].max() for c in curves.values()))]
    axes.plot(ends, ends, color="#777777", linestyle="--", linewidth=1, label="as told")
    axes.set_xlabel("told: std of pieces of 0.2 s, dBFS")
    axes.set_ylabel("true error, dBFS (area: 10 % to 90 %)")
    axes.grid(True, color="#dddddd", linewidth=0.7)
    axes.legend()
    write_text(path, figures.svg(figure, "uncertainty").decode())


def measure(args: argparse.Namespace) -> str:
    """Both tables, as Markdown; the curve into ``--picture``."""
    denoiser, splits = Denoiser.from_pretrained(args.model), ("valid", "test")
    said = f"`{args.model}`, {args.pairs} pairs of `{Path(args.data).name}` per split."
    lines = [said, "", *temperatures(args.model, args.data, args.pairs), ""]
    results, pieces = zip(
        *(ranking(denoiser, args.data, split, max(args.pairs // 2, 1)) for split in splits), strict=True
    )
    rows = [["", *splits]]
    for key, (says, form) in _TABLES["ranks"].items():
        rows.append([says, *(form.format(found[key]) for found in results)])
    if args.picture:
        draw({split: tenths(*found) for split, found in zip(splits, pieces, strict=True)}, args.picture)
    return "\n".join([*lines, *markdown(rows)])


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write between the marks; 0 done, 1 model or corpus can't be used, 2 wrong usage."""
    parser = argparse.ArgumentParser(description="Measure how honest a model's uncertainty is.")
    add = parser.add_argument
    add("--model", default="base", help="shipped model or file (default: base)")
    add("--data", required=True, help="mini, a prepared corpus' name, its folder or manifest")
    add("--pairs", type=int, default=192, help="per split, of four seconds (default: 192)")
    add("--picture", type=Path, metavar="SVG", help="draw the true error against the one that is told")
    return marks.measured(parser, argv, measure)


if __name__ == "__main__":
    sys.exit(main())
