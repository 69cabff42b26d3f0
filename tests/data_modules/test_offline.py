"""Pairs on disk: what a representation would see, complete or absent, the same to the byte after every kill."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from data_corpus import real_or_made

from data_modules.errors import DataError
from data_modules.mixing.mixer import Mixer
from data_modules.offline import run
from data_modules.offline.arrays import PRESETS, spectrogram_db
from data_modules.offline.run import create_pairs
from data_modules.paired import PairedFolders
from data_modules.pools.collection import Collection
from diffgmm import audio
from diffgmm.cli.main import main
from diffgmm.diffusion.representation import Magnitude
from diffgmm.utils.random import window_rng


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_or_made(tmp_path_factory.mktemp("corpus") / "made")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pools")


@pytest.fixture(scope="module")
def written(corpus: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("created") / "pairs"
    assert create_pairs(folder, 150, corpus=str(corpus), cache=cache, workers=1) == {
        "train": 150, "valid": 15, "test": 15,
    }  # fmt: skip
    return folder


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("samples", [8064, 8000, 300])
@pytest.mark.parametrize(
    "representation",
    [Magnitude(sample_rate=8000, n_fft=255, hop=63, belz=True), Magnitude()],
    ids=["belz", "16k"],
)
def test_spectrograms_are_what_the_representation_sees(representation: Magnitude, samples: int) -> None:
    rng = np.random.default_rng(0)
    clean, noise = (0.1 * rng.standard_normal((2, samples)).astype(np.float32) for _ in range(2))
    noisy = torch.from_numpy(clean + noise)[:, None]
    context = representation.context(noisy)
    for signal in (clean, noise, clean + noise, np.zeros_like(clean)):
        want = representation.encode(torch.from_numpy(signal)[:, None], context)[:, 0].numpy()
        got = spectrogram_db(signal, clean + noise, representation.n_fft, representation.hop)
        assert got.shape == want.shape
        assert np.allclose(got, want, atol=2e-3)
    silence = np.zeros((1, samples), np.float32)
    assert (spectrogram_db(silence, silence, representation.n_fft, representation.hop) == -80.0).all()


def test_a_folder_holds_arrays_sounds_and_a_table(written: Path) -> None:
    about = json.loads((written / "pairs.json").read_text())
    assert (about["sample_rate"], about["samples"], about["frames"]) == (8000, 8064, 128)
    for split, count in about["pairs"].items():
        clean, noise, noisy = (
            np.load(written / split / f"{name}.npy") for name in ("clean", "noise", "noisy")
        )
        assert clean.shape == (count, 8064)
        assert np.allclose(noisy, clean + noise, atol=1e-6)
        spectra = np.load(written / split / "noisy_db.npy", mmap_mode="r")
        assert spectra.shape == (count, 128, 128)
        assert spectra.dtype == np.float32
        assert (spectra.max(axis=(1, 2)) == 0.0).all()
        rows = list(csv.DictReader((written / split / "pairs.csv").open()))
        assert [int(row["row"]) for row in rows] == list(range(count))
        for row in rows[:: max(1, count // 7)]:
            number = int(row["row"])
            for kind, series in (("clean", clean), ("noisy", noisy)):
                sound, info = audio.read(written / split / kind / f"{row['name']}.wav")
                assert info.sample_rate == 8000
                assert np.allclose(sound[0], series[number], atol=2e-4)
            assert audio.active_level_db(clean[number], 8000) == pytest.approx(
                float(row["level_dbfs"]), abs=0.02
            )
    table = list(csv.DictReader((written / "train" / "pairs.csv").open()))
    assert len({row["speaker"] for row in table}) > 1
    assert len({row["noise"].split("/")[0] for row in table}) > 1


def test_pairs_are_belz_blend_drawn_by_number(written: Path, corpus: Path, cache: Path) -> None:
    collection = Collection(corpus=str(corpus))
    speech, noise = (collection.open("train", kind, 8000, cache) for kind in ("speech", "noise"))
    mixture = Mixer(speech, noise, PRESETS["belz"].mixing).draw(window_rng(0, 5, 0, 77), 8064)
    assert np.array_equal(np.load(written / "train" / "noisy.npy")[77], mixture.noisy)
    assert mixture.noises[0] >= 0


def test_stopped_runs_go_on_and_end_the_same(
    written: Path, corpus: Path, cache: Path, tmp_path: Path
) -> None:
    target, part = tmp_path / "pairs", tmp_path / ".pairs.part"

    def stop_after(blocks: int) -> None:
        real, count = run.write_block, 0

        def counted(block: object) -> int:
            nonlocal count
            if count == blocks:
                raise KeyboardInterrupt
            count += 1
            return real(block)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "write_block", counted)
            with pytest.raises(KeyboardInterrupt):
                create_pairs(target, 150, corpus=str(corpus), cache=cache, workers=1)

    for blocks in (0, 1, 1):
        stop_after(blocks)
        assert not target.exists()
        assert part.is_dir()
    noisy = np.load(part / "train" / "noisy.npy", mmap_mode="r+")
    noisy[130:] = 7.0  # as a block that was being written
    noisy.flush()
    create_pairs(target, 150, corpus=str(corpus), cache=cache, workers=1)
    assert tree(target) == tree(written)
    assert not part.exists()


_RUN = """
import sys
from data_modules.offline.run import create_pairs
if __name__ == "__main__":
    create_pairs(sys.argv[1], 150, corpus=sys.argv[2], cache=sys.argv[3], workers=2)
