"""Common parts of the recipes: audio in unpacked archives, names of clips, and stable splits."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

from data_modules.corpora.recipe import Entry
from data_modules.errors import DataError
from data_modules.pools.sources import SPLITS
from diffgmm.audio import is_audio

Splitter = Callable[[str], str]
"""Speaker, recording or place -> ``train``, ``valid`` or ``test``."""

_UNSAFE = re.compile(r"[^\w.+-]+|^\.+")
_LEFTOVERS = ("__MACOSX",)


def audio_below(folder: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """Audio files below a folder and their relative paths; hidden files and archivers' leftovers are skipped.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the sources of this corpus are not there")
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _LEFTOVERS)
        for name in sorted(names):
            if not name.startswith(".") and is_audio(name):
                path = Path(where, name)
                yield path, PurePosixPath(path.relative_to(folder).as_posix())


def safe_name(text: str) -> str:
    """The text as a file name: odd characters replaced, with a hash of the text if anything was."""
    clean = _UNSAFE.sub("_", text)
    if clean == text and text:
        return text
    return f"{clean or '_'}_{short_hash(text)}"


def short_hash(text: str) -> str:
    """Eight hexadecimal digits that tell texts apart."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def clip_path(split: str, kind: str, group: str, stem: str) -> str:
    """Place of a clip in a corpus: ``split/kind/group/stem.flac``."""
    return f"{split}/{kind}/{safe_name(group)}/{safe_name(stem)}.flac"


def share(key: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but the key and the salt (the corpus's name)."""
    digest = hashlib.sha256(f"{salt}:{key}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def named_split(valid: Sequence[str], test: Sequence[str]) -> Splitter:
    """A split by lists of names; whatever is not named trains."""
    where = dict.fromkeys(valid, "valid") | dict.fromkeys(test, "test")
    return lambda name: where.get(name, "train")


def sorted_entries(entries: Sequence[Entry], corpus: str) -> list[Entry]:
    """The clips by split and path.

    Raises:
        DataError: there are none, or two would have the same path.
    """
    if not entries:
        raise DataError(
            f"{corpus}: no audio where this corpus keeps it; its sources are incomplete or not its own"
        )
    ordered = sorted(entries, key=lambda entry: (SPLITS.index(entry.split), entry.path))
    for entry, next_entry in pairwise(ordered):
        if entry.path == next_entry.path:
            raise DataError(
                f"{corpus}: {entry.member} and {next_entry.member} would both become {entry.path}; keep one"
            )
    return ordered
