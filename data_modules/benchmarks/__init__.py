"""Benchmark sets: fixed pairs of clean and noisy speech, the same for everybody down to the byte.

``cross-test`` is what a model is judged by: voices and noises of sources that no training of ours touches.
``cross-valid`` and ``real-valid`` (recorded pairs) are what one tunes on. ``dsn-test`` and ``dsn-valid`` come from the
held-out speakers and packages of the corpus that trains, so they say how a model does on its own kind of recording.
The sets with a list are rendered from it and a prepared corpus, kept under the home folder, and checked each time they
are opened.
"""

from __future__ import annotations

from pathlib import Path

from data_modules.benchmarks import recorded, render
from data_modules.errors import DataError

#: Sets that are rendered from a list.
LISTS = ("cross-test", "cross-valid", "dsn-test", "dsn-valid")
#: Splits of VoiceBank+DEMAND that are sets, where its corpus is prepared.
VOICEBANK = {"voicebank-demand": "test", "voicebank-demand-valid": "valid"}
NAMES = ("cross-test", "cross-valid", "real-valid", "dsn-test", "dsn-valid", *VOICEBANK)


def list_path(name: str) -> Path:
    """File of a list."""
    return Path(__file__).with_name(name.replace("-", "_") + ".json")


def load_list(name: str) -> render.PairList:
    """The list of a set in :data:`LISTS`."""
    return render.read_list(list_path(name))


def open_set(name: str, corpus: str | Path | None = None, folder: str | Path | None = None) -> Path:
    """The set's ``set.json``, made first where it is not there; audio lies beside it or where it says.

    Args:
        name: one of :data:`NAMES`.
        corpus: folder of the prepared corpus, or with the files of ``real-valid``; None: the one in the home folder.
        folder: where sets are kept; None: ``benchmarks`` in the home folder.

    Raises:
        DataError: unknown name; the corpus is missing, incomplete or another one.
    """
    from data_modules import home

    if name not in NAMES:
        raise DataError(f"unknown benchmark set {name!r}; choose from {', '.join(NAMES)}")
    kept = home() / "benchmarks" if folder is None else Path(folder)
    pairs = load_list(name) if name in LISTS else None
    needed = pairs.corpus if pairs else "voicebank-demand" if name in VOICEBANK else name
    source = home() / "corpora" / needed if corpus is None else Path(corpus)
    if pairs is not None:
        target = kept / f"{name}-{pairs.checksum[:12]}"
        if render.is_intact(target, pairs):
            return target / render.SET_FILE
    path = kept / name / render.SET_FILE
    if name == recorded.REAL:
        recorded.write_real(source, path)
        return path
    if not (source / "manifest.csv").is_file():
        raise DataError(
            f"{name} is made from the corpus {needed}, which is not in {source}; run `diffgmm prepare {needed}`"
        )
    if pairs is not None:
        return render.write_set(target, pairs, source) / render.SET_FILE
    recorded.write_corpus(source, path, VOICEBANK[name])
    return path
