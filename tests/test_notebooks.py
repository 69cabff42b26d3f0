"""The notebooks run from top to bottom, as somebody who opens them has it, and are kept without outputs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import page_commands
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_outputs_are_not_kept_and_the_page_lists_all() -> None:
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) == 5
    for path in NOTEBOOKS:
        cells = [
            cell
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "code"
        ]
        assert cells and not any(cell["outputs"] or cell["execution_count"] for cell in cells), path.name
        assert f"](../notebooks/{path.name})" in page


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder; of trainings, two steps."""
    nbclient = pytest.importorskip(
        "nbclient", reason="needs nbclient and ipykernel: pip install 'diffgmm[notebooks]'"
    )
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    programs = tmp_path / ".bin"
    programs.mkdir()
    (programs / "diffgmm").write_text(page_commands.LAUNCHER)
    (programs / "diffgmm").chmod(0o755)
    for name, value in {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "DIFFGMM_HOME": str(tmp_path / "home"), "WANDB_MODE": "offline", "IPYTHONDIR": str(tmp_path / "ipython"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    kernels = tmp_path / "kernels" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernels / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "this", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "kernels"))
    nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output.output_type for cell in notebook.cells for output in cell.get("outputs", [])]
    assert "error" not in shown and {"execute_result", "display_data", "stream"} & set(shown)
