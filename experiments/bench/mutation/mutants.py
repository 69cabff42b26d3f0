"""Mutants of the mathematics: changes of the code that some test must notice, listed in ``mutants.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml


class Mutant(NamedTuple):
    """One change; ``argued`` says why it is no gap that no test notices it, where that is so."""

    file: str
    old: str
    new: str
    argued: str = ""

    @property
    def name(self) -> str:
        """File and change, in a line."""
        return f"{self.file}: {' '.join(self.old.split())} -> {' '.join(self.new.split()) or '(nothing)'}"


_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
MUTANTS = [Mutant(file, **change) for file, entry in _TABLE.items() for change in entry["mutants"]]
TESTS: dict[str, list[str]] = {file: entry["tests"] for file, entry in _TABLE.items()}
"""The tests of each file itself; what others happen to notice counts for nothing here."""
ARGUED = {mutant.name: mutant.argued for mutant in MUTANTS if mutant.argued}
