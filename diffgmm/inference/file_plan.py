"""Inputs and an output become a list of files, checked before any work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffgmm.audio import FORMATS, is_audio
from diffgmm.utils.errors import UsageError


@dataclass(frozen=True)
class Job:
    """One file to denoise; where its picture and the table of its uncertainty go, if they are wanted."""

    source: Path
    target: Path
    picture: Path | None = None
    uncertainty: Path | None = None

    def outputs(self) -> list[Path]:
        """All files that are written."""
        drawn = self.uncertainty.with_suffix(".png") if self.uncertainty else None
        return [path for path in (self.target, self.picture, self.uncertainty, drawn) if path]


def plan(
    inputs: Sequence[str],
    output: str | None,
    *,
    recursive: bool,
    picture: bool,
    overwrite: bool,
    uncertainty: bool = False,
) -> tuple[list[Job], list[Path]]:
    """List the jobs, and the files in folders that are skipped because they are no audio.

    Without ``output`` a file gets ``NAME.denoised.EXT`` beside it and a folder ``FOLDER.denoised``. With it,
    a single file goes to that file (or into that folder, if it is one or has no ending), everything else into
    that folder.

    Raises:
        UsageError: an output would replace an input, another output, or an existing file without
            ``overwrite``; it cannot be written; a folder holds no audio.
    """
    paths = [Path(text) for text in inputs]
    as_file = output is not None and _names_a_file(output, paths)
    targets: dict[Path, Path] = {}  # target -> source
    skipped: list[Path] = []
    for path in paths:
        if path.is_dir():
            folder = Path(output) if output else path.with_name(path.resolve().name + ".denoised")
            found = list(_walk(path, recursive))
            if not any(map(is_audio, found)):
                more = "" if recursive else "; --recursive looks into its subfolders"
                raise UsageError(f"{path}: no audio files ({' '.join(FORMATS)}) in this folder{more}")
            skipped += [file for file in found if not is_audio(file)]
            pairs = [(file, folder / file.relative_to(path)) for file in found if is_audio(file)]
        elif output is None:
            pairs = [(path, path.with_name(f"{path.stem}.denoised{path.suffix}"))]
        else:
            pairs = [(path, Path(output) if as_file else Path(output) / path.name)]
        for source, target in pairs:
            if targets.setdefault(target, source) != source:
                raise UsageError(f"{source} and {targets[target]} would both be written to {target}")
    jobs = [
        Job(
            source,
            target,
            target.with_suffix(".png") if picture else None,
            target.with_name(f"{target.stem}.uncertainty.csv") if uncertainty else None,
        )
        for target, source in targets.items()
    ]
    check_outputs(jobs, overwrite)
    return jobs, skipped


def _names_a_file(output: str, paths: list[Path]) -> bool:
    """Whether -o names the file to write rather than the folder to write into."""
    path = Path(output)
    several = len(paths) > 1 or paths[0].is_dir()
    if path.is_dir():
        return False
    if several:
        if path.exists() or (is_audio(path) and not output.endswith(("/", os.sep))):
            raise UsageError(f"-o {output}: several inputs need a folder to write into, not a file")
        return False
    if not path.exists() and (output.endswith(("/", os.sep)) or not path.suffix):
        return False
    if not is_audio(path) and path.suffix.lower() != paths[0].suffix.lower():
        raise UsageError(f"-o {output}: {path.suffix} is no audio format; use one of {' '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError(f"-o {output}: there is no folder {path.parent}")
    return True


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    """Files of a folder in a fixed order; hidden ones (``._x.wav``, ``.x.part``) are nobody's recordings."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_file():
            yield path
        elif recursive and path.is_dir():
            yield from _walk(path, recursive)


def check_outputs(jobs: Sequence[Job], overwrite: bool) -> None:
    """Refuse outputs that can't be written or would replace what they must not.

    Raises:
        UsageError: as in :func:`plan`.
    """
    inputs = {_identity(job.source) for job in jobs if job.source.exists()}
    outputs = [path for job in jobs for path in job.outputs()]
    existing = []
    for path in outputs:
        if path.exists() and _identity(path) in inputs:
            raise UsageError(f"{path}: would overwrite an input; choose another output with -o")
        if path.is_dir():
            raise UsageError(f"{path}: is a folder, cannot write a file there")
        if path.exists():
            existing.append(path)
    if existing and not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}{more} exists already; --overwrite replaces it")
    if len({*outputs}) < len(outputs):
        double = next(path for path in outputs if outputs.count(path) > 1)
        raise UsageError(f"two inputs would both be described in {double}; denoise them one by one")
    for folder in {path.parent for path in outputs}:
        there = next((p for p in (folder, *folder.absolute().parents) if p.exists()), folder)
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: cannot write there; choose another output with -o")


def _identity(path: Path) -> tuple[int, int]:
    """The same for every name, link or hard link of one file."""
    status = path.stat()
    return status.st_dev, status.st_ino
