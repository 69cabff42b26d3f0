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

#: Every room and the rooms it may import, bottom up. The root ``diffgmm/__init__.py`` imports the version alone.
ROOMS: dict[str, set[str]] = {
    "diffgmm/utils": set(),
    "diffgmm/networks": set(),
    "diffgmm/audio": {"diffgmm/utils"},
    "diffgmm/diffusion": {"diffgmm/networks", "diffgmm/utils"},
    "diffgmm/metrics": {"diffgmm/diffusion", "diffgmm/audio", "diffgmm/utils"},
    "diffgmm/inference": {"diffgmm/diffusion", "diffgmm/networks", "diffgmm/audio", "diffgmm/utils"},
    "diffgmm/page": {"diffgmm/inference", "diffgmm/diffusion", "diffgmm/audio", "diffgmm/utils"},
    "data_modules": {"diffgmm/audio", "diffgmm/utils"},
    "diffgmm/training": {
        "diffgmm/metrics", "diffgmm/diffusion", "diffgmm/networks", "diffgmm/audio", "diffgmm/utils",
    },
    "diffgmm/evaluation": {
        "diffgmm/inference", "diffgmm/metrics", "diffgmm/diffusion", "diffgmm/audio", "diffgmm/utils",
    },
    "diffgmm/report": {
        "diffgmm/evaluation", "diffgmm/training", "diffgmm/inference", "diffgmm/metrics", "diffgmm/diffusion",
        "diffgmm/audio", "diffgmm/utils",
    },
    "diffgmm/workflows": {
        "diffgmm/report", "diffgmm/evaluation", "diffgmm/training", "diffgmm/metrics", "diffgmm/utils", "data_modules",
    },
    "diffgmm/cli": {
        "diffgmm/workflows", "diffgmm/report", "diffgmm/evaluation", "diffgmm/training", "diffgmm/page",
        "diffgmm/inference", "diffgmm/metrics", "diffgmm/diffusion", "diffgmm/audio", "diffgmm/utils", "data_modules",
    },
    "experiments": {
        "diffgmm/cli", "diffgmm/evaluation", "diffgmm/training", "diffgmm/inference", "diffgmm/metrics",
        "diffgmm/diffusion", "diffgmm/audio", "diffgmm/utils", "data_modules",
    },
}  # fmt: skip
#: Packages that do without the rest of the project, since they also run in other interpreters.
ALONE = ("diffgmm/evaluation/baselines",)
#: The floor plan as it was agreed; a better one has smaller figures.
ROOM_COUNT, FLOORS, ARROWS = 14, 8, 60


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


def room(file: Path) -> str:
    """``diffgmm/audio`` for diffgmm/audio/reader.py, ``data_modules`` for any file there."""
    parts = file.relative_to(ROOT).parts
    return "/".join(parts[:2]) if parts[0] == "diffgmm" else parts[0]


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(file): file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))}
TRIAL = Path("diffgmm/workflows/sweep/trial.py")  # a callback, for the trials of a sweep
ROOT_INIT = ROOT / "diffgmm" / "__init__.py"


def imported_file(module: str) -> Path | None:
    """The file of ours that an import reads, if any: ``a.b.name`` may be a module or a name in ``a.b``."""
    while module and module not in FILES:
        module = module.rpartition(".")[0]
    return FILES.get(module)


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Groups of nodes that reach one another."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        pending = [start]
        while pending:
            for target in arrows.get(pending.pop(), set()) - seen:
                seen.add(target)
                pending.append(target)
        return seen

    reach = {node: reached(node) for node in arrows}
    groups = ({other for other in reach[node] if node in reach.get(other, set())} for node in arrows)
    return [set(group) for group in {frozenset(group) for group in groups if len(group) > 1}]


def arrows_between_files() -> dict[str, set[str]]:
    arrows: dict[str, set[str]] = {str(file.relative_to(ROOT)): set() for file in FILES.values()}
    for found in ALL:
        target = imported_file(found.module)
        if target not in (None, found.file):
            arrows[str(found.file.relative_to(ROOT))].add(str(target.relative_to(ROOT)))  # type: ignore[union-attr]
    return arrows


