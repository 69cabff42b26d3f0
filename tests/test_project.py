"""The project's own papers: packages, wheel, Makefile, licence, versions, and words that must stay out."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from setuptools import find_packages

import diffgmm

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOP_PACKAGES = ("diffgmm", "data_modules", "experiments")
MAKE_VARIABLES = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "VENV", "PYTHON", "JOBS"}
DATA_SUFFIXES = {".safetensors", ".json", ".flac", ".csv", ".md", ".yaml", ".txt"}


def tracked_files() -> list[Path]:
    """Return the files that git tracks, or skip the test where the sources are no git checkout."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run make in the checkout as a user would, not as a part of the make that may run these tests."""
    environment = {key: value for key, value in os.environ.items() if key not in MAKE_VARIABLES}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_package_list_equals_the_folders():
    on_disk = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for top in TOP_PACKAGES
        for file in (ROOT / top).rglob("__init__.py")
    }
    options = PYPROJECT["tool"]["setuptools"]["packages"]["find"]
    assert set(find_packages(ROOT, include=options["include"])) == on_disk


def test_no_folder_with_code_is_left_without_an_init_file():
    with_code = {file.parent for file in tracked_files() if file.suffix == ".py"}
    without_init = {
        folder.relative_to(ROOT).as_posix()
        for folder in with_code
        if folder.relative_to(ROOT).parts[:1] in [(top,) for top in TOP_PACKAGES]
        and not (folder / "__init__.py").exists()
    }
    assert without_init == set()


@pytest.mark.slow
def test_wheel_holds_every_module_and_data_file(tmp_path):
    wanted = {
        file.relative_to(ROOT).as_posix()
        for file in tracked_files()
        if file.relative_to(ROOT).parts[0] in TOP_PACKAGES and file.suffix in {".py", *DATA_SUFFIXES}
    }
    source = tmp_path / "source"  # building from a copy leaves no build/ folder in the checkout
    for file in tracked_files():
        target = source / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    built = subprocess.run(
        [*command, "-w", str(tmp_path), str(source)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("diffgmm-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = archive.read(f"diffgmm-{diffgmm.__version__}.dist-info/entry_points.txt").decode()
    assert wanted <= names, sorted(wanted - names)
    assert "diffgmm = diffgmm.cli.main:main" in entry_points
    assert not any(name.startswith("tests/") for name in names)


def test_data_patterns_match_the_files_beside_the_code():
    """The quick half of the wheel test: setuptools' patterns, applied to the folders."""
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]
    covered = {
        file
        for package, globs in patterns.items()
        for glob in globs
        for file in (ROOT / package.replace(".", "/")).glob(glob)
    }
    missing = [
        file.relative_to(ROOT).as_posix()
        for file in tracked_files()
        if file.relative_to(ROOT).parts[0] in TOP_PACKAGES and file.suffix != ".py" and file not in covered
    ]
    assert missing == []


def test_shipped_data_stays_small():
    """The mini corpus may take 12 MB and the models 20 MB, so that cloning and installing stay quick."""
    for folder, most in ((ROOT / "data_modules" / "mini", 12e6), (ROOT / "diffgmm" / "pretrained", 20e6)):
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < most


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (help .*)$", makefile, flags=re.MULTILINE)
    printed = make()
    assert printed.returncode == 0, printed.stderr
    listed = re.findall(r"^  make (\S+)", printed.stdout, flags=re.MULTILINE)
    assert listed == phony.split()


@pytest.mark.parametrize(
    "target",
    ["install", "demo", "test", "test-full", "lint", "format", "data", "train", "reproduce", "bench-ddp"],
)
def test_make_targets_parse(target, tmp_path):
    """`make -n` shows what would run: the target exists and its recipe runs in the chosen environment."""
    plan = make("-n", target, f"VENV={tmp_path / 'venv'}")
    assert plan.returncode == 0, plan.stderr
    assert f"{tmp_path / 'venv'}/bin/python" in plan.stdout
    assert not (tmp_path / "venv").exists()


def test_failed_install_leaves_no_stamp(tmp_path):
    """A python that cannot make environments: one clear line, and nothing that looks like an install."""
    broken = tmp_path / "python"
    broken.write_text('#!/bin/sh\nif [ "$1" = -m ]; then exit 1; fi\nexit 0\n')
    broken.chmod(0o755)
    run = make("install", f"VENV={tmp_path / 'venv'}", f"PYTHON={broken}")
    assert run.returncode != 0
    assert "cannot create environments" in run.stdout
    assert not (tmp_path / "venv" / ".diffgmm-installed").exists()


def test_ci_runs_the_command_that_the_readme_names():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in script and script.rstrip().endswith("make test")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    quick, slow = workflow["jobs"]["test"], workflow["jobs"]["slow"]
    assert {"run": ".ci/run"} in quick["steps"] and {"run": "make lint"} in quick["steps"]
    assert {"run": "make test-full"} in slow["steps"] and "schedule" in slow["if"]
    assert workflow[True]["schedule"]  # YAML reads the key `on` as true
    assert (
        PYPROJECT["project"]["requires-python"].removeprefix(">=") == quick["strategy"]["matrix"]["python"][0]
    )


def test_licence_is_mit_everywhere():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n")
    assert "Permission is hereby granted, free of charge" in text and "WITHOUT WARRANTY OF ANY KIND" in text
    assert PYPROJECT["project"]["license"] == "MIT"


def test_versions_agree():
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "diffgmm.utils.version.__version__"
    }
    assert re.fullmatch(r"\d+\.\d+\.\d+", diffgmm.__version__)


def test_no_machine_of_ours_is_named():
    """Paths of the machine that wrote a file, and addresses of package registries, help no reader."""
    folders = [b"ro" + b"ot", b"wo" + b"rk", b"home/[a-z]+", b"opt/" + b"wheels"]
    words = [re.compile(rb"(?<![\w.])/" + folder + rb"\b(?!-)") for folder in folders]
    words += [
        re.compile(word) for word in (b"py" + rb"pi\.", b"files\\.python" + b"hosted", rb"\.\./" + b"shared")
    ]
    found = [
        f"{file.relative_to(ROOT)}: {match.group().decode()}"
        for file in tracked_files()
        if file.suffix not in {".flac", ".safetensors"}
        for word in words
        if (match := word.search(file.read_bytes()))
    ]
    assert found == []


def test_the_page_of_licences_names_every_requirement() -> None:
    """Of the package and its extras; what only builds, tests and documents it is not given on."""
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").lower()
    project = PYPROJECT["project"]
    extras = {
        name: needs for name, needs in project["optional-dependencies"].items() if name not in ("dev", "docs")
    }
    needed = [*project["dependencies"], *(need for needs in extras.values() for need in needs)]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", need)[0]).lower() for need in needed} - {"diffgmm"}
    listed = set(re.findall(r"[\w-]+", page))
    assert len(names) > 30 and not names - listed
