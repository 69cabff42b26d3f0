"""The reverse process step by step, and its moving picture."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny

from diffgmm import audio
from diffgmm.audio.animation import animate
from diffgmm.cli.main import main
from diffgmm.diffusion.saving import save_model
from diffgmm.inference import Denoiser
from diffgmm.inference.walk import walk


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser(tiny(n_fft=510, hop=255), {"sampler": {"nfe": 1}})


@pytest.mark.parametrize("solver", ["step", "flow", "heun"])
def test_a_walk_leads_from_the_recording_to_what_denoise_gives(
    denoiser: Denoiser, pair: tuple[np.ndarray, np.ndarray], solver: str
) -> None:
    x = 3.0 * pair[1][:24000]  # a level that has to be taken off and put on again
    states = walk(denoiser, x, 16000, nfe=5, solver=solver, step_noise=False)
    times = [state.time for state in states]
    assert times[0] == 1.0 and times[-1] == 0.0 and times == sorted(times, reverse=True)
    assert solver == "heun" or len(states) == 6
    np.testing.assert_array_equal(states[0].waveform, x)
    expected = denoiser.denoise(x, 16000, nfe=5, solver=solver, step_noise=False)
    np.testing.assert_allclose(states[-1].waveform, expected, atol=1e-5 * np.abs(x).max())
    assert all(state.waveform.shape == x.shape for state in states)


def test_other_rates_and_channels_come_at_the_models_rate(denoiser: Denoiser) -> None:
    x = np.random.default_rng(0).normal(0, 0.1, (2, 44100)).astype(np.float32)
    states = walk(denoiser, x, 44100, nfe=2)
    assert [state.waveform.shape for state in states] == [(16000,)] * 3
    with pytest.raises(ValueError, match="nfe"):
        walk(denoiser, x, 44100, nfe=0)


def test_the_gif_has_a_picture_a_step(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    from PIL import Image

    sounds = {f"step {i}": pair[1] * (1 - i / 4) for i in range(4)}
    animate(sounds, 16000, tmp_path / "a.gif", 5.0)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 4  # type: ignore[attr-defined]
        shown, pixels = [], []
        for i in range(4):
            image.seek(i)
            shown.append(image.info["duration"])
            pixels.append(np.asarray(image.convert("L"), float))
        assert shown == [1500, 200, 200, 1500] and image.info["loop"] == 0
    assert all(np.abs(a - b).mean() > 1 for a, b in pairwise(pixels))


def test_the_video_is_as_long_as_its_pictures_are_shown(
    tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    av = pytest.importorskip("av", reason="needs PyAV: pip install av")
    animate({"a": pair[1], "b": pair[0], "c": pair[0]}, 16000, tmp_path / "a.mp4", 5.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = sum(1 for _ in container.decode(video=0))
        assert frames == 38 + 5 + 38 and float(container.streams.video[0].average_rate) == 25


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(tmp_path / "tiny", tiny(n_fft=510, hop=255), {}, {"nfe": 1})
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.3, 0.3, 48000), 16000)
    model = ["--model", str(tmp_path / "tiny.json")]
    assert main(["animate", str(tmp_path / "a.wav"), "--nfe", "2", "--seconds", "1", *model]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.wav'} -> {tmp_path / 'a.gif'}: 3 pictures\n"
    before = (tmp_path / "a.gif").read_bytes()
    for options, said in {
        (): "exists already", ("-o", str(tmp_path / "a.webp")): "an animation is a .gif or an .mp4 file",
        ("--start", "3", "--overwrite"): "lasts 3.0 s",
    }.items():  # fmt: skip
        assert main(["animate", str(tmp_path / "a.wav"), *model, *options]) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "a.gif").read_bytes() == before and audio.probe(tmp_path / "a.wav").frames == 48000
    assert main(["animate", str(tmp_path / "a.gif"), "-o", str(tmp_path / "b.gif"), *model]) == 1
    assert capsys.readouterr().err.count("\n") == 1
