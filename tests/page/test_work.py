"""What the page does with a recording, without a browser: its outputs, its line, and what is left on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny

from diffgmm import audio
from diffgmm.cli.main import main
from diffgmm.inference import Denoiser, denoise_file
from diffgmm.page.work import Outcome, Settings, Stopped, Visit, _in_step, denoise_upload, write_tracks

PLAIN = Settings()


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser(tiny(), {"sampler": {"nfe": 1}, "losses": {"nll": 1.0}})


@pytest.fixture
def visit(tmp_path: Path) -> Visit:
    return Visit(tmp_path)


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """Half a second in stereo, loud enough that the results of an untrained model clip."""
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (11025, 2))
    soundfile.write(tmp_path / "noisy.flac", x, 22050)
    return tmp_path / "noisy.flac"


@pytest.fixture
def work(denoiser: Denoiser, visit: Visit) -> Callable[..., Outcome]:
    def work(upload: Path, settings: Settings = PLAIN, name: str = "", minutes: float = 1.0) -> Outcome:
        return denoise_upload(
            upload, name or upload.name, visit, lambda _: denoiser, settings, minutes, lambda share: None
        )

    return work


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_result_is_that_of_the_command(
    work: Callable[..., Outcome], upload: Path, visit: Visit, denoiser: Denoiser, tmp_path: Path
) -> None:
    outcome = work(upload, Settings(strength=0.5, uncertainty=True))
    assert outcome.denoised and outcome.tracks and outcome.line.startswith("noisy.flac: 0.5 s in ")
    denoise_file(
        upload,
        tmp_path / "reference.flac",
        model=denoiser,
        strength=0.5,
        uncertainty=tmp_path / "reference.csv",
    )
    assert outcome.denoised.read_bytes() == (tmp_path / "reference.flac").read_bytes()
    assert (
        outcome.uncertainty_table
        and outcome.uncertainty_table.read_bytes() == (tmp_path / "reference.csv").read_bytes()
    )
    assert files(visit.folder) == [
        "noisy.denoised.flac", "noisy.denoised.png", "noisy.denoised.uncertainty.csv",
        "noisy.denoised.uncertainty.png", "tracks.wav",
    ]  # fmt: skip
    visit.end()
    assert not visit.folder.exists() and upload.exists()


def test_samples_are_drawn_in_four_calls(
    work: Callable[..., Outcome], upload: Path, denoiser: Denoiser, tmp_path: Path
) -> None:
    outcome = work(upload, Settings(samples=2))
    denoise_file(upload, tmp_path / "reference.flac", model=denoiser, estimate="sample", samples=2, nfe=4)
    assert outcome.denoised and outcome.denoised.read_bytes() == (tmp_path / "reference.flac").read_bytes()


def test_tracks_are_both_recordings_at_one_level(upload: Path, tmp_path: Path) -> None:
    before, _ = audio.read(upload)
    soundfile.write(tmp_path / "after.wav", (0.25 * before[:, :5000]).T, 22050, "FLOAT")
    assert write_tracks(upload, tmp_path / "after.wav", 0.5, tmp_path / "tracks.wav") == 2
    tracks, info = audio.read(tmp_path / "tracks.wav")
    assert (info.channels, info.subtype, info.frames) == (4, "PCM_16", 5000)
    expected = np.concatenate([0.5 * before[:, :5000], 0.25 * before[:, :5000]])
    np.testing.assert_allclose(tracks, expected, atol=2 / 32768)


def test_blocks_of_other_sizes_stay_in_step() -> None:
    x = np.arange(2000.0, dtype=np.float32).reshape(2, 1000)

    def cut(*places: int) -> list[np.ndarray]:
        return np.split(x, places, axis=1)

    pairs = list(_in_step(iter(cut(1, 400, 700)), iter(cut(300, 350, 999)), 2))
    for side in (0, 1):
        np.testing.assert_array_equal(np.concatenate([pair[side] for pair in pairs], axis=1), x)
    assert sum(a.shape[1] for a, _ in _in_step(iter(cut(400)), iter(cut(10)[:1]), 2)) == 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no sound at all", "not an audio file this reads"),
        (b"", "the file is empty"),
        (None, "no such file"),
    ],
)
def test_what_cannot_be_read_is_one_line_without_a_path(
    work: Callable[..., Outcome], tmp_path: Path, visit: Visit, content: bytes | None, said: str
) -> None:
    broken = tmp_path / "hidden" / "broken.wav"
    if content is not None:
        broken.parent.mkdir()
        broken.write_bytes(content)
    outcome = work(broken, name="my recording.wav")
    assert outcome.line.startswith("my recording.wav: ") and said in outcome.line
    assert str(tmp_path) not in outcome.line and "\n" not in outcome.line
    assert outcome.denoised is None and files(visit.folder) == []


def test_too_long(work: Callable[..., Outcome], tmp_path: Path, visit: Visit) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(61 * 8000, np.int16), 8000)
    assert "lasts 1.0 minutes, this page takes 1; " in work(tmp_path / "long.wav").line
    assert work(tmp_path / "long.wav", minutes=2.0).denoised


def test_damaged_files_are_salvaged_on_request(work: Callable[..., Outcome], upload: Path) -> None:
    damaged = upload.with_name("damaged.flac")
    damaged.write_bytes(upload.read_bytes()[: upload.stat().st_size // 2])
    assert work(damaged).denoised is None
    outcome = work(damaged, Settings(salvage=True))
    assert outcome.denoised and "damaged or truncated after" in outcome.line


def test_stop_ends_at_the_next_block_and_leaves_nothing(
    denoiser: Denoiser, visit: Visit, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(40 * 16000, np.int16), 16000)
    shares: list[float] = []

    def progress(share: float) -> None:
        shares.append(share)
        if len(shares) == 2:
            stopping = threading.Thread(target=visit.stop)  # as the server does it
            stopping.start()
            stopping.join()

    outcome = denoise_upload(
        tmp_path / "long.wav", "long.wav", visit, lambda _: denoiser, Settings(), 1.0, progress
    )
    assert outcome.line == "long.wav: stopped" and len(shares) == 2 and shares[0] < shares[1] < 1
    assert files(visit.folder) == []
    with pytest.raises(Stopped):
        visit.check()


def test_a_model_that_cannot_be_used_is_told(visit: Visit, upload: Path) -> None:
    def load(name: str) -> Denoiser:
        return Denoiser.from_pretrained(upload.with_name("gone.ckpt"))

    outcome = denoise_upload(upload, "noisy.flac", visit, load, Settings(), 1.0, lambda share: None)
    assert outcome.denoised is None and "no such model file" in outcome.line


def test_without_gradio_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert main(["demo"]) == 2
    assert (
        capsys.readouterr().err == "diffgmm: error: diffgmm demo needs Gradio: pip install 'diffgmm[demo]'\n"
    )
