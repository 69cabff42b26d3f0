"""Benchmark sets: fixed pairs of clean and noisy speech, the same for everybody down to the byte.

``dsn-test`` is what a model is judged by, ``dsn-valid`` what one tunes on. Both are rendered from a list that comes
with the package and the prepared corpus ``debian-speech-noise``, kept under the home folder, and checked each time
they are opened.
"""

from __future__ import annotations

from pathlib import Path

from data_modules.benchmarks.pairlist import PairList, read_list
from data_modules.errors import DataError

#: Sets that are rendered from a list, with what they are.
LISTS = {
    "dsn-test": "Four-second pairs from the test split of the full debian-speech-noise: speakers and noise packages "
    "that training never hears; 16 kHz unless the subset says otherwise.",
    "dsn-valid": "Four-second pairs from the validation split of the full debian-speech-noise, for tuning.",
}
NAMES = (*LISTS, "voicebank-demand")


def list_path(name: str) -> Path:
    """File of a list."""
    return Path(__file__).with_name(name.replace("-", "_") + ".json")


def load_list(name: str) -> PairList:
    """The list of a set in :data:`LISTS`."""
    return read_list(list_path(name))


def open_set(name: str, corpus: str | Path | None = None, folder: str | Path | None = None) -> Path:
    """The set's ``set.json``, made first where it is not there; audio lies beside it or where it says.

    Args:
        name: one of :data:`NAMES`.
        corpus: folder of the prepared corpus; None: the one in the home folder.
        folder: where sets are kept; None: ``benchmarks`` in the home folder.

    Raises:
        DataError: unknown name; the corpus is missing, incomplete or another one.
    """
    from data_modules import home
    from data_modules.benchmarks import render, voicebank

    if name not in NAMES:
        raise DataError(f"unknown benchmark set {name!r}; choose from {', '.join(NAMES)}")
    kept = home() / "benchmarks" if folder is None else Path(folder)
    pairs = load_list(name) if name in LISTS else None
    needed = pairs.corpus if pairs else name
    source = home() / "corpora" / needed if corpus is None else Path(corpus)
    if pairs is not None:
        target = kept / f"{name}-{pairs.checksum[:12]}"
        if render.is_intact(target, pairs):
            return target / render.SET_FILE
    if not (source / "manifest.csv").is_file():
        raise DataError(
            f"{name} is made from the corpus {needed}, which is not in {source}; run `diffgmm prepare {needed}`"
        )
    if pairs is not None:
        return render.write_set(target, pairs, source) / render.SET_FILE
    path = kept / name / render.SET_FILE
    voicebank.write_set_file(source, path)
    return path
