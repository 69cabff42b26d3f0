"""The mini corpus: a few minutes of real speech and noise inside the package, the default of everything.

Every clip may be redistributed; `CREDITS.md` beside this file names authors, licences and changes.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["mini_corpus"]


def mini_corpus() -> Path:
    """Folder of the mini corpus, in the corpus layout: `{train,valid,test}/{speech,noise}/<group>/*.flac`.

    >>> (mini_corpus() / "manifest.csv").is_file()
    True
    """
    return Path(__file__).resolve().parent
