"""Imports point one way, and cheap commands stay cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("diffgmm", "data_modules", "experiments")

#: What a part of diffgmm may import of it, besides itself. Parts not named here: anything below cli.
BASE = {"audio", "mixture", "process"}
ALLOWED = {
    "audio": set(),
    "mixture": set(),
    "process": set(),
    "rules": set(),
    "representation": BASE | {"rules"},
    "listeners": set(),
    "loss_inputs": BASE | {"representation"},  # losses on the decoded window need its context
    "losses": {"listeners", "loss_inputs"},
    "metrics": BASE,
    "networks": BASE,
    "samplers": BASE,
    "longform": {"audio"},
    "fir": {"longform"},
    "rates": {"audio", "fir", "longform"},
    "model": BASE | {"representation", "networks", "samplers", "shipped"},
    "blocks": set(),
    "sampling": {"samplers"},
    "tracks": {"audio", "longform"},
    "uncertainty": BASE | {"representation", "tracks"},
    "shipped": set(),
    "onestep": BASE | {"model", "networks", "representation"},
    "backends": BASE | {"model", "networks", "onestep", "shipped"},
    "windowed": BASE | {"backends", "shipped", "longform", "model", "samplers", "sampling", "tracks"},
    "uncertain": BASE | {"blocks", "longform", "model", "rates", "tracks", "uncertainty", "inference"},
    "inference": BASE
    | {"backends", "blocks", "rates", "sampling", "shipped", "tracks", "uncertain", "windowed"},
    "peers": set(),  # they also run in an interpreter without diffgmm
    "results": {"audio"},
    "provenance": {"versions"},
    "streaming": {"blocks", "fir", "inference", "longform", "rates", "sampling"},
}


class Import(NamedTuple):
    file: Path
    line: int
    module: str  # dotted, absolute
    runs_on_import: bool  # at module level, and not only for type checkers

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def imports_of(file: Path) -> Iterator[Import]:
    package = file.relative_to(ROOT).parent.parts

    def visit(node: ast.AST, runs: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(file, child.lineno, alias.name, runs) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                start = package[: len(package) + 1 - child.level] if child.level else ()
                base = ".".join([*start, *([child.module] if child.module else [])])
                yield from (Import(file, child.lineno, f"{base}.{alias.name}", runs) for alias in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                yield from visit(child, False)
            else:
                yield from visit(
                    child, runs and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
                )

    yield from visit(ast.parse(file.read_text(encoding="utf-8")), True)


ALL = [
    found
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
    for found in imports_of(file)
]


def part(file: Path) -> str:
    """``audio`` for diffgmm/audio/reader.py, ``model`` for diffgmm/model.py, nothing for __init__.py."""
    first = file.relative_to(ROOT / "diffgmm").parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def inside(package: str) -> list[Import]:
    return [found for found in ALL if found.file.is_relative_to(ROOT / package)]


def test_there_are_imports_to_judge() -> None:
    assert len(ALL) > 100 and {found.file.relative_to(ROOT).parts[0] for found in ALL} >= {
        "diffgmm",
        "data_modules",
    }


def test_parts_of_diffgmm_import_only_what_lies_below() -> None:
    wrong = []
    for found in inside("diffgmm"):
        names = found.module.split(".")
        if names[0] != "diffgmm" or len(names) < 2 or names[1].startswith("__"):
            continue
        own, target = part(found.file), names[1]
        below_cli = own == "cli" or target != "cli"
        if target != own and not (below_cli and target in ALLOWED.get(own, {target})):
            wrong.append(str(found))
    assert not wrong, "\n".join(wrong)


def test_below_cli_nothing_knows_corpora_or_experiments() -> None:
    wrong = [
        str(found)
        for found in inside("diffgmm")
        if found.module.split(".")[0] in ("data_modules", "experiments")
        and (
            part(found.file) != "cli" or found.runs_on_import
        )  # the verb that needs it imports it when it runs
    ]
    assert not wrong, "\n".join(wrong)


def test_data_modules_know_only_the_audio_of_diffgmm() -> None:
    wrong = [
        str(found)
        for found in inside("data_modules")
        if found.module.split(".")[0] == "experiments"
        or (
            found.module.split(".")[0] == "diffgmm"
            and found.module.split(".")[1] not in ("audio", "__version__")
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_lightning_is_loaded_only_where_it_is_trained() -> None:
    def may(file: Path) -> bool:
        path = file.relative_to(ROOT)
        places = (Path("diffgmm/denoiser.py"), Path("diffgmm/cli/train.py"))
        return path in places or path.parts[0] == "data_modules" or path.parts[:2] == ("diffgmm", "callbacks")

    wrong = [
        str(found)
        for found in ALL
        if found.runs_on_import
        and found.module.split(".")[0] in ("lightning", "pytorch_lightning", "lightning_fabric")
        and not may(found.file)
    ]
    assert not wrong, "\n".join(wrong)


def test_torchaudio_is_imported_in_one_guarded_place() -> None:
    """A CUDA build of it beside a CPU build of torch raises OSError on import."""
    places = [found for found in ALL if found.module.split(".")[0] == "torchaudio"]
    assert len({found.file for found in places}) <= 1, [str(found) for found in places]
    for found in places:
        guards = [
            {
                name.id
                for handler in node.handlers
                for name in ast.walk(handler.type or handler)
                if isinstance(name, ast.Name)
            }
            for node in ast.walk(ast.parse(found.file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Try)
            and node.body[0].lineno <= found.line <= (node.body[-1].end_lineno or 0)
        ]
        assert any({"ImportError", "OSError"} <= names for names in guards), str(found)


def loaded(*command: str) -> set[str]:
    """Top-level packages that Python reports as imported while the command runs."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    modules = [
        line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")
    ]
    return {name.split(".")[0] for name in modules}


HEAVY = {
    "lightning",
    "pytorch_lightning",
    "torch",
    "torchaudio",
    "torchmetrics",
    "librosa",
    "matplotlib",
    "wandb",
}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        *(
            [verb, "--help"]
            for verb in ("denoise", "benchmark", "report", "prepare", "sweep", "runs", "reproduce", "info")
        ),
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert not loaded("-m", "diffgmm.cli.main", *arguments) & (HEAVY | {"data_modules"})


def test_inference_does_without_training() -> None:
    names = loaded("-c", "import diffgmm.inference, diffgmm.cli.denoise")
    assert "torch" not in names and "scipy" not in names  # a back end does without
    assert not names & {
        "lightning",
        "pytorch_lightning",
        "torchaudio",
        "torchmetrics",
        "librosa",
        "data_modules",
        "wandb",
    }
