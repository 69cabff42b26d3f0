"""Plan of a run: inputs and an output as a list of files, checked before any work."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from diffgmm.audio import CONTAINERS, FORMATS, AudioError, is_audio, probe
from diffgmm.utils.errors import UsageError
from diffgmm.utils.files import walk

STDIN = Path("-")
"""The standard input, or as an output the standard output."""


@dataclass(frozen=True)
class Job:
    """One file to denoise; where its picture and the table of its uncertainty go, if they are wanted.

    ``spool`` holds what came through a pipe, ``stream`` is the pipe or device that ``target`` is copied to in the end
    (``-`` for the standard output).
    """

    source: Path
    target: Path
    picture: Path | None = None
    uncertainty: Path | None = None
    spool: Path | None = None
    stream: Path | None = None

    @property
    def sound(self) -> Path:
        """The file to read."""
        return self.spool or self.source

    def outputs(self) -> list[Path]:
        """All files that are written."""
        drawn = self.uncertainty.with_suffix(".png") if self.uncertainty else None
        target = None if self.stream else self.target
        return [path for path in (target, self.picture, self.uncertainty, drawn) if path]


def plan(
    inputs: Sequence[str],
    output: str | None,
    *,
    recursive: bool,
    picture: bool,
    overwrite: bool,
    uncertainty: bool = False,
    scratch: Path | None = None,
) -> tuple[list[Job], list[Path]]:
    """List the jobs, and the files in folders that are skipped because they are no audio.

    Without ``output`` a file gets ``NAME.denoised.EXT`` beside it and a folder ``FOLDER.denoised``. With it,
    a single file goes to that file (or into that folder, if it is one or has no ending), everything else into
    that folder. What comes from a container of video or AAC becomes a WAV file. ``-`` as an input is the standard
    input, and as the output, which it is for that input unless another is given, the standard output.

    Args:
        inputs, output: as the user gave them.
        recursive, picture, overwrite, uncertainty: the options of these names.
        scratch: folder for what comes from pipes and goes to them.

    Raises:
        UsageError: an output would replace an input, another output, or an existing file without
            ``overwrite``; it cannot be written; a folder holds no audio.
    """
    paths = [Path(text) for text in inputs]
    spools = _spools(paths, scratch)
    if output is None and paths == [STDIN]:
        output = "-"
    if output is not None and _is_stream(Path(output)):
        return [_to_stream(paths, Path(output), spools, scratch, picture or uncertainty)], []
    as_file = output is not None and _names_a_file(output, paths)
    targets: dict[Path, Path] = {}  # target -> source
    skipped: list[Path] = []
    for path in paths:
        if path.is_dir():
            folder = Path(output) if output else _beside(path)
            pairs = []
            for file in walk(path, recursive):
                # Also what would be audio with PyAV: then the reader's error says what to install.
                if file.suffix.lower() in (*FORMATS, *CONTAINERS):
                    pairs.append((file, _writable_name(folder / file.relative_to(path))))
                else:
                    skipped.append(file)
            if not pairs:
                more = "" if recursive else "; --recursive looks into its subfolders"
                raise UsageError(f"{path}: no audio files ({' '.join(FORMATS)}) in this folder{more}")
        elif output is None and path != STDIN:
            pairs = [(path, _writable_name(path.with_name(f"{path.stem}.denoised{path.suffix}")))]
        elif as_file and output:
            pairs = [(path, Path(output))]
        else:
            pairs = [(path, _writable_name(Path(output or ".") / _name(path, spools)))]
        for source, target in pairs:
            if targets.setdefault(target, source) != source:
                raise UsageError(f"{source} and {targets[target]} would both be written to {target}")
    jobs = []
    for target, source in targets.items():
        drawn = target.with_suffix(".png") if picture else None
        table = target.with_name(f"{target.stem}.uncertainty.csv") if uncertainty else None
        jobs.append(Job(source, target, drawn, table, spools.get(source)))
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


def _writable_name(path: Path) -> Path:
    return path.with_suffix(".wav") if path.suffix.lower() in CONTAINERS else path


def _beside(folder: Path) -> Path:
    """Where the outputs of a folder go if nothing is said, also for ``.`` and ``..``, which have no name."""
    resolved = folder.resolve()
    if not resolved.name:
        raise UsageError(f"{folder}: name a folder for the outputs with -o")
    named = folder.name not in ("", "..")
    return (folder if named else resolved).with_name(resolved.name + ".denoised")


def _is_stream(path: Path) -> bool:
    """Whether it is the standard input or output, a pipe or a device, that is, no file or folder."""
    return path == STDIN or (path.exists() and not path.is_file() and not path.is_dir())


def _spools(paths: list[Path], scratch: Path | None) -> dict[Path, Path]:
    """Copies of what comes through pipes: the format is at the beginning, the length known at the end."""
    spools: dict[Path, Path] = {}
    for path in filter(_is_stream, paths):
        if scratch is None or path in spools:
            raise UsageError(f"{path}: can be read only once")
        if path != STDIN and path.is_char_device():  # such as /dev/zero, which has no end
            raise UsageError(f"{path}: is a device, no recording; send its sound through a pipe")
        spool = scratch / f"{len(spools)}{path.suffix}"
        pipe = nullcontext(sys.stdin.buffer) if path == STDIN else path.open("rb")
        with pipe as sound, spool.open("wb") as file:
            shutil.copyfileobj(sound, file)
        spools[path] = spool
    return spools


def _name(path: Path, spools: dict[Path, Path]) -> str:
    """A file name for the output; that of the standard input has the ending of its format."""
    if path != STDIN:
        return path.name
    try:
        form = probe(spools[path], salvage=True).format
    except AudioError:
        return "stdin"  # reading it again gives the reason
    return "stdin" + next((ending for ending, known in FORMATS.items() if known == form), ".wav")


def _to_stream(
    paths: list[Path], stream: Path, spools: dict[Path, Path], scratch: Path | None, beside: bool
) -> Job:
    """The job of one file whose output goes into a pipe, a device or the standard output."""
    if len(paths) > 1 or paths[0].is_dir():
        raise UsageError(f"-o {stream}: takes one file, several need a folder to write into")
    if beside:
        raise UsageError(f"-o {stream}: --picture and --uncertainty need the name of a file to write beside")
    source = paths[0]
    ending = stream.suffix if is_audio(stream) else _writable_name(source).suffix
    assert scratch is not None
    return Job(source, scratch / f"out{ending}", spool=spools.get(source), stream=stream)


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
