"""Records beside a run what is needed to repeat it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L

from diffgmm.audio import replacing
from diffgmm.callbacks.loggers import run_folder
from diffgmm.versions import installed

PACKAGES = ("diffgmm", "torch", "lightning", "torchmetrics", "numpy", "soxr", "soundfile", "pesq", "pystoi")


def _git(*args: str) -> str | None:
    """Output of a git command in the folder of the package, or None outside a repository."""
    if shutil.which("git") is None:
        return None
    folder = Path(__file__).resolve().parent
    result = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


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
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
    }


class RunRecord(L.Callback):
    """Writes ``record.json`` into the run's folder: at the start what ran, at the end how long and how far.

    Args:
        file: name of the file.
    """

    def __init__(self, file: str = "record.json") -> None:
        self.file = file
        self._facts: dict[str, Any] = {}
        self._start = 0.0

    def _write(self, trainer: L.Trainer) -> None:
        folder = run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / self.file) as part:
            part.write_text(json.dumps(self._facts, indent=2) + "\n", encoding="utf-8")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record versions, revision, devices and the data's own fingerprint, if it has one."""
        if not trainer.is_global_zero:
            return
        self._start = time.monotonic()
        data = getattr(trainer, "datamodule", None)
        fingerprint = getattr(data, "fingerprint", None)
        self._facts = facts() | {
            "devices": trainer.num_devices * trainer.num_nodes,
            "accelerator": type(trainer.accelerator).__name__,
            "precision": str(trainer.precision),
            "parameters": sum(p.numel() for p in pl_module.parameters()),
            "data": fingerprint() if callable(fingerprint) else None,
            "resumed_from": trainer.ckpt_path,
        }
        self._write(trainer)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add wall time and steps."""
        if not trainer.is_global_zero:
            return
        self._facts |= {
            "seconds": round(time.monotonic() - self._start, 1),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
        }
        self._write(trainer)
