"""Pairs on disk: complete or absent, the same to the byte after every kill."""

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
from data_corpus import real_or_made

from data_modules.errors import DataError
from data_modules.mixing.mixer import Mixer
from data_modules.offline import run
from data_modules.offline.run import PRESETS, create_pairs
from data_modules.paired import PairedFolders
from data_modules.pools.collection import Collection
from diffgmm import audio
from diffgmm.audio.levels import active_level
from diffgmm.cli.main import main
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


def test_a_folder_holds_sounds_and_a_table(written: Path) -> None:
    about = json.loads((written / "pairs.json").read_text())
    assert (about["sample_rate"], about["samples"]) == (8000, 8064)
    for split, count in about["pairs"].items():
        rows = list(csv.DictReader((written / split / "pairs.csv").open()))
        assert [row["name"] for row in rows] == [f"{split}-{number:06d}" for number in range(count)]
        for kind in ("clean", "noisy"):
            names = sorted(path.stem for path in (written / split / kind).iterdir())
            assert names == [row["name"] for row in rows]
        for row in rows[:: max(1, count // 7)]:
            (clean, noisy), (info, _) = zip(
                *(audio.read(written / split / kind / f"{row['name']}.wav") for kind in ("clean", "noisy")),
                strict=True,
            )
            assert info.sample_rate == 8000 and clean.shape == noisy.shape == (1, 8064)
            assert active_level(clean[0], 8000) == pytest.approx(float(row["level_dbfs"]), abs=0.02)
            if row["snr_db"]:
                snr = active_level(clean[0], 8000) - active_level((noisy - clean)[0], 8000)
                assert snr == pytest.approx(float(row["snr_db"]), abs=0.3)
    table = list(csv.DictReader((written / "train" / "pairs.csv").open()))
    assert len({row["speaker"] for row in table}) > 1
    assert len({row["noise"].split("/")[0] for row in table}) > 1


def test_pairs_are_belz_blend_drawn_by_number(written: Path, corpus: Path, cache: Path) -> None:
    collection = Collection(corpus=str(corpus))
    speech, noise = (collection.open("train", kind, 8000, cache) for kind in ("speech", "noise"))
    mixture = Mixer(speech, noise, PRESETS["belz"].mixing).draw(window_rng(0, 5, 0, 77), 8064)
    sound, _ = audio.read(written / "train" / "noisy" / "train-000077.wav")
    assert np.allclose(sound[0], mixture.noisy, atol=2e-4)
    assert mixture.noises[0] >= 0


def test_stopped_runs_go_on_and_end_the_same(
    written: Path, corpus: Path, cache: Path, tmp_path: Path
) -> None:
    target, part = tmp_path / "pairs", tmp_path / ".pairs.part"

    def stop_after(pairs: int) -> None:
        real, count = run._write_pair, 0

        def counted(*arguments: object) -> tuple[str, ...]:
            nonlocal count
            if count == pairs:
                raise KeyboardInterrupt
            count += 1
            return real(*arguments)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "_write_pair", counted)
            with pytest.raises(KeyboardInterrupt):
                create_pairs(target, 150, corpus=str(corpus), cache=cache, workers=1)

    for pairs in (0, 40, 90):
        stop_after(pairs)
        assert not target.exists()
        assert part.is_dir()
    first = part / "train" / "noisy" / "train-000000.wav"
    before = first.stat().st_mtime_ns
    create_pairs(target, 150, corpus=str(corpus), cache=cache, workers=1)
    assert tree(target) == tree(written)
    assert (target / "train" / "noisy" / "train-000000.wav").stat().st_mtime_ns == before
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
    before = (written / "pairs.json").stat().st_mtime_ns
    create_pairs(written, 150, corpus=str(corpus), cache=cache)
    assert (written / "pairs.json").stat().st_mtime_ns == before
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
    assert "4 train, 1 valid, 1 test; 0.500 s at 16000 Hz" in capsys.readouterr().out
    train, valid = folder / "train", folder / "valid"
    data = PairedFolders(
        str(train / "clean"), str(train / "noisy"), str(valid / "clean"), str(valid / "noisy"), window=8000,
        batch_size=4, cache=str(tmp_path / "pools"),
    )  # fmt: skip
    data.setup("fit")
    assert next(iter(data.train_dataloader()))["noisy"].shape == (4, 1, 8000)
    assert main(["prepare", "mini", "--seconds", "0.5"]) == 2
    assert main(["prepare", "mini", "--pairs", "0"]) == 2
