"""The last step of a corpus: which of the converted clips stay, and what is written down about the others."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.corpora.build.convert import Prepared
from data_modules.corpora.fetch.download import Fetched
from data_modules.corpora.manifest import Clip
from data_modules.corpora.recipe import Entry, Recipe, Refused
from data_modules.errors import DataError
from data_modules.pools.matching import TOLERANCE_SECONDS
from data_modules.pools.sources import SPLITS
from diffgmm.utils.version import __version__


@dataclass(frozen=True)
class Left:
    """A clip that was left out, and why."""

    entry: Entry
    refused: Refused


def _kinds(recipe: Recipe) -> tuple[str, str]:
    return ("clean", "noisy") if recipe.paired else ("speech", "noise")


def check_entries(recipe: Recipe, entries: Iterable[Entry]) -> list[Entry]:
    """The entries as a list, if each has a place of its own inside the corpus.

    Raises:
        DataError: a split, kind or path that is none, or two clips in one place.
    """
    by_path: dict[str, Entry] = {}
    for entry in entries:
        start = f"{entry.split}/{entry.kind}/"
        parts = entry.path.split("/")
        if entry.split not in SPLITS or entry.kind not in _kinds(recipe) or not entry.path.startswith(start):
            raise DataError(f"{recipe.name}: {entry.file}: {entry.path} is no place in this corpus")
        if ".." in parts or "" in parts or not re.fullmatch(r"[^\0\\]+\.flac", entry.path):
            raise DataError(f"{recipe.name}: {entry.file}: {entry.path!r} is no path for a clip")
        if entry.path in by_path:
            raise DataError(
                f"{recipe.name}: {entry.file} and {by_path[entry.path].file} would both become {entry.path}"
            )
        by_path[entry.path] = entry
    return list(by_path.values())


def choose(
    recipe: Recipe, results: Sequence[tuple[Entry, Prepared | Refused]], folder: Path, strict: bool
) -> tuple[list[Clip], list[Left]]:
    """Clips for the manifest, and what was left out; every other file in `folder` is removed.

    Raises:
        DataError: with `strict`, a pair lacks its other half, or a speaker is in two splits.
    """
    kept = {entry.path: (entry, result) for entry, result in results if isinstance(result, Prepared)}
    left = [Left(entry, result) for entry, result in results if isinstance(result, Refused)]
    if recipe.paired:
        _drop_halves(kept, left, strict)
    if recipe.unique:
        _drop_doubles(kept, left)
    clips = [
        Clip(
            entry.path,
            entry.split,
            entry.kind,
            entry.group,
            entry.language,
            entry.source or recipe.name,
            entry.licence or recipe.licence,
            result.seconds,
            result.sha256,
            entry.member,
        )
        for entry, result in kept.values()
    ]
    _keep_only(folder, kept)
    return clips, left


def _drop_halves(kept: dict[str, tuple[Entry, Prepared]], left: list[Left], strict: bool) -> None:
    """Leave out pairs that are not: one half is missing, or the two differ in length (see `match_folders`)."""
    for path, (entry, result) in list(kept.items()):
        other = "noisy" if entry.kind == "clean" else "clean"
        partner = kept.get(path.replace(f"{entry.split}/{entry.kind}/", f"{entry.split}/{other}/", 1))
        if partner is None:
            why = Refused("unpaired", f"its {other} half is missing or unusable")
        elif partner[1].sample_rate != result.sample_rate or (
            abs(partner[1].frames - result.frames) > TOLERANCE_SECONDS * result.sample_rate
        ):
            why = Refused(
                "unequal", f"its {other} half has {partner[1].frames} samples, it has {result.frames}"
            )
        else:
            continue
        if strict:
            raise DataError(f"{entry.source} {entry.member}: {why.detail}; without --strict it is left out")
        left.append(Left(entry, why))
    for item in left:
        kept.pop(item.entry.path, None)


def _drop_doubles(kept: dict[str, tuple[Entry, Prepared]], left: list[Left]) -> None:
    """Of clips with equal samples keep the first."""
    seen: dict[str, str] = {}
    for path, (entry, result) in list(kept.items()):
        first = seen.setdefault(result.content, path)
        if first != path:
            left.append(Left(entry, Refused("double", f"the same as {first}")))
            del kept[path]


def _keep_only(folder: Path, paths: Iterable[str]) -> None:
    """Remove what no row of the manifest names: doubles, leavings of a killed run, and folders left empty."""
    wanted = {folder / path for path in paths}
    for path in sorted(folder.rglob("*"), reverse=True):  # contents before their folder
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in wanted:
            path.unlink()


def tell_shared_speakers(clips: Iterable[Clip], strict: bool) -> list[str]:
    """A note if a speaker is in more than one split, which makes scores look better than they are.

    Raises:
        DataError: with `strict`.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        if clip.kind == "speech":
            splits[clip.group].add(clip.split)
    shared = sorted(group for group, where in splits.items() if len(where) > 1)
    if not shared:
        return []
    names = ", ".join(shared[:5]) + (" ..." if len(shared) > 5 else "")
    where = " and ".join(sorted(splits[shared[0]], key=SPLITS.index))
    note = f"{len(shared)} speaker(s) in more than one split: {names} ({shared[0]} in {where})"
    if strict:
        raise DataError(f"{note}; keep each speaker's files in one split")
    return [note]


def describe(
    path: Path,
    recipe: Recipe,
    name: str,
    variant: str,
    sources: Sequence[Fetched],
    clips: Sequence[Clip],
    left: Sequence[Left],
    notes: Sequence[str],
) -> None:
    """Write ``corpus.json``: where everything is from, under what licence, and what was left out for what reason."""
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in left:
        entry, why = item.entry, item.refused
        member = entry.member or entry.file.name
        reasons[(entry.source or recipe.name, why.reason)].append(
            f"{member}: {why.detail}" if why.detail else member
        )
    about: dict[str, Any] = {
        "corpus": name,
        "recipe": recipe.name,
        "variant": variant,
        "diffgmm": __version__,
        "homepage": recipe.homepage,
        "licence": recipe.licence,
        "citation": recipe.citation,
        "sample_rate": recipe.sample_rate,
        "clips": len(clips),
        "notes": [*recipe.notes, *notes],
        "sources": {
            item.source.name: {
                "from": item.source.url or f"{item.source.by} {item.source.package}",
                "checksum": item.checksum,
                "origin": item.origin,
                **({"stated_by": item.source.checksum_from} if item.source.checksum_from else {}),
            }
            for item in sources
        },
        "refused": [
            {
                "source": source,
                "reason": reason,
                "by_rule": reason in recipe.rejects or reason == "double",
                "count": len(members),
                "members": sorted(members),
            }
            for (source, reason), members in sorted(reasons.items())
        ],
    }
    path.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
