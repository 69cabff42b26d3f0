"""Pairs of clean and noisy speech written to disk: in parallel, resumable, complete or not there at all.

A finished folder holds, for each split of the corpus, ``clean/NAME.wav`` and ``noisy/NAME.wav`` (16 bit, what
`data_modules.paired.PairedFolders` reads) and ``pairs.csv`` with speaker, noise, ratio and level of each;
``pairs.json`` says how it was made.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import filelock

from data_modules.corpora.fetch.space import require_space, telling_full_disk
from data_modules.errors import DataError
from data_modules.mixing.mixer import BABBLE, COLOURED, TONES, Mixer
from data_modules.mixing.options import Mixing, belz_blend
from data_modules.pools.collection import Collection
from data_modules.pools.pool import Pool
from data_modules.pools.sources import SPLITS
from diffgmm import audio
from diffgmm.audio.levels import active_level
from diffgmm.utils.files import replacing
from diffgmm.utils.processes import in_processes
from diffgmm.utils.random import window_rng

_LEAST_SECONDS = 0.03
_KEY = 5  # keeps the random numbers apart from those of training windows and fixed pairs
_GENERATED = {BABBLE: "babble", COLOURED: "coloured", TONES: "tones"}


@dataclass(frozen=True)
class Preset:
    """Properties of the pairs.

    Args:
        sample_rate: in Hz.
        samples: length of a pair.
        mixing: levels, ratios and kinds of noise.
    """

    sample_rate: int
    samples: int
    mixing: Mixing


PRESETS = {"belz": Preset(8000, 8064, belz_blend()), "plain": Preset(16000, 16384, Mixing())}
"""``belz``: voice + 0.2 to 0.8 times noise at 8 kHz; ``plain``: the framework's own mixing at 16 kHz."""


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
    """Write pairs of each split of a corpus to a folder.

    The folder appears when it is complete. An interrupted run resumes when the same is asked for again, and the
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
    chosen = PRESETS[preset]
    if seconds is not None:
        if not _LEAST_SECONDS <= seconds < math.inf:
            raise DataError(f"pairs of {seconds} s are too short; needs {_LEAST_SECONDS} s or more")
        chosen = replace(chosen, samples=round(seconds * chosen.sample_rate))
    target = Path(folder).expanduser()
    pools = _open_pools(corpus, chosen.sample_rate, cache, strict)
    counts = {split: pairs if split == "train" else -(-pairs // 10) for split in pools}
    checksums = {
        f"{split}/{name}": pool.checksum() for split, both in pools.items() for name, pool in both.items()
    }
    facts = {"preset": preset, **asdict(chosen), "pairs": counts, "seed": seed, "corpus": checksums}
    settings = json.dumps(facts, indent=2) + "\n"
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
                    need = (
                        2 * (2 * chosen.samples + 4096) * sum(counts.values())
                    )  # sounds come in whole disk blocks
                    require_space(target, {"pairs": need})
                    part.mkdir()
                    with replacing(part / "pairs.json") as file:
                        file.write_text(settings, encoding="utf-8")
                for number, (split, count) in enumerate(counts.items()):
                    _write_split(part / split, pools[split], chosen, (seed, _KEY, number), count, workers)
                if target.exists():
                    shutil.rmtree(target)
                for left in part.rglob(".*.part"):  # by runs that were killed while they wrote
                    left.unlink()
                part.replace(target)
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
    splits = [split for split in SPLITS if {(split, "speech"), (split, "noise")} <= there]
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
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _write_split(
    folder: Path,
    pools: dict[str, Pool],
    preset: Preset,
    key: tuple[int, ...],
    count: int,
    workers: int | None,
) -> None:
    for kind in ("clean", "noisy"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    mixer = Mixer(pools["speech"], pools["noise"], preset.mixing)
    write = partial(_write_pair, folder, mixer, preset, key, pools["noise"].names())
    rows = list(in_processes(write, range(count), workers=workers, title=f"write {folder.name}"))
    with replacing(folder / "pairs.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [("name", "speaker", "noise", "snr_db", "level_dbfs"), *rows]
        )


def _write_pair(
    folder: Path, mixer: Mixer, preset: Preset, key: tuple[int, ...], noise_files: Sequence[str], number: int
) -> tuple[str, ...]:
    """Mix a pair and write what is not there of it; its row of ``pairs.csv``."""
    mixture = mixer.draw(window_rng(*key, number), preset.samples)
    name = f"{folder.name}-{number:06d}"
    for kind, samples in (("clean", mixture.clean), ("noisy", mixture.noisy)):
        path = folder / kind / f"{name}.wav"
        if not path.exists():  # a file appears under its name when it is complete
            audio.write(path, samples[None], preset.sample_rate, subtype="PCM_16")
    level = active_level(mixture.clean, preset.sample_rate)
    groups, group_of = mixer.noise.groups, mixer.noise.group
    noises = [
        f"{groups[int(group_of[clip])]}/{Path(noise_files[clip]).name}" if clip >= 0 else _GENERATED[clip]
        for clip in mixture.noises
    ]
    return (
        name,
        mixer.speech.groups[mixture.group] if mixture.group >= 0 else "",
        "+".join(noises),
        "" if math.isnan(mixture.snr) else f"{mixture.snr:.2f}",
        f"{level:.2f}" if math.isfinite(level) else "",
    )


def describe(folder: str | Path) -> str:
    """One line on a finished folder: how many pairs and how long."""
    facts = json.loads((Path(folder) / "pairs.json").read_text(encoding="utf-8"))
    counts = ", ".join(f"{count} {split}" for split, count in facts["pairs"].items())
    return f"pairs: {counts}; {facts['samples'] / facts['sample_rate']:.3f} s at {facts['sample_rate']} Hz"
