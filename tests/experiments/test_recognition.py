"""Word error rates before and after denoising, on prompts in noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from experiments.bench.recognition import interval, main
from experiments.release.marks import marks

PROMPTS = Path(__file__).parents[2] / "data_modules/mini/train/speech/allison"


def test_the_interval_holds_a_change_that_is_the_same_everywhere() -> None:
    words = np.array([4.0, 8.0, 12.0])
    assert interval(-0.25 * words, words) == pytest.approx((-25.0, -25.0))
    low, high = interval(np.array([4.0, -4.0, 0.0]), words)
    assert low < 0 < high


@pytest.mark.slow
def test_word_error_rates_fill_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("moonshine_voice")
    generator = np.random.default_rng(0)
    for path in sorted(PROMPTS.glob("*.flac"))[:3]:
        clean, rate = soundfile.read(path)
        for kind, level in (("clean", 0.0), ("noisy", 2.0)):
            (tmp_path / kind).mkdir(exist_ok=True)
            noise = level * np.sqrt(np.mean(clean**2)) * generator.standard_normal(len(clean))
            soundfile.write(tmp_path / kind / f"{path.stem}.wav", 0.3 * (clean + noise), rate)
    page = tmp_path / "page.md"
    page.write_text("\n".join(["before", *marks(), "after"]))
    arguments = ["--set", str(tmp_path), "--models", "base", "--strengths", "1", "--markdown", str(page)]
    assert main(arguments) == 0
    lines = page.read_text().splitlines()
    rates = {
        line.split(" | ")[0]: float(line.split(" | ")[1])
        for line in lines
        if line.startswith(("| noisy", "| base"))
    }
    assert rates["| base, strength 1"] < rates["| noisy"]
    assert any(line.startswith("3 pairs, ") for line in lines)
    assert main(["--set", "none-such"]) == 2 and "none-such" in capsys.readouterr().err
