"""What a recogniser still understands: ``python -m experiments.bench.recognition --markdown docs/recognition.md``.

Word error rates of Moonshine Tiny (``diffgmm[wer]``) on the English pairs of benchmark sets: noisy, after models at
several strengths, and after systems whose output ``diffgmm benchmark -o OUT`` left there (``--results OUT``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_modules import benchmarks
from diffgmm import audio
from diffgmm.cli.benchmark import open_pairs
from diffgmm.evaluation.results import PairInfo, read_results
from diffgmm.inference import Denoiser
from diffgmm.metrics.wer import available, transcript
from diffgmm.utils.errors import UsageError
from diffgmm.utils.text_table import markdown
from experiments.release import marks

_WATSON = tuple(f"watson_stt_demo_{name}" for name in ("en", "new_single2", "sample1", "sample2"))
ENGLISH = ("librispeech", *_WATSON)
BANDS = {"-5 and 0 dB": (-5, 0), "5 and 10 dB": (5, 10), "15 and 20 dB": (15, 20)}
Counts = np.ndarray  # [pairs, 2]: errors and words


def english(name: str, subset: str | None) -> list[PairInfo]:
    """The pairs at 16 kHz of a benchmark set's English speakers, or of a folder with ``clean`` and ``noisy``."""
    ours = name in benchmarks.NAMES
    pairs = open_pairs(name).only([subset] if subset and ours else []).info.pairs
    speakers = ENGLISH if ours else ("",)
    return [pair for pair in pairs if pair.sample_rate == 16000 and pair.speaker.startswith(speakers)]


def counted(spoken: list[str], waveforms: Iterable[np.ndarray], name: str) -> Counts:
    """Errors and words of each ``[samples]`` against what is spoken, ``[pairs, 2]``."""
    import jiwer

    counts = []
    for reference, waveform in zip(tqdm(spoken, name, disable=None), waveforms, strict=True):
        words = jiwer.process_words(reference, transcript(waveform, 16000))
        counts.append((words.substitutions + words.deletions + words.insertions, len(reference.split())))
    return np.array(counts, dtype=float)


def _read(path: str | Path | None) -> np.ndarray:
    return audio.read(Path(str(path)))[0][0]


def interval(difference: np.ndarray, words: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval over pairs of a difference of word error rates, in points."""
    draws = np.random.default_rng(seed).integers(0, len(words), (2000, len(words)))
    low, high = np.percentile(100 * difference[draws].sum(1) / words[draws].sum(1), [2.5, 97.5])
    return float(low), float(high)


def _rate(counts: Counts) -> float:
    """Word error rate in percent over all words."""
    errors, words = counts.sum(0)
    return 100 * errors / words if words else np.nan


def table(results: dict[str, Counts], snr: np.ndarray) -> list[str]:
    """One line a system: the word error rate in percent over all words, its change, and by SNR."""
    noisy = results["noisy"]
    rows = [["system", "WER in %", "change in points (95 %)", *BANDS]]
    for name, counts in results.items():
        low, high = interval(counts[:, 0] - noisy[:, 0], noisy[:, 1])
        change = f"{_rate(counts) - _rate(noisy):+.1f} ({low:+.1f} to {high:+.1f})"
        rates = [f"{_rate(counts[np.isin(snr, levels)]):.1f}" for levels in BANDS.values()]
        rows.append([name, f"{_rate(counts):.1f}", "" if name == "noisy" else change, *rates])
    return markdown(rows, left=range(len(rows[0])))


def measure(args: argparse.Namespace) -> str:
    """The table as Markdown, and what it is of.

    Raises:
        UsageError: the recogniser is not installed.
    """
    if not available():
        raise UsageError("the recogniser is not installed: pip install diffgmm[wer]")
    pairs = [pair for name in args.set for pair in english(name, args.subset)]
    clean, noisy = ([_read(getattr(pair, side)) for pair in pairs] for side in ("clean", "noisy"))
    spoken = [transcript(waveform, 16000) for waveform in clean]
    kept = [i for i, words in enumerate(spoken) if words]
    pairs, spoken, noisy = [pairs[i] for i in kept], [spoken[i] for i in kept], [noisy[i] for i in kept]
    results = {"noisy": counted(spoken, noisy, "noisy")}
    for model in args.models:
        denoise = Denoiser.from_pretrained(model).denoise
        for strength in args.strengths:
            denoised = [denoise(x, 16000, strength=strength) for x in noisy]
            name = f"{model}, strength {strength:g}"
            results[name] = counted(spoken, denoised, name)
    for system in read_results(args.results).systems if args.results else ():
        files = {file.id: args.results / str(file.audio) for file in system.files if file.audio}
        if system.kind == "baseline" and all(pair.id in files for pair in pairs):
            results[system.name] = counted(spoken, (_read(files[pair.id]) for pair in pairs), system.name)
    lines = table(results, np.array([np.nan if pair.snr is None else pair.snr for pair in pairs]))
    words, sets = int(results["noisy"][:, 1].sum()), ", ".join(Path(name).name for name in args.set)
    return "\n".join([*lines, "", f"{len(pairs)} pairs, {words} words, of {sets} (English)."])


def main(argv: list[str] | None = None) -> int:
    """Measure, print, fill in."""
    parser = argparse.ArgumentParser(prog="python -m experiments.bench.recognition", description=__doc__)
    add = parser.add_argument
    sets = "benchmark sets, or folders with clean and noisy English (cross-test)"
    add("--set", nargs="+", default=["cross-test"], metavar="SET", help=sets)
    add("--subset", default="main", help="of benchmark sets (main)")
    add("--models", nargs="+", default=["base", "small"])
    add("--strengths", nargs="+", type=float, default=[1.0, 0.9, 0.8, 0.6, 0.4])
    add("--results", type=Path, help="folder of diffgmm benchmark with the output of other systems")
    return marks.measured(parser, argv, measure)


if __name__ == "__main__":
    sys.exit(main())
