"""Runs every mutant of :mod:`experiments.bench.mutation.mutants` against the tests that touch its file.

    python -m experiments.bench.mutation

Each is made in a copy of the code and tried in a process of its own, forked from one that has the libraries loaded
already; the first test that fails ends it. What no test notices is written to ``results.json`` beside this file and
listed in ``docs/reliability.md``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from diffgmm.utils.files import write_text
from experiments.bench.mutation.mutants import ARGUED, MUTANTS, TESTS, Mutant

ROOT = Path(__file__).resolve().parents[3]
RESULTS = Path(__file__).parent / "results.json"
_COPIED = ("diffgmm", "data_modules", "experiments", "tests", "docs", "pyproject.toml", "README.md")
_SECONDS = 300  # a mutant may make a test run for ever, which is noticed, too


def problems(mutants: Sequence[Mutant] = MUTANTS) -> list[str]:
    """Mutants that aren't changes of the code as it is; empty if all are."""
    counts = {
        mutant: (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) for mutant in mutants
    }
    return [f"{mutant.name}: {count} places" for mutant, count in counts.items() if count != 1]


def _copy(folder: Path) -> None:
    """The project's files, with links in the place of what no mutant changes and no test writes."""

    def copy_or_link(source: str, target: str) -> None:
        if Path(source).suffix in (".flac", ".onnx", ".safetensors"):
            Path(target).symlink_to(source)
        else:
            shutil.copy(source, target)

    for source in map(ROOT.joinpath, _COPIED):
        if source.is_file():
            shutil.copy(source, folder)
        else:
            skip = shutil.ignore_patterns("__pycache__", "images")
            shutil.copytree(source, folder / source.name, ignore=skip, copy_function=copy_or_link)


def _preload() -> None:
    """Import the libraries that the tests need, but nothing of the project."""
    import torch

    for name in [
        "hypothesis",
        "lightning.pytorch.cli",
        "pytest",
        "scipy.signal",
        "scipy.stats",
        "torchmetrics",
    ]:
        importlib.import_module(name)
    torch.set_num_threads(1)


def _tested(folder: Path, tests: Sequence[str], log: Path) -> int:
    """Exit code of pytest in a forked process: 0 if nothing was noticed, -1 after too long."""
    child = os.fork()
    if child == 0:
        os.setsid()
        with log.open("w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(folder)
        ours = ("diffgmm", "data_modules", "experiments")
        for name in [name for name in sys.modules if name.split(".")[0] in ours]:
            del sys.modules[name]
        sys.path[:] = [str(folder), *(place for place in sys.path if place not in ("", str(ROOT)))]
        os.environ["PYTHONPATH"] = str(folder)
        import pytest

        code = 0
        for test in tests:  # one after the other: most mutants don't live to see the second file
            code = code or int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", test]))
        os._exit(code)
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def run(mutants: Sequence[Mutant]) -> None:
    """Try mutants and keep what became of each: ``killed``, ``killed (too slow)`` or ``survived``.

    Raises:
        RuntimeError: the tests don't pass without a mutant.
    """
    _preload()
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name) / "code", Path(name) / "log"
        folder.mkdir()
        _copy(folder)
        for file in dict.fromkeys(mutant.file for mutant in mutants):
            began = time.monotonic()
            if _tested(folder, TESTS[file], log):
                raise RuntimeError(f"{file}: tests fail without a mutant\n{log.read_text()[-3000:]}")
            print(f"{file}: tests pass in {time.monotonic() - began:.0f} s", flush=True)
            for mutant in (mutant for mutant in mutants if mutant.file == file):
                place = folder / file
                original = place.read_text(encoding="utf-8")
                _write(place, original.replace(mutant.old, mutant.new))
                code = _tested(folder, TESTS[file], log)
                _write(place, original)
                outcome = {0: "survived", -1: "killed (too slow)"}.get(code, "killed")
                print(f"  {outcome}: {mutant.name}", flush=True)
                _keep(mutant, outcome)


def _write(path: Path, text: str) -> None:
    """Write a module and forget what was compiled of it: a change within a second may keep its size."""
    path.write_text(text, encoding="utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()


def results() -> dict[str, str]:
    """What became of the mutants so far, by name, in the table's order."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    return {mutant.name: kept[mutant.name] for mutant in MUTANTS if mutant.name in kept}


def _keep(mutant: Mutant, outcome: str) -> None:
    with FileLock(f"{RESULTS}.lock"):  # several may run beside each other
        outcomes = {**results(), mutant.name: outcome}
        ordered = {mutant.name: outcomes[mutant.name] for mutant in MUTANTS if mutant.name in outcomes}
        write_text(RESULTS, json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")


def main() -> int:
    """Try the mutants; 1 if one survives without an argument."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[""], help="mutants whose name holds one of these")
    parser.add_argument("--missing", action="store_true", help="those that have no result yet, or survived")
    given = parser.parse_args()
    if wrong := problems():
        print("\n".join(wrong))
        return 2
    done = {name for name, outcome in results().items() if outcome != "survived"} if given.missing else set()
    named = [mutant for mutant in MUTANTS if any(word in mutant.name for word in given.only)]
    run([mutant for mutant in named if mutant.name not in done])
    alive = [name for name, outcome in results().items() if outcome == "survived"]
    print(f"{len(results()) - len(alive)} of {len(results())} killed")
    return int(any(name not in ARGUED for name in alive))


if __name__ == "__main__":
    sys.exit(main())
