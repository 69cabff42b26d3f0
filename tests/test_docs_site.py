"""The site builds strictly, works without a network, and the commands of its pages run."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import page_commands
import pytest
import soundfile
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
#: What each page's commands leave behind. Pages with tests of their own are not here.
WRITTEN = {
    "index.md": ["noisy.denoised.wav", "clean.wav", "runs/mini/version_0/checkpoints/last.ckpt"],
    "denoise.md": ["clean.wav", "clean.png", "denoised", "noisy.gif", "steps.mp4"],
    "evaluation.md": ["scores.csv", "report.html"],
    "corpora.md": ["home/corpora/mine/manifest.csv", "home/corpora/mine/corpus.json"],
}


def pages(nav: list) -> list[str]:
    """Paths in a nav of MkDocs, in its order."""
    entries = [value for entry in nav for value in (entry.values() if isinstance(entry, dict) else [entry])]
    return [path for entry in entries for path in (pages(entry) if isinstance(entry, list) else [entry])]


def test_every_page_is_in_the_navigation() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = pages(config["nav"])
    assert len(set(listed)) == len(listed)
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert written - set(listed) <= {"extending.md"}
    models = {f"models/{path.stem}.md" for path in (ROOT / "diffgmm" / "pretrained").glob("*.json")}
    assert models == {path for path in listed if path.startswith("models/")}


def test_examples_of_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("griffe", reason="the extra docs is not installed")
    monkeypatch.syspath_prepend(DOCS)
    outcome = doctest.testmod(importlib.import_module("doctests"))
    assert outcome.attempted and not outcome.failed


@pytest.mark.slow
@pytest.mark.parametrize("page", WRITTEN)
def test_commands_of_a_page_run(page: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    recordings = page_commands.write_recordings(tmp_path_factory.mktemp("recordings") / "pairs")
    page_commands.fill_workspace(tmp_path, recordings)
    if page == "evaluation.md":  # what its reader has made before
        page_commands.run(tmp_path, "bash", "diffgmm denoise noisy -o denoised")
    for blocks in page_commands.sections((DOCS / page).read_text(encoding="utf-8")).values():
        for language, code in blocks:
            if not re.search(r"\bmake\b", code):
                page_commands.run(tmp_path, language, code)
    assert [name for name in WRITTEN[page] if not (tmp_path / name).exists()] == []


@pytest.mark.slow
def test_the_site_builds_strictly_and_needs_no_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "site"
    built = {
        path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")
    }
    fetched = (
        r'<(?:script|img|iframe)[^>]*\ssrc="?(?:https?:)?//'
        r'|<link[^>]*rel="?(?:stylesheet|preload)"?[^>]*href="?(?:https?:)?//'
    )
    assert [name for name, page in built.items() if re.search(fetched, page)] == []
    assert built["method.html"].count("<math") > 100
    assert not any("arithmatex" in page for page in built.values())
    assert "--uncertainty" in built["reference/commands.html"]
    assert "2,017,988" in built["models/base.html"]
    sounds = re.findall(r'<audio[^>]* src="(gallery/[^"]+)"', built["gallery.html"])
    assert len(sounds) == 12 and all(soundfile.info(site / sound).duration == 4.0 for sound in sounds)
    for noisy, denoised in zip(sounds[::2], sounds[1::2], strict=True):
        before, after = (soundfile.read(site / sound)[0] for sound in (noisy, denoised))
        assert 0.2 < np.square(after).mean() / np.square(before).mean() < 0.98, denoised
    assert 'id="diffgmm.inference.denoiser.Denoiser.denoise"' in built["reference/inference.html"]
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", style.read_text(encoding="utf-8")), style
