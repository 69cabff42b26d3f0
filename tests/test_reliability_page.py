"""The page on reliability says what the fuzzer and the mutation tests found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import fuzz

from experiments.bench import reliability
from experiments.bench.mutation.__main__ import results
from experiments.bench.mutation.mutants import ARGUED, MUTANTS
from experiments.release.marks import marks

ROOT = Path(__file__).parents[1]


def test_mutants_are_noticed_or_argued() -> None:
    found = results()
    assert set(found) == {mutant.name for mutant in MUTANTS}, (
        "run python -m experiments.bench.mutation --missing"
    )
    alive = {name for name, outcome in found.items() if outcome == "survived"}
    assert alive == set(ARGUED) and len(alive) <= 0.05 * len(found)


def test_the_page_is_what_was_found() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    tables = {"fuzzed": reliability.fuzzed()}
    if len(results()) == len(MUTANTS):
        tables["mutated"] = reliability.mutated()
    for name, table in tables.items():
        assert f"\n{table}\n".join(marks(name)) in page, "run python -m experiments.bench.reliability"
    found = json.loads(reliability.FUZZED.read_text(encoding="utf-8"))["outcomes"]
    assert {one["kind"]: one["tried"] for one in found} == fuzz.NUMBERS
    assert not any(one["faults"] or one["lost"] for one in found)


def test_every_case_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "cases.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+\.py)::(\w+)`", page))
    assert len(named) > 120
    missing = [
        name for name in named if f"def {name[1]}(" not in (ROOT / "tests" / name[0]).read_text("utf-8")
    ]
    assert not missing
