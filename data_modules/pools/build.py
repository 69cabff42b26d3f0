"""Building a pool: every file decoded, resampled and mixed to mono once, safe against crashes and races."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import numpy as np
from tqdm import tqdm

from data_modules.errors import DataError, some
from data_modules.pools.pool import AUDIO, INDEX, INFO, NAMES, VERSION, Pool
from data_modules.pools.sources import Item
from diffgmm.audio import AudioError, read, resample
from diffgmm.audio.levels import active_level, to_mono, without_offset
from diffgmm.utils.cores import usable_cores

log = logging.getLogger(__name__)

MIN_SECONDS = 0.05
SILENT_PEAK = 10.0 ** (-66.0 / 20.0)
_FULL_SCALE = 32766.0
_CHUNK = 64  # files decoded ahead of the writer


def open_pool(
    items: Sequence[Item],
    sample_rate: int,
    cache: str | Path | None = None,
    *,
    title: str = "audio",
    strict: bool = False,
    quiet: bool = False,
    keep_silent: bool = False,
) -> Pool:
    """Opens the pool of these files, building it first if it is not in the cache.

    Several processes may ask for the same pool at once: one builds, the others wait and open it.

    Args:
        items: files of one split and kind.
        sample_rate: of the pool, in Hz.
        cache: folder for pools; None: ``pools`` in `data_modules.home()`.
        title: what the files are, for the progress bar and messages (``train speech``).
        strict: raise if any file can't be used, instead of leaving it out with a warning.
        keep_silent: silent files are kept instead of left out.
        quiet: no warning about files left out (other ranks have said it already).

    Raises:
        DataError: no files, none usable, some unusable with `strict`, or the cache can't be written.
    """
    if not items:
        raise DataError(f"no files for {title}")
    if cache is None:
        from data_modules import home

        cache = home() / "pools"
    ordered = sorted(items, key=lambda item: (item.group, item.path))
    pool = Pool(_built(ordered, sample_rate, Path(cache).expanduser(), title, keep_silent))
    if pool.skipped:
        message = f"{title}: {len(pool.skipped)} of {len(items)} files left out: {_reasons(pool.skipped)}"
        if strict:
            raise DataError(message)
        if not quiet:
            log.warning(message)
    return pool


def _reasons(skipped: Sequence[Sequence[str]]) -> str:
    return some([f"{path} ({reason})" for path, reason in skipped])


def pool_key(items: Sequence[Item], sample_rate: int, keep_silent: bool = False) -> str:
    """Name of a pool: a hash of its file list with sizes and times, groups, rate and what is left out."""
    digest = hashlib.sha256(f"pool {VERSION} {sample_rate} {keep_silent}\n".encode())
    for item in items:
        try:
            status = Path(item.path).stat()
            what = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            what = "missing"
        line = f"{os.path.abspath(item.path)}\0{item.group}\0{what}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]


def _built(items: Sequence[Item], sample_rate: int, cache: Path, title: str, keep_silent: bool) -> Path:
    """Folder of the pool, written first under a temporary name unless it is there; others wait at a lock."""
    key = pool_key(items, sample_rate, keep_silent)
    folder = cache / key
    if (folder / INFO).is_file():  # a pool appears under its name only when complete
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(cache / f".{key}.lock"):
            if (folder / INFO).is_file():
                return folder
            part = cache / f".{key}.part"
            shutil.rmtree(part, ignore_errors=True)  # left by a process that was killed: the lock is ours
            shutil.rmtree(folder, ignore_errors=True)
            part.mkdir()
            try:
                _write(part, items, sample_rate, title, keep_silent)
                part.replace(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{cache}: the pool of {title} can't be written ({reason})") from error
    return folder


def read_item(item: Item, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """A clip as float32 [samples], mono, and its rate: `sample_rate`, or the file's own if None.

    A header that is wrong about the sound is told in a warning.

    Raises:
        AudioError: the file can't be read.
    """
    x, info = read(item.path)
    if info.note:
        log.warning("%s: %s", item.path, info.note)
    rate = sample_rate or info.sample_rate
    return resample(to_mono(x), info.sample_rate, rate), rate


def _decode(item: Item, sample_rate: int, keep_silent: bool) -> np.ndarray | str:
    """Mono samples at the pool's rate, or the reason why there are none."""
    try:
        samples = read_item(item, sample_rate)[0]
    except AudioError as error:
        return str(error).removeprefix(f"{item.path}: ")
    if len(samples) < MIN_SECONDS * sample_rate:
        return f"shorter than {MIN_SECONDS} s"
    samples = without_offset(samples)
    if not keep_silent and float(np.max(np.abs(samples))) < SILENT_PEAK:
        return "silent"
    return samples


def _decoded(
    items: Sequence[Item], sample_rate: int, title: str, keep_silent: bool
) -> Iterator[tuple[Item, np.ndarray | str]]:
    """Files in order, decoded by a few threads (the decoders release the interpreter lock), a chunk ahead."""
    workers = max(1, min(4, usable_cores()))
    with (
        ThreadPoolExecutor(workers) as threads,
        tqdm(total=len(items), desc=f"Reading {title}", unit="file", mininterval=0.5) as bar,
    ):
        for first in range(0, len(items), _CHUNK):
            chunk = items[first : first + _CHUNK]
            results = threads.map(lambda item: _decode(item, sample_rate, keep_silent), chunk)
            for item, result in zip(chunk, results, strict=True):
                yield item, result
                bar.update()


def _write(part: Path, items: Sequence[Item], sample_rate: int, title: str, keep_silent: bool) -> None:
    kept: list[tuple[Item, int, float, float]] = []  # with samples, gain and level
    skipped: list[list[str]] = []
    with (part / AUDIO).open("wb") as audio:
        for item, samples in _decoded(items, sample_rate, title, keep_silent):
            if isinstance(samples, str):
                skipped.append([item.path, samples])
                continue
            peak = max(float(np.max(np.abs(samples))), SILENT_PEAK)
            audio.write(np.rint(samples * (_FULL_SCALE / peak)).astype("<i2").tobytes())
            gain, level = peak * 32768.0 / _FULL_SCALE, active_level(samples, sample_rate)
            kept.append((item, len(samples), gain, level))
    if not kept:
        raise DataError(f"{title}: none of the {len(items)} files can be used: {_reasons(skipped)}")
    items, lengths, gains, levels = zip(*kept, strict=True)
    groups, group = np.unique([item.group for item in items], return_inverse=True)
    length = np.array(lengths, dtype=np.int64)
    np.savez(
        part / INDEX,
        offset=np.cumsum(length) - length,
        length=length,
        group=group.astype(np.int64),
        gain=np.array(gains, dtype=np.float32),
        level=np.array(levels, dtype=np.float32),
    )
    names = "\n".join(item.path.replace("\n", " ") for item in items)
    (part / NAMES).write_text(names, encoding="utf-8", errors="surrogateescape")
    info = {"version": VERSION, "sample_rate": sample_rate, "groups": groups.tolist(), "skipped": skipped}
    (part / INFO).write_text(json.dumps(info, indent=1), encoding="utf-8")
