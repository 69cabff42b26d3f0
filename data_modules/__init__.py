"""Data modules: corpora, mixing of speech and noise, and the embedded mini corpus."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["home"]


def home() -> Path:
    """Folder for prepared corpora, runs and caches: `$DIFFGMM_HOME`, by default `~/.cache/diffgmm`.

    The folder is not created; an empty variable counts as unset.
    """
    chosen = os.environ.get("DIFFGMM_HOME", "").strip()
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "diffgmm"
