"""The README's picture: a mixture of the mini corpus, noisy and denoised by the shipped model.

``python -m experiments.release.picture docs/images/before-after.png``
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from data_modules.offline.pair_folder import write_pairs
from diffgmm import audio
from diffgmm.audio import figures, plots
from diffgmm.inference import Denoiser
from diffgmm.utils.errors import exit_code

PAIR = 1  # of the demo's: voice and noise overlap all over the spectrum


def draw(out: Path, *, model: str = "base", dpi: int = 80) -> None:
    """Write spectrograms of one test pair, noisy, denoised and clean, on one scale.

    Args:
        out: PNG file; it is replaced.
        model: a shipped model or a model file.
        dpi: pixels per inch of a figure 10 inches wide.
    """
    with tempfile.TemporaryDirectory() as folder:
        name = write_pairs(folder, "test", PAIR + 1, snrs=(5.0,))[PAIR]
        noisy, info = audio.read(Path(folder) / "noisy" / f"{name}.wav")
        clean, _ = audio.read(Path(folder) / "clean" / f"{name}.wav")
    rate = info.sample_rate
    denoised = Denoiser.from_pretrained(model).denoise(noisy, rate)
    signals = {"noisy, 5 dB": noisy, "denoised": denoised, "clean": clean}
    signals = {title: plots.mono(samples) for title, samples in signals.items()}
    low, high = plots.scale(signals, rate)
    figure = plots.new_figure(10, 2.4)
    for number, (title, samples) in enumerate(signals.items(), 1):
        axes = figure.add_subplot(1, len(signals), number)
        plots.spectrogram(axes, samples, rate, samples.size / rate, low, high)
        plots.set_heading(axes, title)
        plots.labels(axes, left=number == 1, bottom=True)
    figures.save(figure, out, dpi)


def main(argv: list[str] | None = None) -> int:
    """Draw the picture; returns the exit code."""
    parser = argparse.ArgumentParser(description="Draw a mixture of the mini corpus, noisy and denoised.")
    parser.add_argument("out", type=Path, metavar="FILE", help="PNG file, which is replaced")
    parser.add_argument("--model", default="base", help="shipped model or model file (default: base)")
    options = parser.parse_args(argv)
    try:
        draw(options.out, model=options.model)
    except Exception as error:
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
