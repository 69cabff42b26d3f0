"""The run that writes pairs to disk: in parallel, going on where it was stopped, complete or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path

import filelock
from tqdm import tqdm

from data_modules.corpora.fetch.space import require_space, telling_full_disk
from data_modules.errors import DataError
from data_modules.offline.arrays import COLUMNS, PRESETS, Block, make_arrays, settings_text, write_block
from data_modules.pools.collection import Collection
from data_modules.pools.pool import Pool
from diffgmm import audio
from diffgmm.utils.cores import usable_cores
from diffgmm.utils.files import replacing
from diffgmm.utils.processes import process_pool

__all__ = ["create_pairs"]

_BLOCK = 64  # pairs
_SPLITS = ("train", "valid", "test")
_KEY = 5  # keeps the random numbers apart from those of training windows and fixed pairs


def create_pairs(
    folder: str | Path,
    pairs: int,
    *,
    corpus: str | Sequence[str] = "mini",
    preset: str = "belz",
    seconds: float | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    workers: int | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> dict[str, int]:
    """Writes pairs of each split of a corpus to a folder (see `data_modules.offline.arrays` for what is in it).

    The folder appears when it is complete. A run that was stopped goes on when the same is asked for again, and the
    result is the same to the byte. If the folder is there already and was made in the same way, nothing is done.

    Args:
        folder: where to.
        pairs: how many for training; validation and test get a tenth each.
        corpus: ``mini``, the name of a prepared corpus, a corpus folder or a manifest, or several of these.
        preset: ``belz`` or ``plain``.
        seconds: length of each pair; None: the preset's own.
        seed: another seed, other pairs.
        cache: folder for pools; None: the default one.
        workers: processes; None: one for each core.
        strict: fail if a file can't be used.
        overwrite: replace a folder that is there.

    Returns:
        How many pairs each split has.

    Raises:
        DataError: the corpus has no split with both speech and noise, values are out of range, the folder is there
            with something else in it, another process writes it, or the disk is full.
    """
    if preset not in PRESETS:
        raise DataError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    if pairs < 1 or seed < 0 or (workers is not None and workers < 1):
        raise DataError("pairs and workers must be at least 1, the seed at least 0")
    kind = PRESETS[preset].lasting(seconds)
    target = Path(folder).expanduser()
    pools = _open_pools(corpus, kind.sample_rate, cache, strict)
    counts = {split: pairs if split == "train" else -(-pairs // 10) for split in pools}
    about = {
        f"{split}/{name}": pool.checksum() for split, both in pools.items() for name, pool in both.items()
    }
    settings = settings_text(preset, kind, counts, seed, about)
    if target.exists() and not overwrite:
        if _text(target / "pairs.json") == settings:
            return counts
        raise DataError(
            f"{target}: holds something else already; choose another folder with --pairs-out, or --overwrite"
        )
    part = target.parent / f".{target.name}.part"
    try:
        with telling_full_disk(part.parent if part.parent.exists() else Path.cwd()):
            target.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(target.parent / f".{target.name}.lock", timeout=0):
                if _text(part / "pairs.json") != settings:
                    shutil.rmtree(part, ignore_errors=True)  # left by a run that wanted something else
                    require_space(target, {"pairs": kind.bytes_for(sum(counts.values()))})
                    part.mkdir()
                    with replacing(part / "pairs.json") as file:
                        file.write_text(settings, encoding="utf-8")
                blocks = []
                for number, (split, count) in enumerate(counts.items()):
                    make_arrays(part / split, kind, count)
                    (part / ".done").mkdir(exist_ok=True)
                    both = pools[split]
                    for first in range(0, count, _BLOCK):
                        done = part / ".done" / f"{split}-{first:08d}.csv"
                        key, stop = (seed, _KEY, number), min(count, first + _BLOCK)
                        blocks.append(
                            Block(
                                part / split,
                                both["speech"],
                                both["noise"],
                                kind,
                                key,
                                split,
                                first,
                                stop,
                                done,
                            )
                        )
                _write_all(blocks, sum(counts.values()), workers or usable_cores())
                _finish(part, target, blocks)
    except filelock.Timeout:
        raise DataError(f"{target}: another process is writing these pairs; let it finish") from None
    except (OSError, audio.AudioError) as error:
        raise DataError(f"{target}: can't write the pairs ({error})") from error
    return counts


def _open_pools(
    corpus: str | Sequence[str], sample_rate: int, cache: str | Path | None, strict: bool
) -> dict[str, dict[str, Pool]]:
    """Pools of the splits that have both speech and noise."""
    collection = Collection(corpus=corpus)
    there = {(item.split, item.kind) for item in collection.items()}
    splits = [split for split in _SPLITS if {(split, "speech"), (split, "noise")} <= there]
    if not splits:
        raise DataError(f"{corpus}: no split with both speech and noise to mix")
    return {
        split: {
            kind: collection.open(split, kind, sample_rate, cache, strict=strict)
            for kind in ("speech", "noise")
        }
        for split in splits
    }


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _write_all(blocks: Sequence[Block], pairs: int, workers: int) -> None:
    """Writes the blocks that are not there yet, with a bar that says how long it will take."""
    missing = [block for block in blocks if not block.done.exists()]
    left = sum(block.stop - block.first for block in missing)
    with tqdm(total=pairs, initial=pairs - left, unit="pair", desc="write pairs", disable=None) as bar:
        for count in _counts(missing, min(workers, len(missing))):
            bar.update(count)


def _counts(blocks: Sequence[Block], workers: int) -> Iterator[int]:
    if workers < 2:
        yield from map(write_block, blocks)
        return
    with process_pool(workers, str(blocks[0].folder.parent)) as pool:
        for done in as_completed([pool.submit(write_block, block) for block in blocks]):
            yield done.result()


def _finish(part: Path, target: Path, blocks: Sequence[Block]) -> None:
    """Joins the blocks' lines into one table for each split, and gives the folder its name."""
    for split in dict.fromkeys(block.split for block in blocks):
        with replacing(part / split / "pairs.csv") as file:
            lines = [block.done.read_bytes() for block in blocks if block.split == split]
            file.write_bytes(",".join(COLUMNS).encode() + b"\n" + b"".join(lines))
    shutil.rmtree(part / ".done")
    if target.exists():
        shutil.rmtree(target)
    os.replace(part, target)


def describe(folder: str | Path) -> str:
    """One line on a finished folder: how many pairs, how long, and the shape of their spectrograms."""
    about = json.loads((Path(folder) / "pairs.json").read_text(encoding="utf-8"))
    counts = ", ".join(f"{count} {split}" for split, count in about["pairs"].items())
    seconds, bins = about["samples"] / about["sample_rate"], about["n_fft"] // 2 + 1
    return f"pairs: {counts}; {seconds:.3f} s at {about['sample_rate']} Hz, spectrograms {bins} x {about['frames']}"
