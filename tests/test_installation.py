"""Wheel and source distribution, built from the tracked files, run in a clean environment outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_project import ROOT, tracked_files


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is tracked: building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("source") / "diffgmm"
    for file in tracked_files():
        target = folder / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return folder


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that knows nothing of this checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr[-3000:]
    return done.stdout


def built(source: Path, kind: str, folder: Path) -> Path:
    """The distribution, and of a source distribution the wheel that it gives."""
    hook = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(folder)!r}))"
    name = run(sys.executable, "-c", hook, cwd=source).splitlines()[-1]
    if kind == "wheel":
        return folder / name
    wheels = folder / "wheels"
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "-w", wheels]
    run(sys.executable, "-m", "pip", "wheel", "-q", *offline, folder / name, cwd=folder)
    (wheel,) = wheels.iterdir()
    return wheel


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_distribution_runs_by_itself(source: Path, tmp_path: Path, kind: str) -> None:
    """The environment has this one's libraries, as nothing is fetched here, but not this project."""
    wheel = built(source, kind, tmp_path)
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    bin_folder = environment / "bin"
    (packages,) = environment.glob("lib/python*/site-packages")
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "libraries.pth").write_text("\n".join(sorted(libraries)) + "\n")
    run(bin_folder / "python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel, cwd=tmp_path)

    work = tmp_path / "work"
    work.mkdir()
    where = run(bin_folder / "python", "-c", "import diffgmm; print(diffgmm.__file__)", cwd=work).strip()
    assert Path(where).is_relative_to(packages.resolve()) or Path(where).is_relative_to(packages)
    soundfile.write(
        work / "noisy.wav", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000, subtype="PCM_16"
    )
    assert run(bin_folder / "diffgmm", "--version", cwd=work).startswith("diffgmm ")
    run(bin_folder / "diffgmm", "denoise", "noisy.wav", cwd=work)
    assert soundfile.info(work / "noisy.denoised.wav").frames == 16000
    short = [
        "--trainer.fast_dev_run",
        "true",
        "--data.epoch_size",
        "8",
        "--data.valid_pairs",
        "2",
        "--data.cache",
        "cache",
    ]
    run(bin_folder / "diffgmm", "fit", "--config", "experiments/mini.yaml", *short, cwd=work)
