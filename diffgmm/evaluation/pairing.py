"""Pairing of files: folders by name, or a manifest."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from diffgmm import audio
from diffgmm.utils.files import walk


@dataclass(frozen=True)
class Pair:
    """Files that belong together.

    Attributes:
        name: their path in their folders without the ending, or as the manifest has it.
        clean: clean speech.
        enhanced: what is scored.
        noisy: the input it was made from; None if not known.
        snr: ratio in dB, NaN if not known.
        speaker: who speaks, empty if not known.
        noise: categories of noise, empty if not known.
    """

    name: str
    clean: Path
    enhanced: Path
    noisy: Path | None = None
    snr: float = math.nan
    speaker: str = ""
    noise: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pairing:
    """The pairs of some folders, and one line for every file that has no counterpart."""

    pairs: tuple[Pair, ...]
    unmatched: tuple[str, ...] = ()


def pair_folders(
    clean: str | os.PathLike[str],
    enhanced: str | os.PathLike[str],
    noisy: str | os.PathLike[str] | None = None,
) -> Pairing:
    """Pair audio files by path within their folders, ending aside: ``a/b.flac`` belongs to ``a/b.wav``.

    Two single files make one pair, whatever their names.

    Raises:
        AudioError: a folder is missing or has no audio files.
    """
    roots = {"clean": Path(clean), "enhanced": Path(enhanced)}
    if noisy is not None:
        roots["noisy"] = Path(noisy)
    if all(root.is_file() for root in roots.values()):
        pair = Pair(roots["enhanced"].stem, roots["clean"], roots["enhanced"], roots.get("noisy"))
        return Pairing((pair,))
    unmatched: list[str] = []
    by_kind = {kind: _files(root, unmatched) for kind, root in roots.items()}
    pairs = []
    for name in sorted(set().union(*by_kind.values())):
        here = {kind: files[name] for kind, files in by_kind.items() if name in files}
        if "clean" in here and "enhanced" in here:
            pairs.append(Pair(name, here["clean"], here["enhanced"], here.get("noisy")))
        for kind, path in here.items():
            lacks = [other for other in roots if other not in here]
            if kind != "noisy" and lacks:  # a noisy file that nobody enhanced is not missed
                unmatched.append(f"{path}: no file of this name in {roots[lacks[0]]}")
                break
    return Pairing(tuple(pairs), tuple(unmatched))


def pair_manifest(
    manifest: str | os.PathLike[str], enhanced: str | os.PathLike[str] | None = None
) -> Pairing:
    """Pairs that a CSV file lists, one a line.

    Columns: ``clean``; ``enhanced``, unless a folder is given; optional ``noisy``, ``name`` (else the clean file's
    path without its ending), ``snr`` in dB, ``speaker`` and ``noise`` (categories, ``+`` between several). Others are
    not looked at. Paths are relative to the manifest's folder. A listed file that does not exist is scored as a
    failure, not skipped; only with a folder of enhanced files are those without a line, and lines without a file,
    listed as unmatched.

    Args:
        manifest: the CSV file.
        enhanced: folder with a file named as each pair, instead of the column.

    Raises:
        AudioError: no such file, not such a table, a name twice, or a folder without audio.
    """
    path = Path(manifest)
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines, columns = list(reader), set(reader.fieldnames or ())
    except OSError as error:
        raise audio.AudioError(f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise audio.AudioError(f"{path}: not a CSV file ({error})") from error
    for column in ("clean", *(() if enhanced is not None else ("enhanced",))):
        if column not in columns:
            hint = ", or give a folder with --enhanced" if column == "enhanced" else ""
            raise audio.AudioError(f"{path}: has no column {column!r}{hint}")
    pairs: dict[str, Pair] = {}
    for number, line in enumerate(lines, start=2):
        pair = _listed(line, path.parent, f"{path}, line {number}")
        if pair.name in pairs:
            raise audio.AudioError(f"{path}, line {number}: the name {pair.name} is used twice")
        pairs[pair.name] = pair
    if enhanced is None:
        return Pairing(tuple(pairs.values()))
    missing = [f"{path}, line {number}: no file named {name}" for number, name in enumerate(pairs, start=2)]
    return _with_files(pairs.values(), Path(enhanced), missing, f"no pair of this name in {path}")


def _listed(line: dict[str, str | None], folder: Path, where: str) -> Pair:
    """The pair of one line; ``enhanced`` may still be missing."""

    def cell(column: str) -> str:
        return (line.get(column) or "").strip()

    if not cell("clean"):
        raise audio.AudioError(f"{where}: the column 'clean' is empty")
    try:
        snr = float(cell("snr") or "nan")
    except ValueError as error:
        raise audio.AudioError(f"{where}: snr {cell('snr')!r} is no number of dB") from error
    name = Path(cell("name") or cell("clean"))
    name = name.with_suffix("") if audio.is_audio(name) else name
    clean, enhanced, noisy = (folder / cell(kind) for kind in ("clean", "enhanced", "noisy"))
    noises = tuple(part.strip() for part in cell("noise").split("+") if part.strip())
    heard = noisy if cell("noisy") else None
    return Pair(name.as_posix(), clean, enhanced, heard, snr, cell("speaker"), noises)


def beside(pairing: Pairing, other: str | os.PathLike[str]) -> Pairing:
    """The same pairs with the files of another folder as enhanced ones, to compare with.

    Raises:
        AudioError: the folder is missing or has no audio files.
    """
    pairs = [replace(pair, noisy=None) for pair in pairing.pairs]
    if Path(other).is_file() and len(pairs) == 1:
        return Pairing((replace(pairs[0], enhanced=Path(other)),))
    missing = [f"{pair.enhanced}: no file of this name" for pair in pairs]
    return _with_files(pairs, Path(other), missing, "belongs to no pair")


def _with_files(pairs: Iterable[Pair], folder: Path, missing: Iterable[str], left: str) -> Pairing:
    """Pairs with the files of a folder as enhanced ones; what is said of pairs without a file, and of files left."""
    unmatched: list[str] = []
    files = _files(folder, unmatched)
    kept = []
    for pair, complaint in zip(pairs, missing, strict=True):
        if path := files.pop(pair.name, None):
            kept.append(replace(pair, enhanced=path))
        else:
            unmatched.append(f"{complaint} in {folder}")
    unmatched += [f"{files[name]}: {left}" for name in sorted(files)]
    return Pairing(tuple(kept), tuple(unmatched))


def _files(root: Path, problems: list[str]) -> dict[str, Path]:
    """Audio files below a folder by name, also behind links to folders, but not those that lead back to one above."""
    if not root.is_dir():
        raise audio.AudioError(f"{root}: {'is a file, give a folder' if root.exists() else 'no such folder'}")
    files: dict[str, Path] = {}
    for path in sorted(path for path in walk(root) if audio.is_audio(path) and path.is_file()):
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in files:
            problems.append(f"{path}: same name as {files[name].name}, which is used")
        else:
            files[name] = path
    if not files:
        raise audio.AudioError(f"{root}: no audio files in this folder")
    return files
