"""Prepare a corpus from its recipe: fetch, check, unpack, convert, write the manifest.

Every corpus goes through the same steps. All that is unfinished lies in ``<root>/.<name>.unfinished`` and in
``<root>/downloads``; a run that was killed is continued by the next one, and the corpus appears whole, under its
name, at the end. The same sources give the same bytes, however often the work was interrupted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import soundfile
import soxr
from filelock import FileLock, Timeout
from tqdm import tqdm

from data_modules.corpora.build.convert import Prepared
from data_modules.corpora.build.finish import Left, check_entries, choose, describe, tell_shared_speakers
from data_modules.corpora.build.journal import Workplace
from data_modules.corpora.build.workers import convert_all
from data_modules.corpora.fetch.archives import unpack
from data_modules.corpora.fetch.download import Fetched, fetch, missing_bytes
from data_modules.corpora.fetch.packs import find_packs, open_pack, pack_checksum
from data_modules.corpora.fetch.space import require_space, telling_full_disk, used
from data_modules.corpora.fetch.transfer import Stopped
from data_modules.corpora.manifest import write_manifest
from data_modules.corpora.recipe import Entry, Recipe, Refused, Source
from data_modules.errors import DataError
from diffgmm.utils.cores import usable_cores
from diffgmm.utils.version import __version__

_FLAC_RATIO = 0.6
"""Size of FLAC against 16-bit samples; measured on speech and noise."""


def prepare(
    recipe: Recipe,
    root: Path,
    variant: str | None = None,
    *,
    name: str | None = None,
    downloads: Path | None = None,
    mirror: str | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    strict: bool = False,
) -> Path:
    """Prepare the corpus and return its folder, ``<root>/<name>``.

    Scripts that call this keep it behind ``if __name__ == "__main__":``, because the work is shared out to fresh
    processes.

    Args:
        recipe: what to prepare.
        root: folder of corpora; downloads are kept in its subfolder ``downloads``.
        variant: one of the recipe's; None takes its first.
        name: of the corpus, if another than the recipe's.
        downloads: folder with files that are there already, or the user's own recordings for a recipe of such.
        mirror: address of a folder that has all sources, to be used instead of where they are published.
        overwrite: replace a corpus that is there.
        workers: processes (default: one per core).
        strict: stop at the first clip that can't be used instead of leaving it out.

    Raises:
        DataError: one line: what is wrong, where, and what to do.
    """
    variant = recipe.variants[0] if variant is None else variant
    if variant not in recipe.variants:
        known = " or ".join(filter(None, recipe.variants)) or "none: leave --variant out"
        raise DataError(f"{variant}: no such variant of {recipe.name}; it has {known}")
    name = recipe.name if name is None else name
    if not name or name.startswith(".") or "/" in name or name == "downloads":
        raise DataError(f"{name!r}: no name for a corpus; take letters, digits and hyphens")
    if recipe.local and downloads is None:
        raise DataError(f"{recipe.name}: is made of your own files; name their folder with --downloads")
    corpus = root / name
    _refuse_existing(corpus, overwrite)
    packs = find_packs(recipe.packs, downloads)
    if packs:
        recipe = replace(recipe, condition=None, make=None)
    elif recipe.ready is not None:
        recipe.ready(variant)
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root, name), telling_full_disk(root):
        _refuse_existing(corpus, overwrite)
        work = Workplace(root / f".{name}.unfinished")
        replaced = root / f".{name}.replaced"
        shutil.rmtree(replaced, ignore_errors=True)
        entries, sources, notes = _gather(recipe, variant, root, work, downloads, mirror, packs)
        clips, left = _convert(recipe, entries, work, workers or usable_cores(), strict)
        if not clips:
            raise DataError(
                f"{recipe.name}: no usable clip in {downloads or root / 'downloads'} ({_why(left)}); "
                "nothing was written"
            )
        notes += tell_shared_speakers(clips, strict)
        write_manifest(work.corpus / "manifest.csv", clips)
        describe(work.corpus / "corpus.json", recipe, name, variant, sources, clips, left, notes)
        os.sync()  # a machine that goes down now must not leave a corpus of empty files
        if corpus.exists():
            corpus.replace(replaced)
        work.corpus.replace(corpus)
        for gone in (replaced, work.folder):
            shutil.rmtree(gone, ignore_errors=True)
    return corpus


def _refuse_existing(corpus: Path, overwrite: bool) -> None:
    if corpus.exists() and not overwrite:
        raise DataError(f"{corpus}: exists already; --overwrite prepares it anew")


def _why(left: Sequence[Left]) -> str:
    return f"{len(left)} left out, the first for: {left[0].refused.reason}" if left else "it has none"


@contextmanager
def _alone(root: Path, name: str) -> Iterator[None]:
    lock = FileLock(root / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DataError(
            f"{root / name}: another run is preparing it just now; wait until that one is done"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _gather(
    recipe: Recipe,
    variant: str,
    root: Path,
    work: Workplace,
    downloads: Path | None,
    mirror: str | None,
    packs: dict[str, Path],
) -> tuple[list[Entry], list[Fetched], list[str]]:
    """Everything up to the list of clips: downloads, checks, unpacking."""
    state: dict[str, Any] = {
        "recipe": [recipe.name, variant, recipe.revision, recipe.sample_rate],
        "made_by": [__version__, soundfile.__libsndfile_version__, soxr.__version__],
    }
    sources = [] if recipe.local or packs else list(recipe.sources(variant))
    _check_space(recipe, variant, root, work, sources, downloads)
    if recipe.local:
        assert downloads is not None  # checked by prepare
        if not downloads.is_dir():
            raise DataError(f"{downloads}: no such folder; --downloads names the one with your files")
        work.open(state)
        return check_entries(recipe, recipe.entries(downloads, variant)), [], []
    if packs:
        taken = [
            Fetched(Source(path.name, by="pack", package=name), path, pack_checksum(path), "recorded")
            for name, path in packs.items()
        ]
        work.open(state | {"packs": {item.source.name: item.checksum for item in taken}})
        for name, path in packs.items():
            open_pack(path, work.unpacked / name)
        return check_entries(recipe, recipe.entries(work.unpacked, variant)), taken, []
    fetched, notes = fetch(sources, root / "downloads", given=downloads, mirror=mirror)
    work.open(state | {"sources": {item.source.name: item.checksum for item in fetched}})
    _unpack(recipe, variant, fetched, work.unpacked)
    if recipe.make is not None:
        recipe.make(work.unpacked, variant)
    return check_entries(recipe, recipe.entries(work.unpacked, variant)), fetched, notes


def _check_space(
    recipe: Recipe,
    variant: str,
    root: Path,
    work: Workplace,
    sources: Sequence[Source],
    downloads: Path | None,
) -> None:
    """Ask for the room that downloads, unpacked sources and corpus will take, less what they take already."""
    samples = recipe.hours.get(variant, 0.0) * 3600 * (recipe.sample_rate or 48000)
    needs = {"corpus": max(0.0, samples * 2 * _FLAC_RATIO - used(work.corpus))}
    if not recipe.local:
        needs["unpacked"] = max(0.0, recipe.unpacked_bytes.get(variant, samples * 2) - used(work.unpacked))
        needs["downloads"] = missing_bytes(sources, root / "downloads", downloads)
    require_space(root, needs)


def _unpack(recipe: Recipe, variant: str, fetched: Sequence[Fetched], folder: Path) -> None:
    """Unpack side by side what an earlier run has not; decompression lets go of the interpreter's lock."""
    to_do = [item for item in fetched if not (folder / item.source.name).exists()]
    stop = Event()

    def tick() -> None:
        if stop.is_set():
            raise Stopped

    def unpack_source(item: Fetched) -> None:
        tick()
        name, stated, how = item.source.name, recipe.unpacked_bytes.get(variant), recipe.unpack
        unpack(
            item.path,
            folder / name,
            wanted=None if recipe.wanted is None else partial(recipe.wanted, name),
            most_bytes=None if stated is None else 1.2 * stated,
            tick=tick,
            by=None if how is None else lambda archive, target: how(archive, item.source, target, tick),
        )

    with (
        ThreadPoolExecutor(max(1, min(4, usable_cores()))) as pool,
        tqdm(total=len(to_do), unit="archive", desc="unpack", disable=None if to_do else True) as bar,
    ):
        jobs = [pool.submit(unpack_source, item) for item in to_do]
        for job in jobs:
            job.add_done_callback(lambda _: bar.update())
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        errors = [error for job in jobs if not job.cancelled() and (error := job.exception()) is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
            raise error


def _convert(
    recipe: Recipe, entries: list[Entry], work: Workplace, workers: int, strict: bool
) -> tuple[list[Any], list[Left]]:
    def check(entry: Entry, result: Prepared | Refused) -> None:
        if strict and isinstance(result, Refused) and result.reason not in recipe.rejects:
            detail = f" ({result.detail})" if result.detail else ""
            where = " ".join(filter(None, (entry.source, entry.member or str(entry.file))))
            raise DataError(
                f"{where}: {result.reason}{detail}; without --strict it is left out and the work goes on"
            )

    with work.journal() as journal:
        results = list(
            convert_all(
                entries,
                work.corpus,
                journal,
                sample_rate=recipe.sample_rate,
                condition=recipe.condition,
                workers=workers,
                check=check,
            )
        )
    return choose(recipe, results, work.corpus, strict)
