"""Preparation of a corpus from its recipe: fetch, check, unpack, convert, write the manifest.

Every corpus goes through the same steps. All that is unfinished lies in ``<root>/.<name>.unfinished`` and in
``<root>/downloads``; a run that was killed is continued by the next one, and the corpus appears whole, under its
name, at the end. The same sources give the same bytes, however often the work was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import soundfile
import soxr
from filelock import FileLock, Timeout
from tqdm import tqdm

from data_modules.corpora.build.convert import Results, convert
from data_modules.corpora.build.finish import check_entries, choose, describe
from data_modules.corpora.fetch.archives import Packs, find_packs, open_pack, pack_checksum, unpack
from data_modules.corpora.fetch.download import Fetched, fetch, missing_bytes
from data_modules.corpora.fetch.space import require_space, telling_full_disk, used
from data_modules.corpora.fetch.transfer import in_threads
from data_modules.corpora.recipe import Entry, Recipe, Refused, Source
from data_modules.errors import DataError
from data_modules.pools.sources import check_speakers
from diffgmm.utils.cores import usable_cores
from diffgmm.utils.processes import in_processes
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
    if recipe.local and (downloads is None or not downloads.is_dir()):
        fault = f"{downloads}: no such folder" if downloads else f"{recipe.name}: is made of your own files"
        raise DataError(f"{fault}; name the folder of your files with --downloads")
    corpus = root / name
    _refuse_existing(corpus, overwrite)
    if packs := find_packs(recipe.packs, downloads):
        recipe = replace(recipe, condition=None, make=None)
    elif recipe.ready is not None:
        recipe.ready(variant)
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / f".{name}.lock", timeout=0), telling_full_disk(root):
            _refuse_existing(corpus, overwrite)
            work, replaced = root / f".{name}.unfinished", root / f".{name}.replaced"
            shutil.rmtree(replaced, ignore_errors=True)
            entries, sources, notes = _gather(recipe, variant, work, downloads, mirror, packs)
            results = _convert(recipe, entries, work / "corpus", workers or usable_cores(), strict)
            clips, left = choose(recipe, results, work / "corpus", strict)
            if not clips:
                raise DataError(
                    f"{recipe.name}: no usable clip in {downloads or root / 'downloads'} "
                    f"({len(left)} left out, the first for: {left[0][1].reason}); nothing was written"
                )
            notes = list(filter(None, [*recipe.notes, *notes, check_speakers(clips, strict)]))
            describe(work / "corpus", recipe, name, variant, sources, clips, left, notes)
            os.sync()  # a machine that goes down now must not leave a corpus of empty files
            if corpus.exists():
                corpus.replace(replaced)
            (work / "corpus").replace(corpus)
            for gone in (replaced, work):
                shutil.rmtree(gone, ignore_errors=True)
    except Timeout as error:
        busy = "another run is preparing it just now; wait until that one is done"
        raise DataError(f"{corpus}: {busy}") from error
    return corpus


def _refuse_existing(corpus: Path, overwrite: bool) -> None:
    if corpus.exists() and not overwrite:
        raise DataError(f"{corpus}: exists already; --overwrite prepares it anew")


def _gather(
    recipe: Recipe, variant: str, work: Path, downloads: Path | None, mirror: str | None, packs: Packs
) -> tuple[list[Entry], list[Fetched], list[str]]:
    """Everything up to the list of clips: downloads, checks, unpacking."""
    state: dict[str, Any] = {
        "recipe": [recipe.name, variant, recipe.revision, recipe.sample_rate],
        "made_by": [__version__, soundfile.__libsndfile_version__, soxr.__version__],
    }
    sources = [] if recipe.local or packs else list(recipe.sources(variant))
    _check_space(recipe, variant, work, sources, downloads, packs)
    if recipe.local:
        assert downloads is not None  # checked by prepare
        entries = check_entries(recipe, recipe.entries(downloads, variant))
        facts = ((str(entry.file), entry.file.stat()) for entry in entries)
        dates = json.dumps([(name, status.st_size, status.st_mtime_ns) for name, status in facts])
        _open(work, state | {"files": hashlib.sha256(dates.encode()).hexdigest()})
        return entries, [], []
    unpacked = work / "unpacked"
    notes: list[str] = []
    if packs:
        given = [(Source(path.name, by="pack", package=name), path) for name, path in packs.items()]
        fetched = [Fetched(source, path, pack_checksum(path), "recorded") for source, path in given]
    else:
        fetched, notes = fetch(sources, work.parent / "downloads", given=downloads, mirror=mirror)
    _open(work, state | {"sources": {item.source.name: item.checksum for item in fetched}})
    for name, path in packs.items():
        open_pack(path, unpacked / name)
    _unpack(recipe, variant, fetched, unpacked)
    if recipe.make is not None:
        recipe.make(unpacked, variant)
    return check_entries(recipe, recipe.entries(unpacked, variant)), fetched, notes


def _open(work: Path, state: dict[str, Any]) -> None:
    """Keep what an earlier run left if it was made under the same `state`, else clear it away."""
    path = work / "state.json"
    text = json.dumps(state, indent=1, sort_keys=True) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    for name in ("corpus", "unpacked"):
        (work / name).mkdir(exist_ok=True)


def _check_space(
    recipe: Recipe, variant: str, work: Path, sources: list[Source], downloads: Path | None, packs: Packs
) -> None:
    """Ask for the room that downloads, unpacked sources and corpus will take, less what they take already."""
    samples = recipe.hours.get(variant, 0.0) * 3600 * (recipe.sample_rate or 48000)
    corpus, unpacked = samples * 2 * _FLAC_RATIO, recipe.unpacked_bytes.get(variant, samples * 2)
    if packs:  # finished clips; a folder of them is linked to, not unpacked
        corpus = sum(used(path) for path in packs.values())
        unpacked = sum(used(path) for path in packs.values() if path.is_file())
    needs = {"corpus": max(0.0, corpus - used(work / "corpus"))}
    if not recipe.local:
        needs["unpacked"] = max(0.0, unpacked - used(work / "unpacked"))
        needs["downloads"] = missing_bytes(sources, work.parent / "downloads", downloads)
    require_space(work.parent, needs)


def _unpack(recipe: Recipe, variant: str, fetched: Sequence[Fetched], folder: Path) -> None:
    """Unpack side by side what an earlier run has not; decompression lets go of the interpreter's lock."""
    to_do = [item for item in fetched if not (folder / item.source.name).exists()]
    stated, how = recipe.unpacked_bytes.get(variant), recipe.unpack
    wanted = recipe.wanted or (lambda *_: True)

    def unpack_source(item: Fetched, tick: Callable[[], None]) -> None:
        name, most = item.source.name, None if stated is None else 1.2 * stated
        by = None if how is None else lambda archive, target: how(archive, item.source, target, tick)
        unpack(item.path, folder / name, wanted=partial(wanted, name), most_bytes=most, tick=tick, by=by)
        bar.update()

    with tqdm(total=len(to_do), unit="archive", desc="unpack", disable=None if to_do else True) as bar:
        in_threads(unpack_source, to_do, max(1, min(4, usable_cores())), Event())


def _convert(recipe: Recipe, entries: list[Entry], folder: Path, workers: int, strict: bool) -> Results:
    function = partial(convert, folder=folder, sample_rate=recipe.sample_rate, condition=recipe.condition)
    results = []
    converted = in_processes(function, entries, workers=workers, title="convert")
    for entry, result in zip(entries, converted, strict=True):
        if strict and isinstance(result, Refused) and result.reason not in recipe.rejects:
            detail = f" ({result.detail})" if result.detail else ""
            place = " ".join(filter(None, (entry.source, entry.member or str(entry.file))))
            raise DataError(f"{place}: {result.reason}{detail}; without --strict it is left out")
        results.append((entry, result))
    return results
