"""Writes ``docs/reliability.md`` from what the fuzzer and the mutation tests found.

python tests/helpers/fuzz.py --json experiments/bench/fuzz.json
python -m experiments.bench.mutation
python -m experiments.bench.reliability
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from diffgmm.utils.files import replacing
from experiments.bench.mutation.__main__ import results
from experiments.bench.mutation.mutants import ARGUED, MUTANTS

FUZZED = Path(__file__).parent / "fuzz.json"
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

_KINDS = {
    "reader": "audio files, read",
    "api": "audio files through `denoise_file`",
    "command": "audio files and arguments of `diffgmm denoise`",
    "manifest": "manifests of corpora",
    "space": "spaces of sweeps",
    "configuration": "experiments given to `diffgmm fit`",
    "model": "model files: descriptions, weights, checkpoints",
}

_HEAD = """# Reliability

What was tried to break, how often, what failed and what was lost. This page is written by `python -m
experiments.bench.reliability` out of recorded results; a test compares the two.

## Damaged inputs

[tests/helpers/fuzz.py](../tests/helpers/fuzz.py) damages valid inputs at random: bits, sizes in headers, pieces cut
out, put in twice or taken from another format, words and numbers of texts. Such an input may be taken or refused in
one line. It is a **failure** if there is a traceback or another exception, if the process dies, if it takes over a
minute, or if a command that failed leaves a file. Sound is **lost** if fewer samples are read than libsndfile finds
by itself, or fewer are written than were read.
"""

_AFTER_FUZZ = """
Earlier versions of the code failed on some of these; each is mended and has a test of its own:

- a WAV or AIFF to which another is joined was read whole, but the second file was also copied as a chunk of metadata
  into the output, which nothing could open then;
- `high: .inf` for a whole number in a sweep's space ended in an `OverflowError`;
- an experiment whose YAML aliases multiply one another was expanded without end, and one that is not UTF-8 ended in a
  traceback;
- messages quoted arguments and fields of any length.

The worst inputs are kept in [tests/nasty](../tests/nasty) and tried in every run of the tests: files joined,
open-ended or with sizes that wrapped, sample rates of 0 and 4 GHz, 65,535 channels, NaN, a checkpoint that would run
a command, YAML that multiplies itself. `make test` tries some hundred random inputs in addition, `make test-full` the
full number with another seed.

## Mutants of the mathematics

A test suite is worth what it notices. [experiments/bench/mutation](../experiments/bench/mutation) changes one piece
of the code at a time (a sign, a factor, a clamp, an axis) and runs the tests of that file alone. A first run left 40
unnoticed; each got a test, or stands below.
"""

_END = """
## Installations

`make test-full` builds wheel and source distribution, and denoises and trains with both in clean environments. The
quick tests run nightly with the oldest versions of the libraries that `pyproject.toml` allows
([continuous integration](../.github/workflows/test.yml)), and with the newest at every push. A first try found that
`tensorboard` 2.16.0 brings all of TensorFlow, and that some libraries had no lower bound.

`python -m experiments.bench.licences` lists the licence of everything that an installation brings, as the packages
state them. All are permissive but those of `mutagen` (GPL-2.0-or-later), `soxr` (LGPL-2.1-or-later), `tqdm` (MPL-2.0
and MIT) and NVIDIA's libraries, which come with CUDA builds of PyTorch.
"""


def _table(head: list[str], rows: list[list[str]], numbers: int) -> str:
    """A table in Markdown whose last ``numbers`` columns are numbers."""
    marks = ["---"] * (len(head) - numbers) + ["---:"] * numbers
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, marks, *rows]) + "\n"


def _fuzzed() -> str:
    outcomes = json.loads(FUZZED.read_text(encoding="utf-8"))["outcomes"]
    rows = [
        [
            _KINDS[one["kind"]], f"{one['tried']:,}", f"{one['taken']:,}", f"{one['refused']:,}",
            str(len(one["faults"])), str(one["lost"]), f"{one['slowest_seconds']:.1f}", f"{one['memory_mib']:.0f}",
        ]
        for one in outcomes
    ]  # fmt: skip
    sums = [f"{sum(one[key] for one in outcomes):,}" for key in ("tried", "taken", "refused")]
    failed, lost = (
        str(sum(number)) for number in ([len(o["faults"]) for o in outcomes], [o["lost"] for o in outcomes])
    )
    rows.append(["**all**", *sums, failed, lost, "", ""])
    head = [
        "input",
        "tried",
        "taken",
        "refused",
        "failures",
        "lost",
        "slowest, s of CPU",
        "memory added, MiB",
    ]
    return _table(head, rows, len(head) - 1)


def _mutated() -> str:
    found = results()
    made = Counter(mutant.file for mutant in MUTANTS if mutant.name in found)
    alive = Counter(mutant.file for mutant in MUTANTS if found.get(mutant.name) == "survived")
    rows = [[f"`{file}`", str(number), str(number - alive[file])] for file, number in made.items()]
    total, survived = made.total(), alive.total()
    rows.append(["**all**", str(total), f"{total - survived} ({100 * (total - survived) / total:.1f} %)"])
    text = _table(["file", "mutants", "noticed"], rows, 2)
    if survived:
        text += "\nNot noticed, and why that is no gap:\n\n"
        text += "".join(
            f"- `{name}`: {ARGUED.get(name, 'not argued')}\n" for name in found if found[name] == "survived"
        )
    return text


def page() -> str:
    """The page's text."""
    return f"{_HEAD}\n{_fuzzed()}{_AFTER_FUZZ}\n{_mutated()}{_END}"


def main() -> int:
    """Write the page."""
    with replacing(PAGE) as part:
        part.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