"""


@pytest.mark.slow
def test_killed_runs_with_several_processes_end_the_same(
    written: Path, corpus: Path, cache: Path, tmp_path: Path
) -> None:
    script, target = tmp_path / "run.py", tmp_path / "pairs"
    script.write_text(_RUN)
    command = [sys.executable, str(script), str(target), str(corpus), str(cache)]
    environment = {"PYTHONPATH": str(Path(run.__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    for delay in (0.2, 0.6, 0.0, 1.0):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
        while process.poll() is None and not (tmp_path / ".pairs.part" / "train").exists():
            time.sleep(0.02)
        time.sleep(delay)
        process.kill()
        process.wait()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=environment)
    assert tree(target) == tree(written)


def test_what_is_there_is_kept_unless_told(written: Path, corpus: Path, cache: Path) -> None:
    before = (written / "train" / "noisy.npy").stat().st_mtime_ns
    create_pairs(written, 150, corpus=str(corpus), cache=cache)
    assert (written / "train" / "noisy.npy").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="holds something else"):
        create_pairs(written, 150, corpus=str(corpus), cache=cache, seed=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"preset": "nothing"}, "no preset"),
        ({"seconds": 0.01}, "too short"),
        ({"seconds": float("nan")}, "too short"),
        ({"seed": -1}, "seed"),
        ({"corpus": "nowhere"}, "no such corpus"),
    ],
)
def test_impossible_wishes_are_refused(
    corpus: Path, cache: Path, tmp_path: Path, options: dict[str, object], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        create_pairs(tmp_path / "pairs", 4, **{"corpus": str(corpus), "cache": cache, **options})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_too_little_space_is_said_before_anything_is_written(
    corpus: Path, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"needs about .* TB"):
        create_pairs(tmp_path / "pairs", 10**9, corpus=str(corpus), cache=cache)
    assert not (tmp_path / "pairs").exists()


def test_prepare_writes_pairs_that_paired_folders_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path / "home"))
    folder = tmp_path / "created"
    command = ["prepare", "mini", "--pairs", "4", "--preset", "plain", "--seconds", "0.5", "--workers", "1"]
    assert main([*command, "--pairs-out", str(folder)]) == 0
    assert "4 train, 1 valid, 1 test; 0.500 s at 16000 Hz, spectrograms 256 x 64" in capsys.readouterr().out
    train, valid = folder / "train", folder / "valid"
    data = PairedFolders(
        str(train / "clean"), str(train / "noisy"), str(valid / "clean"), str(valid / "noisy"), window=8000,
        batch_size=4, cache=str(tmp_path / "pools"),
    )  # fmt: skip
    data.setup("fit")
    assert next(iter(data.train_dataloader()))["noisy"].shape == (4, 1, 8000)
    assert main(["prepare", "mini", "--seconds", "0.5"]) == 2
    assert main(["prepare", "mini", "--pairs", "0"]) == 2
