"""The last step of a corpus: which of the converted clips stay, the manifest, and what is said about the others."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_modules.corpora.build.convert import Prepared, Results
from data_modules.corpora.fetch.download import Fetched
from data_modules.corpora.recipe import Entry, Recipe, Refused
from data_modules.corpora.records import Record
from data_modules.errors import DataError
from data_modules.pools.matching import TOLERANCE_SECONDS
from data_modules.pools.sources import KINDS, PAIR_KINDS, SPLITS
from diffgmm.utils.files import replacing
from diffgmm.utils.version import __version__

Left = list[tuple[Entry, Refused]]
"""Clips that were left out, and why."""
Kept = dict[str, tuple[Entry, Prepared]]
"""Clips that stay, by path."""


_COLUMNS = ["path", "split", "kind", "group", "language", "source", "licence", "seconds", "sha256", "member"]


@dataclass(frozen=True, order=True)
class Clip(Record):
    """A row of the manifest. `path` is relative to the corpus, with "/"; `group` is the speaker or the noise category.

    `source` is package and version, `member` the file's name inside it; `sha256` is that of the FLAC file.
    """

    sha256: str = ""
    member: str = ""


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write the rows as CSV, sorted by path; the file appears whole or not at all."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for clip in sorted(clips, key=lambda clip: clip.path):
            writer.writerow({**asdict(clip), "seconds": f"{clip.seconds:.4f}"})


def check_entries(recipe: Recipe, entries: Iterable[Entry]) -> list[Entry]:
    """The entries as a list, if there are any and each has a place of its own.

    Raises:
        DataError: there are none, a split or kind that is none, or two clips in one place.
    """
    by_path: dict[str, Entry] = {}
    for entry in entries:
        if entry.split not in SPLITS or entry.kind not in (PAIR_KINDS if recipe.paired else KINDS):
            raise DataError(f"{recipe.name}: {entry.file}: {entry.path} is no place in this corpus")
        if entry.path in by_path:
            both = f"{entry.member} and {by_path[entry.path].member}"
            raise DataError(f"{recipe.name}: {both} would both become {entry.path}; keep one")
        by_path[entry.path] = entry
    if not by_path:
        fault = "no audio where this corpus keeps it; its sources are incomplete or not its own"
        raise DataError(f"{recipe.name}: {fault}")
    return list(by_path.values())


def choose(recipe: Recipe, results: Results, folder: Path, strict: bool) -> tuple[list[Clip], Left]:
    """Clips for the manifest, and what was left out; every other file in `folder` is removed.

    Raises:
        DataError: with `strict`, a pair lacks its other half.
    """
    kept = {entry.path: (entry, result) for entry, result in results if isinstance(result, Prepared)}
    left = [(entry, result) for entry, result in results if isinstance(result, Refused)]
    if recipe.paired:
        _drop_halves(kept, left, strict)
    if recipe.unique:
        _drop_doubles(kept, left)
    _keep_only(folder, kept)
    clips = []
    for path, (entry, result) in kept.items():
        facts = (entry.split, entry.kind, entry.group, path, result.frames / result.sample_rate)
        about = (entry.language, entry.licence or recipe.licence, entry.source or recipe.name)
        clips.append(Clip(*facts, *about, result.sha256, entry.member))
    return clips, left


def _drop_halves(kept: Kept, left: Left, strict: bool) -> None:
    """Leave out pairs that are not: one half is missing, or the two differ in length (see `match_folders`)."""
    refused: Left = []
    for path, (entry, result) in kept.items():
        other = "noisy" if entry.kind == "clean" else "clean"
        partner = kept.get(path.replace(f"{entry.split}/{entry.kind}/", f"{entry.split}/{other}/", 1))
        if partner is None:
            why = Refused("unpaired", f"its {other} half is missing or unusable")
        elif partner[1].sample_rate != result.sample_rate or (
            abs(partner[1].frames - result.frames) > TOLERANCE_SECONDS * result.sample_rate
        ):
            lengths = f"{partner[1].frames} samples, it has {result.frames}"
            why = Refused("unequal", f"its {other} half has {lengths}")
        else:
            continue
        if strict:
            raise DataError(f"{entry.source} {entry.member}: {why.detail}; without --strict it is left out")
        refused.append((entry, why))
    for entry, _ in refused:
        del kept[entry.path]
    left += refused


def _drop_doubles(kept: Kept, left: Left) -> None:
    """Of clips with equal samples keep the first."""
    seen: dict[str, str] = {}
    for path, (entry, result) in list(kept.items()):
        if (first := seen.setdefault(result.content, path)) != path:
            left.append((entry, Refused("double", f"the same as {first}")))
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


def describe(
    folder: Path,
    recipe: Recipe,
    name: str,
    variant: str,
    sources: Sequence[Fetched],
    clips: Sequence[Clip],
    left: Left,
    notes: Sequence[str],
) -> None:
    """Write ``manifest.csv``, and ``corpus.json``: where everything is from, and what was left out for what reason."""
    write_manifest(folder / "manifest.csv", clips)
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry, why in left:
        member = entry.member or entry.file.name
        text = f"{member}: {why.detail}" if why.detail else member
        reasons[entry.source or recipe.name, why.reason].append(text)
    origins = {}
    for item in sources:
        place = item.source.url or f"{item.source.by} {item.source.package}"
        stated = {"stated_by": item.source.checksum_from} if item.source.checksum_from else {}
        facts = {"from": place, "checksum": item.checksum, "origin": item.origin, **stated}
        origins[item.source.name] = facts
    refused = []
    for (origin, reason), members in sorted(reasons.items()):
        row = {"source": origin, "reason": reason, "by_rule": reason in (*recipe.rejects, "double")}
        refused.append({**row, "count": len(members), "members": sorted(members)})
    about: dict[str, Any] = {"corpus": name, "recipe": recipe.name, "variant": variant}
    about["diffgmm"] = __version__
    about |= {key: getattr(recipe, key) for key in ("homepage", "licence", "citation", "sample_rate")}
    about |= {"clips": len(clips), "notes": list(notes), "sources": origins, "refused": refused}
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (folder / "corpus.json").write_text(text, encoding="utf-8")
