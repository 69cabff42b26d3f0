"""Facts about what made a figure or a run: command line, revision, versions, machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any


def installed(packages: Iterable[str]) -> dict[str, str | None]:
    """Version by package, None for one that is not installed; nothing is imported."""
    versions: dict[str, str | None] = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


PACKAGES = ("diffgmm", "torch", "lightning", "torchmetrics", "numpy", "soxr", "soundfile", "pesq", "pystoi")


def facts() -> dict[str, Any]:
    """Versions, git revision (and whether the tree differs from it), command line and machine."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "versions": installed(PACKAGES),
        "git_revision": _git("rev-parse", "HEAD"),
        "git_modified": None if changed is None else bool(changed),
        "machine": {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
    }


def hardware() -> dict[str, Any]:
    """Memory in GiB (None where the system does not report it) and names of GPUs; loads torch."""
    import torch

    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        memory = None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "memory_gib": None if memory is None else round(memory, 1),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(number) for number in range(count)],
    }


def changes() -> str | None:
    """What the tree of the package differs by from its revision, as ``git apply`` takes it; None outside of git."""
    return _git("diff", "--no-ext-diff", "--no-color", "--binary", "HEAD", strip=False)


def processor() -> str:
    """Name of the processor as the system reports it, else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _git(*args: str, strip: bool = True) -> str | None:
    """Output of a git command in the folder of the package, or None outside a repository."""
    if shutil.which("git") is None:
        return None
    folder = Path(__file__).resolve().parent
    result = subprocess.run(
        ["git", "-C", str(folder), *args], capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode:
        return None
    return result.stdout.strip() if strip else result.stdout
