"""Pairs on disk that are drawn as training draws its windows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from data_corpus import real_or_made

from data_modules.errors import DataError
from data_modules.mixing.mixer import Mixer
from data_modules.mixing.options import belz_blend
from data_modules.offline.pair_folder import write_pairs
from data_modules.pools.collection import Collection
from diffgmm import audio
from diffgmm.audio.levels import active_level
from diffgmm.utils.random import window_rng


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_or_made(tmp_path_factory.mktemp("corpus") / "made")


def test_pairs_are_belz_blend_drawn_by_number(corpus: Path, tmp_path: Path) -> None:
    folder, cache = tmp_path / "pairs", tmp_path / "pools"
    names = write_pairs(
        folder, "train", 40, corpus=corpus, seconds=1.008, sample_rate=8000, mixing=belz_blend(), cache=cache
    )
    collection = Collection(corpus=str(corpus))
    mixer = Mixer(
        *(collection.open("train", kind, 8000, cache) for kind in ("speech", "noise")), belz_blend()
    )
    rows = list(csv.DictReader((folder / "pairs.csv").open()))
    assert [row["name"] for row in rows] == names == [f"train-{number:06d}" for number in range(40)]
    assert len({row["speaker"] for row in rows}) > 1 and len({row["noise"] for row in rows}) > 1
    for number, row in enumerate(rows):
        clean, noisy = (audio.read(folder / kind / f"{row['name']}.wav")[0][0] for kind in ("clean", "noisy"))
        mixture = mixer.draw(window_rng(0, 5, 0, number), 8064)
        assert np.allclose(noisy, mixture.noisy, atol=2e-4) and mixture.noises[0] >= 0
        if row["snr"] != "nan":
            snr = active_level(clean, 8000) - active_level(noisy - clean, 8000)
            assert snr == pytest.approx(float(row["snr"]), abs=0.3)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"seconds": 0.0}, "above zero"), ({"n": 0}, "above zero"), ({"corpus": "nowhere"}, "no such corpus")],
)
def test_impossible_wishes_are_refused(
    corpus: Path, tmp_path: Path, options: dict[str, object], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        write_pairs(tmp_path / "pairs", **{"corpus": corpus, "cache": tmp_path, **options})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
