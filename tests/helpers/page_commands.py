"""The commands of a page of documentation, and a folder to run them in as its reader would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A reader waits for a training run; a test stops it after two steps. Nothing else of a command is changed.
SHORT_FIT = "--trainer.max_steps 2 --trainer.val_check_interval 2 --trainer.limit_val_batches 1"
LAUNCHER = f"""#!/usr/bin/env bash
if [ "$1" = fit ]; then set -- "$@" {SHORT_FIT}; fi
exec '{sys.executable}' -m diffgmm.cli.main "$@"
"""


def sections(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return ``{heading: [(language, code), ...]}``; the lines before the first heading count as "Start"."""
    blocks: dict[str, list[tuple[str, str]]] = {}
    heading = "Start"
    for match in re.finditer(r"^## ([^\n]+)$|^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        if match.group(1):
            heading = match.group(1)
        else:
            blocks.setdefault(heading, []).append((match.group(2), match.group(3)))
    return blocks


def commands(text: str) -> list[str]:
    """Return every command line of the bash blocks, `a && b` taken apart."""
    blocks = [code for blocks in sections(text).values() for language, code in blocks if language == "bash"]
    return [part.strip() for code in blocks for line in code.splitlines() for part in line.split("&&")]


def write_recordings(folder: Path) -> Path:
    """Two short pairs of the mini corpus, as ``clean/`` and ``noisy/`` in ``folder``."""
    from data_modules.offline.pair_folder import write_pairs

    write_pairs(folder, "test", 2, seconds=2.0, snrs=(5.0,))
    return folder


def fill_workspace(folder: Path, recordings: Path) -> Path:
    """A folder as the reader has it: a noisy file, folders of recordings, and the checkout's experiments."""
    clean, noisy = (sorted((recordings / kind).iterdir()) for kind in ("clean", "noisy"))
    shutil.copy(noisy[0], folder / "noisy.wav")
    for name, files in {"clean": clean, "noisy": noisy, "recordings": noisy}.items():
        (folder / name).mkdir()
        for file in files:
            shutil.copy(file, folder / name / file.name)
    for kind, group, files in (("my_speech", "speaker", clean), ("my_noise", "place", noisy)):
        for number, file in enumerate(files * 2):
            place = folder / kind / f"{group}{number}"
            place.mkdir(parents=True)
            shutil.copy(file, place / file.name)
    (folder / "experiments").symlink_to(ROOT / "experiments")
    programs = folder / ".bin"
    programs.mkdir()
    (programs / "diffgmm").write_text(LAUNCHER)
    (programs / "diffgmm").chmod(0o755)
    return folder


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
        command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{code}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    assert "Traceback" not in done.stderr
