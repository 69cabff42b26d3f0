"""The light install: what is packed denoises with the few packages that it names, and says what needs more."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import page_commands
import pytest
import soundfile
from packaging.requirements import Requirement
from test_project import PYPROJECT, tracked_files

from diffgmm.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
LIGHT = [
    Requirement(line)
    for line in (ROOT / "requirements-light.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def test_requirements_are_those_of_the_project() -> None:
    everything = {r.name: r.specifier for r in map(Requirement, PYPROJECT["project"]["dependencies"])}
    assert {r.name: r.specifier for r in LIGHT}.items() <= everything.items()
    assert "torch" not in closure([r.name for r in LIGHT])


def closure(names: list[str]) -> set[str]:
    """These distributions and all that they require, as installed here."""
    found: set[str] = set()
    while names:
        name = names.pop().lower()
        if name not in found:
            found.add(name)
            for line in metadata.requires(name) or []:
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    names.append(requirement.name)
    return found


def lend(environment: Path, names: set[str]) -> None:
    """Give an environment the packages of this one, by links: what an index would give, without a network."""
    (site,) = environment.glob("lib/python*/site-packages")
    for name in names:
        distribution = metadata.distribution(name)
        for top in {
            file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")
        }:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the tracked files as a clone has them, and the sdist that is built from it."""
    source = tmp_path_factory.mktemp("clone") / "diffgmm"
    for file in tracked_files():
        target = source / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    out = tmp_path_factory.mktemp("dist")
    code = f"from setuptools import build_meta; print(build_meta.build_sdist({str(out)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True, timeout=300)
    (sdist,) = out.glob("*.tar.gz")
    return source, sdist


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Path]:
    """A clean environment with the light requirements, setuptools to build with, and nothing of this one."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=300)
    lend(folder, closure([r.name for r in LIGHT]) | {"pip", "setuptools"})
    return folder


def call(environment: Path, *command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of an environment as its user does."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables |= {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def install(environment: Path, *what: str | Path, cwd: Path) -> None:
    python = environment / "bin" / "python"
    done = call(
        environment, python, "-m", "pip", "install", "--no-build-isolation", "--no-index", *what, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def noisy(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    soundfile.write(folder / "noisy.wav", pair[1], 16000)
    return folder


@pytest.mark.slow
def test_commands_of_the_page_denoise_without_pytorch(
    packed: tuple[Path, Path], environment: Path, noisy: Path
) -> None:
    """Installed from a clone, as docs/light.md has it, the command gives what the full install gives."""
    page = page_commands.sections((ROOT / "docs" / "light.md").read_text(encoding="utf-8"))
    first, second, denoise = (line for _, code in page["Start"] for line in code.splitlines())
    assert first == "pip install -r requirements-light.txt" and denoise.startswith(
        "diffgmm denoise noisy.wav "
    )
    for line in (first, second):  # what the first installs is there already; so pip finds
        install(environment, *line.split()[2:], cwd=packed[0])
    done = call(environment, *denoise.split(), cwd=noisy)
    assert done.returncode == 0, done.stderr
    assert (
        main(["denoise", str(noisy / "noisy.wav"), "-o", str(noisy / "full.wav"), "--backend", "onnxruntime"])
        == 0
    )
    assert (noisy / "clean.wav").read_bytes() == (noisy / "full.wav").read_bytes()

    check = "import diffgmm, numpy, sys; assert diffgmm.denoise(numpy.zeros(8000, 'float32'), 8000).shape == (8000,)"
    done = call(environment, "python", "-c", f"{check}; assert 'torch' not in sys.modules", cwd=noisy)
    assert done.returncode == 0, done.stderr
    assert call(environment, "diffgmm", "info", cwd=noisy).returncode == 0
    wanting = {
        "--uncertainty": "torch",
        "--nfe 2": "torch",
        "--backend torch": "torch",
        "--picture": "matplotlib",
    }
    for options, package in wanting.items():
        line = f"diffgmm denoise noisy.wav -o more.wav {options}"
        done = call(environment, *line.split(), cwd=noisy)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"diffgmm: error: this needs the package {package}, ")
        assert not (noisy / "more.wav").exists()


@pytest.mark.slow
def test_the_sdist_gives_a_wheel_that_works(
    packed: tuple[Path, Path], environment: Path, noisy: Path
) -> None:
    with tarfile.open(packed[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "README.md",
        "LICENSE",
        "pyproject.toml",
        "diffgmm/pretrained/base.onnx",
        "diffgmm/page/player.js",
    } <= names
    install(environment, "--no-deps", packed[1], cwd=noisy)
    done = call(environment, "diffgmm", "denoise", "noisy.wav", cwd=noisy)
    assert done.returncode == 0 and (noisy / "noisy.denoised.wav").exists(), done.stderr


@pytest.mark.slow
def test_commands_of_the_dockerfile(
    packed: tuple[Path, Path], environment: Path, noisy: Path, tmp_path: Path
) -> None:
    """No engine runs here: its commands do, in a clean environment, on the files that .dockerignore lets through."""
    lines = [
        line.split(maxsplit=1) for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    ]
    steps = [(word, rest) for word, rest in lines if word != "#"]
    assert [word for word, _ in steps] == ["FROM", "COPY", "RUN", "RUN", "USER", "WORKDIR", "ENTRYPOINT"]
    kept = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line[0] == "!"
    ]
    context = tmp_path / "src"
    context.mkdir()
    for name in kept:
        (context / name).symlink_to(packed[0] / name)
    lend(environment, {"av"})
    for _, command in steps[2:4]:
        arguments = shlex.split(command.partition("&&")[0].replace("/src", str(context)))
        assert arguments[:2] == ["pip", "install"]
        install(environment, *arguments[2:], cwd=noisy)
    (program,) = re.findall(r'\["(\w+)"\]', steps[-1][1])
    usage = page_commands.commands((ROOT / "docs" / "light.md").read_text(encoding="utf-8"))[-1]
    assert usage.startswith("docker run ")
    done = call(environment, program, *usage.partition(" diffgmm ")[2].split(), cwd=noisy)
    assert done.returncode == 0 and (noisy / "noisy.denoised.wav").exists(), done.stderr
