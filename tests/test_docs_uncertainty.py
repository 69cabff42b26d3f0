"""What docs/uncertainty.md tells a reader to type works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "uncertainty.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_named_files_are_there() -> None:
    named = re.findall(r"`((?:tests|diffgmm|docs)/[\w/.-]+)`", TEXT)
    assert named and [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.slow
def test_every_block_of_the_page_runs(tmp_path: Path) -> None:
    from data_modules.offline.pair_folder import write_pairs

    write_pairs(tmp_path / "pairs", "test", 1, seconds=3.0, snrs=(5.0,))
    (noisy,) = (tmp_path / "pairs" / "noisy").iterdir()
    samples, rate = soundfile.read(noisy)
    soundfile.write(tmp_path / "noisy.wav", samples, rate)
    programs = tmp_path / ".bin"
    programs.mkdir()
    for name, start in (("diffgmm", "-m diffgmm.cli.main"), ("python", "")):
        (programs / name).write_text(f"#!/bin/sh\nexec '{sys.executable}' {start} \"$@\"\n")
        (programs / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "DIFFGMM_HOME": str(tmp_path / "home"),
    }  # fmt: skip
    for language, code in BLOCKS:
        shell = ["bash", "-euo", "pipefail", "-c", code]
        command = shell if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {
        "clean.wav", "clean.uncertainty.csv", "clean.uncertainty.png", "clean.npz", "mine.json", "mine.safetensors",
    }  # fmt: skip


def test_pieces_are_put_together_by_what_is_told_of_them() -> None:
    from experiments.bench.uncertainty import tenths

    told = np.random.default_rng(0).permutation(np.repeat(10.0 ** -np.arange(10), 20))
    told_db, true_db, low, high = tenths(told, 0.1 * told)
    np.testing.assert_allclose(told_db, 10.0 * np.arange(-9, 1), atol=1e-9)
    np.testing.assert_allclose(true_db, told_db - 10.0, atol=1e-9)
    np.testing.assert_allclose([low, high], [true_db, true_db], atol=1e-9)


@pytest.mark.slow
def test_the_measurement_fills_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from experiments.bench.uncertainty import main
    from experiments.release.marks import marks

    page = tmp_path / "page.md"
    page.write_text("before\n")
    assert main(["--data", "mini", "--pairs", "2", "--markdown", str(page)]) == 2
    assert "lacks the marks" in capsys.readouterr().err
    begin, end = marks()
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    picture = tmp_path / "curve.svg"
    assert main(["--data", "mini", "--pairs", "2", "--markdown", str(page), "--picture", str(picture)]) == 0
    assert picture.read_text().count("as told") and "valid" in picture.read_text()
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "`base`, 2 pairs of `mini` per split." in text and "| nothing | 1.000 |" in text
    (ranks,) = re.findall(r"single bins \(median of files\) \| (\S+) \| (\S+) \|", text)
    assert all(float(rank) > 0.5 for rank in ranks)
    assert main(["--data", "none-such"]) == 1
