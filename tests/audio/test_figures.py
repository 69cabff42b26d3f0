"""Pictures: what they show is what was put in, for every length and shape, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffgmm.audio import figures, plots

RATE = 16000
Pair = tuple[np.ndarray, np.ndarray]


def is_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG\r\n") and content.endswith(b"IEND\xaeB`\x82")


def test_a_full_scale_sine_is_0_db_at_its_place() -> None:
    time = np.arange(RATE) / RATE
    level = plots.spectrogram_db(np.sin(2 * np.pi * 1000 * time) * (time >= 0.5), RATE)
    assert level.shape == (257, 250)  # 0..8 kHz, one column per 4 ms
    row, column = np.unravel_index(level.argmax(), level.shape)
    assert row == 32 and column > 125  # 1 kHz of 31.25 Hz per row
    assert level.max() == pytest.approx(0.0, abs=0.05) and level[:, :120].max() < -100
    assert plots.spectrogram_db(np.zeros(1), RATE).min() == -120


def test_panels_share_one_scale_and_show_the_signals(pair: Pair) -> None:
    clean, noisy = pair
    panels = {"noisy": noisy, "denoised": clean, "clean": clean, "estimated noise": noisy - clean}
    uncertainty = np.random.default_rng(0).random((256, 129))
    figure = figures.spectrogram_panel(panels, RATE, uncertainty=uncertainty, title="june, 5 dB")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title] == [*panels, "uncertainty"]
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 5 and len({image.get_clim() for image in images[:4]}) == 1
    low, high = images[0].get_clim()
    assert high - low == pytest.approx(plots.RANGE_DB)
    assert np.array_equal(images[1].get_array(), plots.spectrogram_db(clean, RATE))
    assert images[1].get_extent() == pytest.approx([0, 3, 0, 8])
    assert np.array_equal(images[4].get_array(), uncertainty.astype(np.float32))
    assert {"seconds", "kHz", "level (dB of full scale)"} <= {
        text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())
    }


def test_rendering(tmp_path: Path, pair: Pair) -> None:
    path = tmp_path / "before_after.png"
    figure = figures.before_after(pair[1], pair[0], RATE, path)
    assert is_png(path.read_bytes()) and [p.name for p in tmp_path.iterdir()] == [path.name]
    image = figures.rgb(figure, dpi=50)
    assert image.shape == (380, 550, 3) and image.dtype == np.uint8 and image.std() > 30
    assert is_png(figures.png(figure))
    removed = next(axes for axes in figure.axes if axes.get_title(loc="left") == "removed")
    assert np.array_equal(removed.images[0].get_array(), plots.spectrogram_db(pair[1] - pair[0], RATE))


@pytest.mark.parametrize(
    ("samples", "level"), [(1, 0.0), (1, 1.0), (2, 3.0), (255, 1e-9), (16384, 0.0), (20 * RATE, 1.0)]
)
def test_any_length_and_level(samples: int, level: float) -> None:
    x = level * np.random.default_rng(0).standard_normal(samples)
    assert is_png(figures.png(figures.before_after(x, 0 * x, 8000), dpi=40))
    figure = figures.spectrogram_panel({"noisy": x}, 8000, uncertainty=np.zeros((1, samples)))
    assert is_png(figures.png(figure, dpi=40))


def test_channels_and_unequal_lengths(pair: Pair) -> None:
    stereo = np.stack([pair[1], 0 * pair[1]])
    figure = figures.before_after(stereo, pair[0][:-1000], 44100)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert np.array_equal(shown[0], plots.spectrogram_db(pair[1] / 2, 44100))


def test_long_sounds_stay_small_pictures(pair: Pair) -> None:
    hour = np.resize(pair[1], 3600 * 8000)
    assert plots.spectrogram_db(hour, 8000).shape[1] <= 1600


def test_unwritable_place(tmp_path: Path, pair: Pair) -> None:
    with pytest.raises(OSError, match="missing"):
        figures.before_after(pair[1], pair[0], RATE, tmp_path / "missing" / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_importing_pictures_loads_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys, numpy as np, diffgmm.audio.figures as p;"
        "assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules;"
        "p.rgb(p.before_after(np.ones(99), np.ones(99), 8000)); print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "False"  # no figure manager: nothing to close, no display needed


@pytest.mark.parametrize("shape", [(RATE,), (1, RATE)])
def test_a_waveform_model_shows_its_uncertainty_along_time(shape: tuple[int, ...], tmp_path: Path) -> None:
    std = np.linspace(0.1, 0.4, RATE, dtype=np.float32).reshape(shape)
    figure = figures.spectrogram_panel({"noisy": np.zeros(RATE)}, RATE, tmp_path / "a.png", std)
    areas = [area for axes in figure.axes for area in axes.collections]
    heights = [float(area.get_datalim(area.axes.transData).y1) for area in areas]
    assert max(heights) == pytest.approx(0.4, abs=1e-3)
    assert is_png((tmp_path / "a.png").read_bytes())
