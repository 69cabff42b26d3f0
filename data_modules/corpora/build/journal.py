"""Journal of an unfinished corpus, from which an interrupted run resumes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from data_modules.corpora.build.convert import Prepared
from data_modules.corpora.recipe import Entry, Refused
from diffgmm.utils.files import sha256_of


class Workplace:
    """The folder of an unfinished corpus: `corpus` (clips), `unpacked` (sources), and the journal.

    Args:
        folder: ``<root>/.<name>.unfinished``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.corpus = folder / "corpus"
        self.unpacked = folder / "unpacked"

    def open(self, state: dict[str, Any]) -> None:
        """Keep what is there if it was made under the same `state`, else clear it away."""
        path = self.folder / "state.json"
        text = json.dumps(state, indent=1, sort_keys=True) + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")
        self.corpus.mkdir(exist_ok=True)
        self.unpacked.mkdir(exist_ok=True)

    def journal(self) -> Journal:
        """The journal of this folder; close it."""
        return Journal(self.folder / "journal.jsonl")


def key_of(entry: Entry) -> str:
    """Changes with anything that the converted clip depends on: name, kind, origin, size and date of the file."""
    facts = entry.file.stat()
    origin = [entry.path, entry.kind, entry.source, entry.member, facts.st_size, facts.st_mtime_ns]
    return hashlib.sha256(json.dumps(origin).encode()).hexdigest()


class Journal:
    """A line for each clip that was converted or refused; a line that a kill cut short is passed over."""

    def __init__(self, path: Path) -> None:
        self.results: dict[str, Prepared | Refused] = {}
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in text.splitlines():
            try:
                row = json.loads(line)
                key = row.pop("key")
                self.results[key] = Refused(**row) if "reason" in row else Prepared(**row)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
        self._file: TextIO = path.open("a", encoding="utf-8")
        if text and not text.endswith("\n"):
            self._file.write("\n")

    def add(self, results: Iterable[tuple[str, Prepared | Refused]]) -> None:
        """Write down results by the keys of their entries."""
        for key, result in results:
            self._file.write(json.dumps({"key": key, **asdict(result)}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def still_good(known: Prepared | Refused, target: Path) -> bool:
    """Whether a result of an earlier run holds: the clip is there, with the bytes it had."""
    if isinstance(known, Refused):
        return True
    return target.is_file() and sha256_of(target) == known.sha256
