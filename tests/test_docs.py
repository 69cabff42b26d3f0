"""What docs/experiments.md tells a reader to type works, with shorter trainings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "experiments.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
LAUNCHER = f"""#!/usr/bin/env bash
short="trainer.max_epochs=1 data.epoch_size=8 data.valid_pairs=2 trainer.log_every_n_steps=1"
if [ "$1" = fit ]; then for one in $short; do set -- "$@" "--$one"; done; set -- "$@" --trainer.callbacks=null; fi
if [ "$1" = sweep ]; then set -- "$@" --trials 2; for one in $short; do set -- "$@" --set "$one"; done; fi
exec '{sys.executable}' -m diffgmm.cli.main "$@"
"""


def test_links_and_files_are_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if not link.startswith("https://")]
    assert links and [link for link in links if not (PAGE.parent / link).exists()] == []
    named = re.findall(r"(?<![\w/])experiments/[\w/.-]+\.yaml", "".join(BLOCKS))
    assert named and [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.slow
def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    for extra in ("optuna", "mlflow"):
        pytest.importorskip(extra, reason=f"the page is about {extra} too, which is not installed")
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    programs = tmp_path / ".bin"
    programs.mkdir()
    (programs / "diffgmm").write_text(LAUNCHER)
    (programs / "diffgmm").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "STUDY": f"sqlite:///{tmp_path / 'shared.db'}",
    }  # fmt: skip
    for block in BLOCKS:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    runs = tmp_path / "runs"
    for name in (
        "sweeps/mini/best.yaml",
        "reproduce/mini/table.md",
        "mlflow/mlflow.db",
    ):
        assert (runs / name).is_file(), name
