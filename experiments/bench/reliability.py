"""Fills the tables of ``docs/reliability.md`` with what the fuzzer and the mutation tests found.

python tests/helpers/fuzz.py --json experiments/bench/fuzz.json
python -m experiments.bench.mutation
python -m experiments.bench.reliability
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import yaml

from diffgmm.utils.text_table import markdown
from experiments.bench.mutation.__main__ import results
from experiments.bench.mutation.mutants import ARGUED, MUTANTS
from experiments.release import marks

FUZZED = Path(__file__).parent / "fuzz.json"
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

_KINDS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def fuzzed() -> str:
    """What became of damaged inputs, by kind."""
    outcomes = json.loads(FUZZED.read_text(encoding="utf-8"))["outcomes"]
    costs = ("slowest, s of CPU", "memory added, MiB")
    rows = [["input", "tried", "taken", "refused", "failures", "lost", *costs]]
    sums: Counter[str] = Counter()
    for outcome in outcomes:
        counts = {name: outcome[name] for name in ("tried", "taken", "refused")}
        counts |= {"failures": len(outcome["faults"]), "lost": outcome["lost"]}
        sums.update(counts)
        cost = [f"{outcome['slowest_seconds']:.1f}", f"{outcome['memory_mib']:.0f}"]
        rows.append([_KINDS[outcome["kind"]], *(f"{count:,}" for count in counts.values()), *cost])
    rows.append(["**all**", *(f"{count:,}" for count in sums.values()), "", ""])
    return "\n".join(markdown(rows))


def mutated() -> str:
    """How many mutants of each file some test noticed, and why the others are no gap."""
    outcomes = results()
    made = Counter(mutant.file for mutant in MUTANTS if mutant.name in outcomes)
    alive = Counter(mutant.file for mutant in MUTANTS if outcomes.get(mutant.name) == "survived")
    noticed = made.total() - alive.total()
    rows = [[f"`{file}`", str(number), str(number - alive[file])] for file, number in made.items()]
    rows.append(["**all**", str(made.total()), f"{noticed} ({100 * noticed / made.total():.1f} %)"])
    lines = markdown([["file", "mutants", "noticed"], *rows])
    if survivors := [name for name, outcome in outcomes.items() if outcome == "survived"]:
        lines += ["", "Not noticed, and why that is no gap:", ""]
        lines += [f"- `{name}`: {ARGUED.get(name, 'not argued')}" for name in survivors]
    return "\n".join(lines)


def main() -> int:
    """Write the tables into the page."""
    for name, table in (("fuzzed", fuzzed()), ("mutated", mutated())):
        marks.fill(PAGE, table, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
