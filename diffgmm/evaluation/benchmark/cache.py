"""Cache of finished work by content: enhanced audio, scores, timings. Safe to interrupt at any point.

One folder a system, named by its identity. Audio files carry the checksum of their input; scores the checksums of
both files and the metric's version; so nothing has to be declared stale, and a set that grows reuses its old part.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from diffgmm.metrics import Score, get_metric
from diffgmm.utils.code_version import OURS, code_version, key_of
from diffgmm.utils.files import write_text
from diffgmm.utils.provenance import installed

_TOOLS = ("pesq", "pystoi", "speechmos", "distillmos", "onnxruntime", "numpy", "scipy", "soxr")


def slug(text: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text).strip(".") or "unnamed"


def metric_version(name: str) -> str:
    """Changes with the metric's code and the libraries that may be behind it."""
    module = get_metric(name).function.__module__
    code = code_version(module, ours=(*OURS, module.partition(".")[0]))
    return key_of({"metric": name, "code": code, "tools": installed(_TOOLS)})


class Lines:
    """A file of JSON lines that is only appended to; a last line cut short by a kill is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        for line in text.split("\n"):
            with suppress(ValueError):
                if isinstance(entry := json.loads(line), dict):
                    yield entry

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append one entry, in one write."""
        data = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    data = b"\n" + data  # what a kill left of a line must not swallow this one
            file.write(data)


class SystemCache:
    """Everything kept of one system.

    Args:
        root: of the cache.
        name: for people who look into the folder.
        key: of the identity.
        identity: written beside the results.
    """

    def __init__(self, root: Path, name: str, key: str, identity: Mapping[str, Any]) -> None:
        self.folder = root / f"{slug(name)}-{key}"
        self.identity = identity
        self._scores = Lines(self.folder / "scores.jsonl")
        self._costs = Lines(self.folder / "costs.jsonl")

    @cached_property
    def _known(self) -> dict[tuple[str, str, str], Score]:
        """Scores by the checksums of both files and the metric's version."""
        known = {}
        for entry in self._scores:
            value = math.nan if entry["value"] is None else entry["value"]
            known[entry["enhanced"], entry["clean"], entry["version"]] = Score(value, entry["reason"])
        return known

    def open(self) -> None:
        """Create the folder, with what it is the cache of."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "identity.json"
        if not path.is_file():
            text = json.dumps(self.identity, indent=1, ensure_ascii=False)
            write_text(path, text + "\n")

    def audio(self, id: str, noisy_sha256: str) -> Path:
        """Where the enhanced file for an input lies, or will lie."""
        return self.folder / "audio" / f"{slug(id)}.{noisy_sha256[:12]}.wav"

    def score(self, enhanced: str, clean: str, version: str) -> Score | None:
        """A score by the checksums of both files and the metric's version."""
        return self._known.get((enhanced, clean, version))

    def keep_score(self, id: str, enhanced: str, clean: str, metric: str, version: str, score: Score) -> None:
        """Keep a score; one that does not exist is kept with its reason."""
        value = score.value if score.valid else None
        entry = {"id": id, "metric": metric, "value": value, "reason": score.reason}
        self.open()
        self._scores.add({**entry, "enhanced": enhanced, "clean": clean, "version": version})
        self._known[enhanced, clean, version] = Score(score.value, score.reason)

    def cost(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The last measurement under the same conditions."""
        results = [entry["result"] for entry in self._costs if entry["key"] == dict(key)]
        return results[-1] if results else None

    def keep_cost(self, key: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Keep a measurement and its conditions."""
        self.open()
        self._costs.add({"key": dict(key), "result": dict(result)})
