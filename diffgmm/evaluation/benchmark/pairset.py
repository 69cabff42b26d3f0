"""The pairs that systems are run on: a rendered set with its ``set.json``, or anybody's ``clean`` and ``noisy``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffgmm import audio
from diffgmm.evaluation.benchmark import BenchmarkError
from diffgmm.evaluation.pairing import pair_folders
from diffgmm.evaluation.results import PairInfo, SetInfo
from diffgmm.utils.files import sha256_of


@dataclass(frozen=True)
class PairSet:
    """A set with absolute paths and the SHA-256 of every clean and noisy file by id."""

    info: SetInfo
    clean_sha256: dict[str, str]
    noisy_sha256: dict[str, str]

    def only(self, subsets: Iterable[str]) -> PairSet:
        """The pairs of some subsets, in the order of the set; all without any.

        Raises:
            ResultsError: no such subset.
        """
        wanted = {id for name in subsets for id in self.info.ids(name)}
        if not wanted:
            return self
        pairs = tuple(pair for pair in self.info.pairs if pair.id in wanted)
        kept = {name: tuple(id for id in ids if id in wanted) for name, ids in self.info.subsets.items()}
        subsets = {name: ids for name, ids in kept.items() if ids}
        return replace(self, info=replace(self.info, pairs=pairs, subsets=subsets))


def load_set(path: Path) -> PairSet:
    """Read ``set.json``, or a folder with it, or a folder with the subfolders ``clean`` and ``noisy``.

    Raises:
        BenchmarkError: none of these, or a file is missing.
        AudioError: a folder without audio, a damaged file.
    """
    description = path / "set.json" if path.is_dir() else path
    if description.is_file():
        return _described(description)
    if not (path / "clean").is_dir() or not (path / "noisy").is_dir():
        raise BenchmarkError(f"{path}: no benchmark set: needs set.json, or the folders clean and noisy")
    matches = pair_folders(path / "clean", path / "noisy")
    if matches.unmatched:
        more = f" (and {len(matches.unmatched) - 1} more)" if len(matches.unmatched) > 1 else ""
        raise BenchmarkError(f"{matches.unmatched[0]}{more}; every clean file needs its noisy one")
    pairs = []
    for pair in matches.pairs:
        clean, noisy = audio.probe(pair.clean), audio.probe(pair.enhanced)
        layout = [(side.sample_rate, side.channels, side.frames) for side in (clean, noisy)]
        if layout[0] != layout[1] or clean.channels != 1:
            raise BenchmarkError(f"{pair.enhanced}: must be mono and of rate and length of {pair.clean}")
        paths: Any = {"clean": str(pair.clean.resolve()), "noisy": str(pair.enhanced.resolve())}
        pairs.append(PairInfo(pair.name, clean.sample_rate, clean.frames / clean.sample_rate, **paths))
    return _with_checksums(SetInfo(path.resolve().name, f"pairs of {path.name}", "", tuple(pairs)))


def _described(path: Path) -> PairSet:
    folder = path.resolve().parent
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        pairs = []
        for pair in data["pairs"]:
            paths = {kind: str(folder / pair[kind]) for kind in ("clean", "noisy")}
            pairs.append(PairInfo(**{**pair, **paths, "noise": tuple(pair["noise"])}))
        subsets = {name: tuple(ids) for name, ids in data["subsets"].items()}
        info = SetInfo(data["name"], data["description"], data["checksum"], tuple(pairs), subsets)
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path}: not the description of a benchmark set ({error})") from error
    return _with_checksums(info)


def _with_checksums(info: SetInfo) -> PairSet:
    sums: dict[str, dict[str, str]] = {"clean": {}, "noisy": {}}
    total = hashlib.sha256()
    for pair in info.pairs:
        for kind, path in (("clean", pair.clean), ("noisy", pair.noisy)):
            try:
                sums[kind][pair.id] = sha256_of(Path(str(path)))
            except OSError as error:
                raise BenchmarkError(f"{path}: {error.strerror}; make the set again") from error
        total.update(f"{pair.id} {sums['clean'][pair.id]} {sums['noisy'][pair.id]}\n".encode())
    if not info.checksum:
        info = replace(info, checksum=total.hexdigest())
    return PairSet(info, sums["clean"], sums["noisy"])