def arrows_between_rooms() -> dict[str, set[str]]:
    arrows: dict[str, set[str]] = {name: set() for name in ROOMS}
    for source, targets in arrows_between_files().items():
        for target in targets if ROOT / source != ROOT_INIT else ():
            if ROOT / target != ROOT_INIT and room(ROOT / source) != room(ROOT / target):
                arrows[room(ROOT / source)].add(room(ROOT / target))
    return arrows


def test_there_are_imports_to_judge() -> None:
    assert len(ALL) > 100 and {found.file.relative_to(ROOT).parts[0] for found in ALL} >= set(PACKAGES)


def test_every_module_that_is_imported_is_here() -> None:
    """Another version that is installed beside this one would otherwise lend its modules."""
    bases = {
        found: found.module if found.module in FILES else found.module.rpartition(".")[0] for found in ALL
    }
    gone = [
        str(found)
        for found, base in bases.items()
        if found.module.split(".")[0] in PACKAGES and base not in FILES
    ]
    assert not gone, "\n".join(gone)


def test_every_file_lies_in_a_room_of_the_table() -> None:
    homeless = [str(file) for file in FILES.values() if file != ROOT_INIT and room(file) not in ROOMS]
    assert not homeless, homeless
    assert not [
        found
        for found in ALL
        if found.file == ROOT_INIT
        and found.runs_on_import
        and found.module.split(".")[0] in PACKAGES
        and found.module != "diffgmm.utils.version.__version__"
    ]


def test_rooms_import_only_what_lies_below() -> None:
    names = list(ROOMS)
    assert not [
        (name, up) for name, below in ROOMS.items() for up in below if names.index(up) >= names.index(name)
    ]
    wrong = [
        str(found)
        for found in ALL
        for target in [imported_file(found.module)]
        if target not in (None, ROOT_INIT)
        and found.file != ROOT_INIT
        and room(target) != room(found.file)  # type: ignore[arg-type]
        and room(target) not in ROOMS.get(room(found.file), set())  # type: ignore[arg-type]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_house_keeps_its_figures(record_property: pytest.FixtureRequest) -> None:
    """`pytest -s` shows rooms, floors, arrows and circles."""
    arrows = arrows_between_rooms()

    def floor(name: str) -> int:
        return 1 + max((floor(below) for below in arrows[name]), default=0)

    floors = max(map(floor, arrows))
    count = sum(map(len, arrows.values()))
    file_circles, room_circles = circles(arrows_between_files()), circles(arrows)
    print(
        f"\n{len(arrows)} rooms, {floors} floors, {count} arrows, "
        f"{len(room_circles)} circles of rooms, {len(file_circles)} of files"
    )
    assert not room_circles and not file_circles, (room_circles, file_circles)
    assert len(arrows) <= ROOM_COUNT and floors <= FLOORS and count <= ARROWS


def test_the_table_names_no_arrow_that_is_not_there() -> None:
    assert {name: below - arrows_between_rooms()[name] for name, below in ROOMS.items()} == {
        name: set() for name in ROOMS
    }


def test_parts_that_stand_alone_import_nothing_of_ours() -> None:
    wrong = [
        str(found)
        for found in ALL
        for folder in ALONE
        if found.file.is_relative_to(ROOT / folder)
        and found.module.split(".")[0] in PACKAGES
        and not found.module.startswith(folder.replace("/", "."))
    ]
    assert not wrong, "\n".join(wrong)


def test_commands_load_corpora_only_when_they_run() -> None:
    wrong = [
        str(found)
        for found in ALL
        if found.file.is_relative_to(ROOT / "diffgmm")
        and found.module.split(".")[0] == "data_modules"
        and found.runs_on_import
    ]
    assert not wrong, "\n".join(wrong)


def test_lightning_is_loaded_only_where_it_is_trained() -> None:
    def may(file: Path) -> bool:
        path = file.relative_to(ROOT)
        return path.parts[0] == "data_modules" or path.parts[:2] == ("diffgmm", "training") or path == TRIAL

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
    "gradio",
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
            for verb in (
                "denoise",
                "demo",
                "live",
                "animate",
                "benchmark",
                "report",
                "prepare",
                "sweep",
                "runs",
                "reproduce",
                "info",
            )
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
