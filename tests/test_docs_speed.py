"""What docs/speed.md tells a reader to type works, and the benchmark that fills its table runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from diffgmm import audio
from diffgmm.cli.main import main
from experiments.bench import speed
from experiments.release import marks

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]


def run(command: str) -> int:
    program, *arguments = shlex.split(command)
    assert program == "diffgmm"
    return main(arguments)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[np.ndarray, np.ndarray]) -> Path:
    monkeypatch.chdir(tmp_path)
    audio.write("noisy.wav", pair[1], 16000)
    return tmp_path


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 5 and all(mark in TEXT for mark in marks.marks())


@pytest.mark.parametrize("command", [one for one in COMMANDS if "export" not in one])
def test_denoising(command: str, workspace: Path) -> None:
    assert run(command) == 0 and (workspace / "noisy.denoised.wav").is_file()


@pytest.mark.slow
def test_exporting_and_live_sound(workspace: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    for command in COMMANDS:
        assert run(command) == 0, command
    names: dict = {}
    exec(TEXT.split("```python\n")[1].split("```")[0], names)
    blocks = np.split(pair[1], 30)
    assert sum(map(len, names["live"](blocks))) > 2 * 16000
    assert run("diffgmm denoise noisy.wav -o copied.wav --model copy.safetensors --backend onnxruntime") == 0
    x, y = (audio.read(name)[0] for name in ("copied.wav", "noisy.denoised.wav"))
    np.testing.assert_allclose(x, y, atol=1e-4)


@pytest.mark.slow
def test_the_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "speed.md"
    page.write_text("before\n" + "\n".join(marks.marks()) + "\nafter\n")
    options = [
        "--seconds",
        "0.1",
        "--repeats",
        "1",
        "--backends",
        "onnxruntime",
        "absent",
        "--model",
        "base",
        "small",
    ]
    assert speed.main([*options, "--markdown", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "| onnxruntime | 1-s window |" in text and text.count("| absent | not installed |") == 2
    assert "\n`base`, " in text and "\n\n`small`, " in text
    page.write_text("nothing")
    assert speed.main([*options, "--markdown", str(page)]) == 2 and "marks" in capsys.readouterr().err
