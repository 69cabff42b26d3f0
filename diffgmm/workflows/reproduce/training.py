"""The training of a benchmark: a process of its own that goes on from its last checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from diffgmm.workflows.reproduce.plan import ReproduceError


def train(config: Path, settings: dict[str, Any], folder: Path) -> Path:
    """Train into a folder, from its last checkpoint if there is one; returns the final checkpoint.

    Raises:
        ReproduceError: the training failed.
    """
    from diffgmm.workflows.sweep.space import arguments

    logger = {"save_dir": str(folder), "name": ""}
    own = {
        "trainer.default_root_dir": str(folder),
        "trainer.logger": [{"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": logger}],
    }
    words = ["fit", "--config", str(config), *arguments({**settings, **own})]
    last = _last(folder)
    if last is not None:
        words += ["--ckpt_path", str(last)]
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([sys.executable, "-m", "diffgmm.training", *words], env=os.environ, check=False)
    last = _last(folder)
    if done.returncode or last is None:
        raise ReproduceError(
            f"{config}: the training ended with code {done.returncode}; run the command again to go on"
        )
    return last


def _last(folder: Path) -> Path | None:
    """The newest last.ckpt: each start of a training writes into a folder of its own."""
    return max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
