"""Rebuild the mini corpus from the prepared debian-speech-noise corpus (full variant), byte for byte.

    python -m data_modules.mini.build --corpus DIR [--target DIR]

`choice.csv` lists the clips and, for long noise, the piece taken. Same corpus and same libFLAC: same bytes.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile

from data_modules.corpora.manifest import SPLITS, Clip, minutes_table, read_manifest, write_manifest
from data_modules.errors import DataError
from data_modules.mini import mini_corpus
from data_modules.mini.credits import credits_text
from diffgmm.audio import AudioError
from diffgmm.utils.files import sha256_of

__all__ = ["Choice", "build", "read_choice"]


@dataclass(frozen=True)
class Choice:
    """A clip of the corpus, the split it goes to here, and the piece taken in seconds (None: all of it)."""

    path: str
    split: str
    start: float | None
    seconds: float | None


def read_choice(path: Path) -> list[Choice]:
    """Rows of `choice.csv`."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [
        Choice(
            row["path"],
            row["split"],
            float(row["start"]) if row["start"] else None,
            float(row["seconds"]) if row["seconds"] else None,
        )
        for row in rows
    ]


def _cut(corpus: Path, clip: Clip, choice: Choice, target: Path) -> Clip:
    try:
        samples, rate = soundfile.read(corpus / clip.path, dtype="int16")
    except soundfile.SoundFileError as error:
        raise AudioError(f"{corpus / clip.path}: cannot be read; prepare the corpus again") from error
    start = round((choice.start or 0.0) * rate)
    stop = len(samples) if choice.seconds is None else start + round(choice.seconds * rate)
    if stop > len(samples):
        raise DataError(
            f"{corpus / clip.path}: shorter than choice.csv expects; prepare the full variant again"
        )
    place = Path(choice.split, *Path(clip.path).parts[1:])
    path = target / place
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples[start:stop], rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    digest = sha256_of(path)
    length = (stop - start) / rate
    return replace(clip, path=place.as_posix(), split=choice.split, seconds=length, sha256=digest)


def build(corpus: Path, target: Path) -> list[Clip]:
    """Build the mini corpus from `corpus` in the folder `target`, replacing the clips that are there.

    Raises:
        DataError: `corpus` is not prepared, or lacks a clip that `choice.csv` names.
    """
    known = {clip.path: clip for clip in read_manifest(corpus)}
    choices = read_choice(mini_corpus() / "choice.csv")
    for choice in choices:
        if choice.path not in known:
            raise DataError(f"{corpus}: lacks {choice.path}; prepare the full variant of debian-speech-noise")
    target.mkdir(parents=True, exist_ok=True)
    fresh = target / f".unfinished-{os.getpid()}"
    try:
        clips = [_cut(corpus, known[choice.path], choice, fresh) for choice in choices]
        write_manifest(fresh / "manifest.csv", clips)
        (fresh / "CREDITS.md").write_text(credits_text(clips), encoding="utf-8")
        for name in SPLITS:
            shutil.rmtree(target / name, ignore_errors=True)
        for name in (*SPLITS, "CREDITS.md", "manifest.csv"):
            os.replace(fresh / name, target / name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return clips


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="data_modules.mini.build", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--corpus", type=Path, required=True, help="prepared debian-speech-noise folder")
    parser.add_argument(
        "--target", type=Path, default=mini_corpus(), help="where to build (default: in place)"
    )
    given = parser.parse_args(arguments)
    try:
        clips = build(given.corpus, given.target)
    except (DataError, AudioError, OSError) as error:
        print(f"mini: {error}", file=sys.stderr)
        return 1
    print(minutes_table(clips))
    return 0


if __name__ == "__main__":
    sys.exit(main())
