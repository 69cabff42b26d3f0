"""Pairing of files: folders by name, or a manifest."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass, field, replace
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


@dataclass
class _Folder:
    """Audio files of a folder by name, and which of them were asked for."""

    root: Path
    problems: list[str]
    files: dict[str, Path] = field(init=False)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.files = _files(self.root, self.problems)

    def find(self, name: str) -> Path | None:
        self.used.add(name)
        return self.files.get(name)


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
    roots = {"clean": Path(clean), "enhanced": Path(enhanced)} | (
        {} if noisy is None else {"noisy": Path(noisy)}
    )
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
    unmatched: list[str] = []
    folder = None if enhanced is None else _Folder(Path(enhanced), unmatched)
    pairs: dict[str, Pair] = {}
    for number, line in enumerate(lines, start=2):
        where = f"{path}, line {number}"
        pair = _listed(line, path.parent, where)
        if pair.name in pairs:
            raise audio.AudioError(f"{where}: the name {pair.name} is used twice")
        if folder is not None:
            file_of_it = folder.find(pair.name)
            if file_of_it is None:
                unmatched.append(f"{where}: no file named {pair.name} in {folder.root}")
                continue
            pair = replace(pair, enhanced=file_of_it)
        pairs[pair.name] = pair
    if folder is not None:
        left = sorted(set(folder.files) - folder.used)
        unmatched += [f"{folder.files[name]}: no pair of this name in {path}" for name in left]
    return Pairing(tuple(pairs.values()), tuple(unmatched))


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
    return Pair(
        (name.with_suffix("") if audio.is_audio(name) else name).as_posix(),
        folder / cell("clean"),
        folder / cell("enhanced"),
        folder / cell("noisy") if cell("noisy") else None,
        snr,
        cell("speaker"),
        tuple(part.strip() for part in cell("noise").split("+") if part.strip()),
    )


def beside(pairing: Pairing, other: str | os.PathLike[str]) -> Pairing:
    """The same pairs with the files of another folder as enhanced ones, to compare with.

    Raises:
        AudioError: the folder is missing or has no audio files.
    """
    unmatched: list[str] = []
    if Path(other).is_file() and len(pairing.pairs) == 1:
        return Pairing((replace(pairing.pairs[0], enhanced=Path(other), noisy=None),))
    folder = _Folder(Path(other), unmatched)
    pairs = []
    for pair in pairing.pairs:
        path = folder.find(pair.name)
        if path is None:
            unmatched.append(f"{pair.enhanced}: no file of this name in {other}")
        else:
            pairs.append(replace(pair, enhanced=path, noisy=None))
    left = sorted(set(folder.files) - folder.used)
    unmatched += [f"{folder.files[name]}: belongs to no pair" for name in left]
    return Pairing(tuple(pairs), tuple(unmatched))


def _walk(root: Path) -> list[Path]:
    """Audio files below a folder, also behind links to folders, but not those that lead back to one above."""
    return sorted(path for path in walk(root) if audio.is_audio(path) and path.is_file())


def _files(root: Path, problems: list[str]) -> dict[str, Path]:
    if not root.is_dir():
        raise audio.AudioError(
            f"{root}: " + ("is a file, give a folder" if root.exists() else "no such folder")
        )
    files: dict[str, Path] = {}
    for path in _walk(root):
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in files:
            problems.append(f"{path}: same name as {files[name].name}, which is used")
        else:
            files[name] = path
    if not files:
        raise audio.AudioError(f"{root}: no audio files in this folder")
    return files
