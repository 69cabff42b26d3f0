"""Steps that are done once: kept by the checksum of everything that went into them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffgmm.utils.code_version import key_of
from diffgmm.utils.files import write_text

FILE = "steps.json"
Facts = dict[str, Any]
"""What a step hands on, as plain data."""


class Steps:
    """The steps of one benchmark, with a file that says what was done out of what.

    A step that was interrupted is not in the file and is begun again; what it has done by then is its own to keep.

    Args:
        folder: of the benchmark's results.
        names: of the steps, in order, for the counting.
        tell: told in one line what happens.
        anew: steps to do again whatever is kept.
    """

    def __init__(
        self, folder: Path, names: Sequence[str], tell: Callable[[str], object], anew: Container[str] = ()
    ) -> None:
        self.folder, self.names, self.tell, self.anew = folder, names, tell, anew
        self.done: dict[str, dict[str, Any]] = {}
        try:
            known = json.loads((folder / FILE).read_text(encoding="utf-8"))
            self.done = known if isinstance(known, dict) else {}
        except (OSError, ValueError):
            pass  # nothing kept, or a file that is none: everything is done anew

    def run(
        self, name: str, inputs: Mapping[str, Any], work: Callable[[], Facts], intact: Callable[[Facts], bool]
    ) -> Facts:
        """Do a step, unless it was done with the same inputs and its result is intact.

        Args:
            name: of the step.
            inputs: plain data: settings, checksums of data, version of the code.
            work: does it and returns what later steps need, as plain data.
            intact: whether a kept result is still what it was.
        """
        place = f"[{self.names.index(name) + 1}/{len(self.names)}] {name}"
        key = key_of({"step": name, **inputs})
        kept = self.done.get(name)
        if kept and kept.get("key") == key and name not in self.anew and intact(kept["outputs"]):
            self.tell(f"{place}: done before, in {kept['seconds']:.0f} s ({key})")
            return dict(kept["outputs"])
        self.tell(f"{place}: {_why(kept, inputs, key, name in self.anew)}")
        start = time.monotonic()
        outputs = work()
        seconds = round(time.monotonic() - start, 1)
        self.done[name] = {"key": key, "seconds": seconds, "inputs": dict(inputs), "outputs": outputs}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / FILE, json.dumps(self.done, indent=1, ensure_ascii=False) + "\n")
        self.tell(f"{place}: {seconds:.0f} s ({key})")
        return outputs


def _why(kept: Mapping[str, Any] | None, inputs: Mapping[str, Any], key: str, asked: bool) -> str:
    """What makes a step necessary."""
    if kept is None:
        return "begins"
    if asked:
        return "begins again, as asked"
    if kept.get("key") == key:
        return "begins again: its result is gone or damaged"
    before = kept.get("inputs", {})
    changed = [name for name in inputs if inputs[name] != before.get(name)]
    return f"begins again: changed: {', '.join(changed) or 'version'}"
