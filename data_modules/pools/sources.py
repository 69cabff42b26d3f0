"""Sources of audio files: corpora with a manifest or a folder layout, and plain folders of voices and noises.

Nothing is decoded here. The result is a list of `Item`: a file, its split, whether it is speech or noise, and
its group (the speaker, or the category of noise), in a fixed order.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from data_modules.errors import DataError
from diffgmm.audio import FORMATS, is_audio
from diffgmm.utils.files import walk

log = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
KINDS = ("speech", "noise")
PAIR_KINDS = ("clean", "noisy")  # of a corpus of pairs: the same file name in both


@dataclass(frozen=True, order=True)
class Item:
    """One audio file of a corpus.

    Args:
        split: ``train``, ``valid`` or ``test``.
        kind: ``speech`` or ``noise``; in a corpus of pairs ``clean`` or ``noisy``.
        group: the speaker of a voice, the category of a noise.
        path: where the file is.
    """

    split: str
    kind: str
    group: str
    path: str


def audio_files(folder: str | Path) -> list[Path]:
    """All audio files below a folder by their ending, sorted by relative path; hidden ones are left out."""
    root = Path(folder)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root}: {what}; give a folder that holds audio files")
    if not (files := [path for path in walk(root) if is_audio(path)]):
        raise DataError(f"{root}: no audio files below this folder (looked for {', '.join(FORMATS)})")
    return sorted(files, key=lambda path: path.relative_to(root).as_posix())


def folder_items(folders: str | Path | Sequence[str | Path], kind: str, split: str = "train") -> list[Item]:
    """The files of one or several folders as items of one kind and split.

    The group of a file is the first folder below the one given (``voices/anna/a.wav``: ``anna``); files that
    lie directly in the folder share the group named after that folder.
    """
    paths = [folders] if isinstance(folders, (str, Path)) else list(folders)
    items: list[Item] = []
    for folder in paths:
        root = Path(folder).expanduser()
        for path in audio_files(root):
            parts = path.relative_to(root).parts
            group = parts[0] if len(parts) > 1 else root.resolve().name
            items.append(Item(split, kind, group, str(path)))
    return items


def read_manifest(path: str | Path) -> dict[Item, dict[str, str]]:
    """The files that a manifest lists, each with its row: all columns by name, "" for what is missing.

    A manifest is a CSV file with at least the columns path, split, kind and group. Relative paths start at the
    manifest's own folder.

    Raises:
        DataError: no such file, a column is missing, or a line has an unknown split or kind.
    """
    manifest = Path(path).expanduser()
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, restval="")
            if missing := {"path", "split", "kind", "group"} - set(table.fieldnames or ()):
                names = ", ".join(sorted(missing))
                raise DataError(f"{manifest}: no column {names}; needs path, split, kind, group")
            rows = {_row_item(row, manifest, table.line_num): row for row in table}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest}: can't be read as a CSV manifest ({error})") from error
    if not rows:
        raise DataError(f"{manifest}: the manifest lists no files")
    return rows


def _row_item(row: dict[str, str], manifest: Path, line: int) -> Item:
    place = f"{manifest}, line {line}"
    for column, allowed in (("split", SPLITS), ("kind", KINDS + PAIR_KINDS)):
        if row[column] not in allowed:
            raise DataError(f"{place}: {column} is {row[column]!r}, must be one of {', '.join(allowed)}")
    if not row["path"]:
        raise DataError(f"{place}: the path is empty")
    if row.get("start") or row.get("channel"):
        raise DataError(f"{place}: stretches and channels of files are not read; cut the files")
    return Item(row["split"], row["kind"], row["group"] or "unknown", str(manifest.parent / row["path"]))


def corpus_items(corpus: str | Path, kinds: Sequence[str] = KINDS, strict: bool = False) -> list[Item]:
    """The files of one corpus; a warning if a speaker is in two splits.

    Args:
        corpus: a manifest file, or a folder with ``manifest.csv``, or a folder laid out as
            ``{train,valid,test}/{speech,noise}/<group>/...`` (of pairs: ``{clean,noisy}``).
        kinds: the kinds wanted: voices and noises, or the two sides of pairs (`PAIR_KINDS`).
        strict: an error instead of that warning.

    Raises:
        DataError: no corpus there, or one of the other sort.
    """
    root = Path(corpus).expanduser()
    manifest = root if root.is_file() else root / "manifest.csv"
    if manifest.is_file():
        items = list(read_manifest(manifest))
    elif root.is_dir():
        parts = [part for part in product(SPLITS, KINDS + PAIR_KINDS) if root.joinpath(*part).is_dir()]
        items = [item for split, kind in parts for item in folder_items(root / split / kind, kind, split)]
        if not items:
            raise DataError(
                f"{root}: not a corpus; needs manifest.csv or folders such as train/speech and train/noise "
                "(for plain folders of voices and noises use speech= and noise=)"
            )
    else:
        raise DataError(f"{root}: no such corpus folder or manifest")
    if not (wanted := [item for item in items if item.kind in kinds]):
        tip = (
            "it holds pairs of clean and noisy recordings: use data_modules.paired.PairedFolders with corpus="
            if items[0].kind in PAIR_KINDS
            else "it holds voices and noises, not pairs: use data_modules.noisy_speech.NoisySpeech"
        )
        raise DataError(f"{root}: {tip}")
    if message := check_speakers(wanted, strict, f"{root}: "):
        log.warning(message)
    return wanted


def check_speakers(items: Iterable[Item], strict: bool = False, place: str = "") -> str:
    """A message if a speaker is in more than one split, which makes scores look better than they are; else "".

    Raises:
        DataError: with `strict`, the message.
    """
    shared = shared_speakers(items)
    named = "; ".join(f"{name} in {' and '.join(splits)}" for name, splits in list(shared.items())[:8])
    message = f"{place}{len(shared)} speaker(s) in more than one split: {named}" if shared else ""
    if message and strict:
        raise DataError(f"{message}; keep each speaker's files in one split")
    return message


def shared_speakers(items: Iterable[Item]) -> dict[str, list[str]]:
    """Speakers with files in more than one split, with these splits; of ``unknown`` ones nothing can be said."""
    splits: dict[str, set[str]] = {}
    for item in items:
        if item.kind in ("speech", *PAIR_KINDS) and item.group != "unknown":
            splits.setdefault(item.group, set()).add(item.split)
    return {name: sorted(where, key=SPLITS.index) for name, where in sorted(splits.items()) if len(where) > 1}


def split_off(items: Sequence[Item], fraction: float, split: str, by: str = "group") -> list[Item]:
    """Moves a share of the items to another split, always the same ones.

    Whole groups move (``by="group"``) unless there is only one group or ``by="file"``. The order in which
    groups or files are taken comes from a hash of their names, so adding a file doesn't reshuffle the others.

    Args:
        items: files of one kind.
        fraction: share of the files, in [0, 1); at least one group or file moves if it is above zero.
        split: where they move to.
        by: ``group`` or ``file``.

    Returns:
        All the items, those chosen with their new split.
    """
    if not 0.0 <= fraction < 1.0:
        raise DataError(f"the fraction for {split} is {fraction}, must be at least 0 and below 1")
    if by not in ("group", "file"):
        raise DataError(f"split by {by!r}: must be group or file")
    if fraction == 0.0 or not items:
        return list(items)
    groups = {item.group for item in items}

    def unit(item: Item) -> str:
        return item.group if by == "group" and len(groups) > 1 else f"{item.group}/{Path(item.path).name}"

    if len(sizes := Counter(map(unit, items))) < 2:
        raise DataError(f"can't split {len(items)} file(s) in one {by} into two; give a folder for {split}")
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"0:{name}".encode()).digest())
    chosen: set[str] = set()
    wanted, taken = math.ceil(fraction * len(items)), 0
    for name in order[:-1]:  # one unit always stays behind
        if taken >= wanted:
            break
        if not chosen or taken + sizes[name] <= 1.5 * wanted:
            chosen.add(name)
            taken += sizes[name]
    return [replace(item, split=split) if unit(item) in chosen else item for item in items]


def select(items: Iterable[Item], split: str, kind: str) -> list[Item]:
    """The items of one split and kind, sorted by group and place, none twice."""
    return sorted({item for item in items if item.split == split and item.kind == kind})
