"""What the README tells a reader to type works: its blocks run here, section by section, in order."""

import re
import subprocess
from pathlib import Path

import page_commands
import pytest
import yaml

import diffgmm
from experiments.release import picture

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
QUICK = ("Start", "Python")
WRITTEN = {
    "Start": ["noisy.denoised.wav"],
    "Denoise": ["clean.wav", "clean.png", "clean.uncertainty.csv", "denoised"],
    "Python": ["clean.wav"],
    "Train": ["noisy.denoised.wav", "runs/mini/version_0/checkpoints/last.ckpt"],
    "Evaluate": ["scores.csv", "report.html"],
}


@pytest.mark.parametrize(
    "section", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in USED]
)
def test_section(section, workspace):
    if section == "Evaluate":  # what its reader has made before
        page_commands.run(workspace, "bash", "diffgmm denoise noisy -o denoised")
    for language, code in SECTIONS[section]:
        page_commands.run(workspace, language, code)
    assert [name for name in WRITTEN[section] if not (workspace / name).exists()] == []


def test_no_section_is_left_out():
    assert set(SECTIONS) == {*USED, "Install"}
    assert {language for blocks in SECTIONS.values() for language, _ in blocks} == {"bash", "python"}


def test_commands_of_install_exist():
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
    assert "make install" in elsewhere
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
    table = README.split("## How it works")[1].split("\n## ")[0]
    for row in re.findall(r"^\| (`.+?) \|", table, flags=re.MULTILINE):
        base = ROOT
        for name in re.findall(r"`([^`]+)`", row):
            here = ROOT / name if (ROOT / name).exists() else base / name
            assert here.exists(), f"README names {name} in {row}"
            base = here.parent if "/" in name.rstrip("/") else base


def test_scores_are_those_of_the_results():
    """The table gives the means of the page of results; what it leaves out is no worse a row than what it shows."""
    results = (ROOT / "experiments" / "RESULTS.md").read_text(encoding="utf-8")
    section = results.split("## cross-test")[1].split("###")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:1] == "|"
    ]
    measured = {
        cells[0].removesuffix("-nfe1-mean"): [re.sub(r"\*| ≈| \(.*", "", cell) for cell in cells[1:]]
        for cells in rows[2:]
    }
    shown = re.findall(r"^\| `?([a-z0-9]+)`?[^|]* \| (\d.*) \|$", README, flags=re.MULTILINE)
    assert len(shown) == 6
    for name, scores in shown:
        assert scores.split(" | ") == measured.pop(name)
    hidden_best = max(float(scores[0]) for scores in measured.values())
    assert hidden_best < min(float(scores.split(" | ")[0]) for name, scores in shown if name not in {"noisy"})


def test_readme_stays_short():
    assert len(README.splitlines()) <= 120


def test_citation_and_changelog_are_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == diffgmm.__version__ and citation["license"] == "MIT"
    assert f"\n## {diffgmm.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_picture_is_drawn(tmp_path):
    assert picture.main([str(tmp_path / "picture.png")]) == 0
    size = (tmp_path / "picture.png").stat().st_size
    assert 50_000 < size < 300_000
    assert size == pytest.approx((ROOT / "docs" / "images" / "before-after.png").stat().st_size, rel=0.2)
