"""Matching of clean and noisy files: by name, never by position."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_modules.errors import DataError, some
from data_modules.pools.sources import PAIR_KINDS, Item, audio_files
from diffgmm.audio import AudioError, probe

log = logging.getLogger(__name__)

TOLERANCE_SECONDS = 0.01


class PairedFile(NamedTuple):
    """A clean and a noisy recording of the same name.

    Args:
        name: path below its folder, without the ending (``p232/p232_001``).
        clean, noisy: the files.
    """

    name: str
    clean: str
    noisy: str


Pairs = list[PairedFile]
Named = list[tuple[str, Path]]


def _by_name(place: str, files: Named) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for name, path in files:
        if (other := by_name.setdefault(name, path)) != path:
            raise DataError(f"{place}: two files are named {name} ({other.name}, {path.name}); keep one")
    return by_name


def match_folders(clean: str | Path, noisy: str | Path, strict: bool = False, quiet: bool = False) -> Pairs:
    """Pairs the files of two folders by their path below the folder, endings aside.

    Files without a partner, and pairs whose sample rates differ or whose lengths differ by more than 10 ms,
    are left out and named in one warning line.

    Args:
        clean, noisy: the folders, any layout below them.
        strict: raise instead of leaving anything out.
        quiet: no warning (it has been given already).

    Returns:
        The pairs in order of their names.

    Raises:
        DataError: no folder, no pair, two files of one name, or anything amiss with `strict`.
    """
    folders = [Path(folder).expanduser() for folder in (clean, noisy)]
    return _match([_names(folder) for folder in folders], [str(folder) for folder in folders], strict, quiet)


def _names(folder: Path) -> Named:
    return [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in audio_files(folder)]


def match_items(items: Sequence[Item], where: str, strict: bool = False, quiet: bool = False) -> Pairs:
    """Pairs the clean and noisy files of one split of a corpus, as `match_folders` does with two folders.

    A file's name is its path below the ``clean`` or ``noisy`` folder; where there is none, group and file name.

    Args:
        items: files of the kinds ``clean`` and ``noisy``.
        where: what they are, for messages.
        strict, quiet: as in `match_folders`.
    """
    named: dict[str, Named] = {kind: [] for kind in PAIR_KINDS}
    for item in items:
        path = Path(item.path)
        parts = path.with_suffix("").parts
        below = parts[len(parts) - parts[::-1].index(item.kind) :] if item.kind in parts[:-1] else ()
        named[item.kind].append(("/".join(below) or f"{item.group}/{path.stem}", path))
    return _match(list(named.values()), [f"{kind} of {where}" for kind in PAIR_KINDS], strict, quiet)


def _match(named: list[Named], places: list[str], strict: bool, quiet: bool) -> Pairs:
    """Pairs the named files of two places, clean ones first."""
    left, right = map(_by_name, places, named)
    clean, noisy = places
    problems: list[str] = []
    for side, opposite, place in ((left, right, noisy), (right, left, clean)):
        if alone := sorted(side.keys() - opposite.keys()):
            problems.append(f"{len(alone)} without a partner in {place}: {some(alone)}")
    pairs, unlike = Pairs(), list[str]()
    for name in sorted(left.keys() & right.keys()):
        if difference := _difference(left[name], right[name]):
            unlike.append(f"{name} ({difference})")
        else:
            pairs.append(PairedFile(name, str(left[name]), str(right[name])))
    if unlike:
        problems.append(f"{len(unlike)} left out: {some(unlike)}")
    if not pairs:
        raise DataError(f"{clean} and {noisy}: no file pairs ({'; '.join(problems)})")
    if problems:
        message = f"{clean} and {noisy}: {'; '.join(problems)}"
        if strict:
            raise DataError(message)
        if not quiet:
            log.warning(message)
    return pairs


def _difference(clean: Path, noisy: Path) -> str:
    """Why two files can't be a pair, or nothing."""
    try:
        first, second = probe(clean), probe(noisy)
    except AudioError as error:
        return str(error)
    if first.sample_rate != second.sample_rate:
        return f"{first.sample_rate} and {second.sample_rate} Hz"
    if abs(first.frames - second.frames) > TOLERANCE_SECONDS * first.sample_rate:
        return f"{first.frames} and {second.frames} samples"
    return ""
