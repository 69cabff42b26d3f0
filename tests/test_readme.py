"""What the README tells a reader to type works: its blocks run here, section by section, in order."""

import re
import subprocess
from pathlib import Path

import page_commands
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

SECTIONS = page_commands.sections(README)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return page_commands.write_recordings(tmp_path_factory.mktemp("recordings") / "pairs")


@pytest.fixture
def workspace(tmp_path, recordings):
    return page_commands.fill_workspace(tmp_path, recordings)


USED = [name for name, blocks in SECTIONS.items() if not any("make" in code.split() for _, code in blocks)]


@pytest.mark.parametrize("section", USED)
def test_section(section, workspace):
    if section == "Evaluate":  # what its reader has made before
        page_commands.run(workspace, "bash", "diffgmm denoise noisy -o denoised")
    for language, code in SECTIONS[section]:
        page_commands.run(workspace, language, code)
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
    assert set(SECTIONS) == {*USED, "Install", "Tests"}
    assert {language for blocks in SECTIONS.values() for language, _ in blocks} == {"bash", "python"}


def test_commands_of_install_and_tests_exist():
    """These take minutes: their plan is checked here, and continuous integration runs `make test` itself."""
    elsewhere = [command for command in page_commands.commands(README) if not command.startswith("diffgmm ")]
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
