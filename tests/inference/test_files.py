"""Files and folders denoised from Python: the same sound as arrays give, and nothing overwritten by accident."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffgmm.audio import AudioError, probe, read, write
from diffgmm.inference import Denoiser, denoise_file, denoise_folder
from diffgmm.utils.errors import UsageError, UserError

RATE = 16000


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser.from_pretrained("small")


@pytest.fixture
def noisy(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> Path:
    path = tmp_path / "noisy.wav"
    write(path, pair[1][None], RATE, subtype="FLOAT")
    return path


def test_a_file_sounds_as_its_samples_do(tmp_path: Path, noisy: Path, denoiser: Denoiser) -> None:
    seconds: list[float] = []
    result = denoise_file(noisy, tmp_path / "clean.wav", model=denoiser, progress=seconds.append)
    written, info = read(tmp_path / "clean.wav")
    np.testing.assert_array_equal(written, denoiser.denoise(read(noisy)[0], RATE))
    assert info.sample_rate == RATE and info.subtype == "FLOAT"
    assert result.seconds == sum(seconds) == written.shape[1] / RATE
    assert result.error is None and result.gain == 1.0 and result.rtf == result.spent / result.seconds > 0.0


def test_strength_zero_changes_nothing(tmp_path: Path, noisy: Path, denoiser: Denoiser) -> None:
    denoise_file(noisy, tmp_path / "same.wav", model=denoiser, strength=0.0)
    np.testing.assert_array_equal(read(tmp_path / "same.wav")[0], read(noisy)[0])


def test_picture_and_uncertainty_lie_where_they_were_asked_for(
    tmp_path: Path, noisy: Path, denoiser: Denoiser
) -> None:
    denoise_file(
        noisy, tmp_path / "clean.flac", model=denoiser, picture=tmp_path / "seen.png", uncertainty=tmp_path / "sure.csv"
    )  # fmt: skip
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"noisy.wav", "clean.flac", "seen.png", "sure.csv", "sure.png"}
    head, *rows = (tmp_path / "sure.csv").read_text(encoding="utf-8").splitlines()
    assert head == "seconds,std,confidence" and len(rows) == 150  # 3 s, a row every 20 ms


def test_nothing_is_overwritten_without_being_told(tmp_path: Path, noisy: Path, denoiser: Denoiser) -> None:
    out = tmp_path / "clean.wav"
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        denoise_file(noisy, out, model=denoiser)
    with pytest.raises(UsageError, match="would overwrite an input"):
        denoise_file(noisy, noisy, model=denoiser, overwrite=True)
    assert out.read_bytes() == b"mine"
    denoise_file(noisy, out, model=denoiser, overwrite=True)
    assert probe(out).frames == probe(noisy).frames


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_does_what_it_can(tmp_path: Path, noisy: Path, denoiser: Denoiser, jobs: int) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.wav").write_bytes(noisy.read_bytes())
    (folder / "b.wav").write_bytes(b"RIFF, or so it says")
    (folder / "deep" / "c.wav").write_bytes(noisy.read_bytes())
    (folder / "notes.txt").write_text("not audio", encoding="utf-8")
    results = denoise_folder(folder, recursive=True, model=denoiser, jobs=jobs)
    assert [result.job.source.name for result in results] == ["a.wav", "b.wav", "c.wav"]
    assert isinstance(results[1].error, AudioError) and isinstance(results[1].error, UserError)
    written = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "in.denoised").rglob("*.wav"))
    assert written == ["in.denoised/a.wav", "in.denoised/deep/c.wav"]
    a, c = (read(tmp_path / name)[0] for name in written)
    np.testing.assert_array_equal(a, c)


def test_errors_name_the_file_and_leave_nothing_behind(
    tmp_path: Path, noisy: Path, denoiser: Denoiser
) -> None:
    with pytest.raises(AudioError, match=r"missing\.wav"):
        denoise_file(tmp_path / "missing.wav", tmp_path / "out.wav", model=denoiser)
    with pytest.raises(ValueError, match="nfe must be at least 1"):
        denoise_file(noisy, tmp_path / "out.wav", model=denoiser, nfe=0)

    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise_file(noisy, tmp_path / "out.wav", model=denoiser, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["noisy.wav"]
