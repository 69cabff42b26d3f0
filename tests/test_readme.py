"""What the README tells a reader to type works: its blocks run here, section by section, in order."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# A reader waits for a training run; a test stops it after two steps. Nothing else of a command is changed.
SHORT_FIT = "--trainer.max_steps 2 --trainer.val_check_interval 2 --trainer.limit_val_batches 1"
LAUNCHER = f"""#!/usr/bin/env bash
if [ "$1" = fit ]; then set -- "$@" {SHORT_FIT}; fi
exec '{sys.executable}' -m diffgmm.cli.main "$@"
"""


def sections() -> dict[str, list[tuple[str, str]]]:
    """Return ``{heading: [(language, code), ...]}``; the lines before the first heading count as "Start"."""
    found: dict[str, list[tuple[str, str]]] = {}
    heading = "Start"
    for match in re.finditer(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL):
        if match.group(1):
            heading = match.group(1)
        else:
            found.setdefault(heading, []).append((match.group(2), match.group(3)))
    return found


def commands() -> list[str]:
    """Return every command line of the bash blocks, `a && b` taken apart."""
    blocks = [code for blocks in sections().values() for language, code in blocks if language == "bash"]
    return [part.strip() for code in blocks for line in code.splitlines() for part in line.split("&&")]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Two short pairs of the mini corpus, written once."""
    from data_modules.offline.pair_folder import write_pairs

    folder = tmp_path_factory.mktemp("recordings") / "pairs"
    write_pairs(folder, "test", 2, seconds=2.0, snrs=(5.0,))
    return folder


@pytest.fixture
def workspace(tmp_path, recordings):
    """A folder as the reader has it: a noisy file, folders of recordings, and the checkout's experiments."""
    clean, noisy = (sorted((recordings / kind).iterdir()) for kind in ("clean", "noisy"))
    shutil.copy(noisy[0], tmp_path / "noisy.wav")
    for folder, files in {"clean": clean, "noisy": noisy, "recordings": noisy}.items():
        (tmp_path / folder).mkdir()
        for file in files:
            shutil.copy(file, tmp_path / folder / file.name)
    for number, file in enumerate(clean * 2):
        speaker = tmp_path / "my_speech" / f"speaker{number}"
        speaker.mkdir(parents=True)
        shutil.copy(file, speaker / file.name)
    for number, file in enumerate(noisy * 2):
        place = tmp_path / "my_noise" / f"place{number}"
        place.mkdir(parents=True)
        shutil.copy(file, place / file.name)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    programs = tmp_path / ".bin"
    programs.mkdir()
    (programs / "diffgmm").write_text(LAUNCHER)
    (programs / "diffgmm").chmod(0o755)
    return tmp_path


def run(workspace: Path, language: str, code: str) -> None:
    """Run one block as a process of its own; its whole output is shown if it fails."""
    environment = os.environ | {
        "PATH": f"{workspace / '.bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "offline",
        "DIFFGMM_HOME": str(workspace / "home"),
    }
    command = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{code}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    assert "Traceback" not in done.stderr


USED = [name for name, blocks in sections().items() if not any("make" in code.split() for _, code in blocks)]


@pytest.mark.parametrize("section", USED)
def test_section(section, workspace):
    if section == "Evaluate":  # what its reader has made before
        run(workspace, "bash", "diffgmm denoise noisy -o denoised")
    for language, code in sections()[section]:
        run(workspace, language, code)
    wanted = {
        "Start": ["noisy.denoised.wav"],
        "Denoise": [
            "clean.wav",
            "clean.png",
            *(f"denoised/{f.name}" for f in (workspace / "noisy").iterdir()),
        ],
        "Python": ["clean.wav"],
        "Evaluate": ["scores.csv", "report.html"],
        "Corpora": ["home/corpora/mine/manifest.csv", "home/corpora/mine/corpus.json"],
        "Train": ["noisy.denoised.wav", "runs/mini/version_0/checkpoints/last.ckpt"],
    }
    missing = [name for name in wanted[section] if not (workspace / name).exists()]
    assert missing == []


def test_no_section_is_left_out():
    assert set(sections()) == {*USED, "Install", "Tests"}
    assert {language for blocks in sections().values() for language, _ in blocks} == {"bash", "python"}


def test_commands_of_install_and_tests_exist():
    """These take minutes: their plan is checked here, and continuous integration runs `make test` itself."""
    elsewhere = [command for command in commands() if not command.startswith("diffgmm ")]
    for command in elsewhere:
        program, *arguments = command.split()
        if program == "make":
            assert (
                subprocess.run(
                    ["make", "-n", *arguments], cwd=ROOT, capture_output=True, check=False
                ).returncode
                == 0
            )
        else:
            assert command in {
                "git clone <this repository> diffgmm",
                "cd diffgmm",
                "source .venv/bin/activate",
            }
    assert {"make install", "make demo", "make test"} <= set(elsewhere)
    named = set(
        re.findall(r"`make ([a-z-]+)`", README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    )
    targets = set(
        re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert named <= targets


def test_links_and_paths_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("https://")]
    assert [link for link in links if not (ROOT / link).exists()] == []
    table = README.split("## Where things are")[1].split("\n## ")[0]
    for row in re.findall(r"^\| (`.+?) \|", table, flags=re.MULTILINE):
        base = ROOT
        for name in re.findall(r"`([^`]+)`", row):
            here = ROOT / name if (ROOT / name).exists() else base / name
            assert here.exists(), f"README names {name} in {row}"
            base = here.parent if "/" in name.rstrip("/") else base


def test_readme_stays_short():
    assert len(README.splitlines()) < 200
