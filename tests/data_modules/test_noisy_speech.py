"""NoisySpeech: the same batches whatever the workers, ranks apart, resumable, fixed pairs with names."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_corpus import RATE, make_corpus, real_or_made
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from data_modules.augment import BandLimit, Reverb, Speed
from data_modules.errors import DataError
from data_modules.noisy_speech import NoisySpeech
from data_modules.offline.pair_folder import write_pairs
from data_modules.windows.mixed import EpochWindows, WindowSampler
from diffgmm import audio
from diffgmm.audio.levels import active_level


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_or_made(tmp_path_factory.mktemp("corpus") / "made")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("pools"))


def module(corpus: Path, cache: str, **options: Any) -> NoisySpeech:
    chain = [Speed(0.5), Reverb(0.3, rooms=4), BandLimit(0.3)]
    settings = {"batch_size": 4, "epoch_size": 16, "valid_pairs": 8, "test_pairs": 6, "augmentations": chain}
    data = NoisySpeech(str(corpus), cache=cache, **{**settings, **options})
    data.setup("fit")
    return data


def epochs(data: NoisySpeech, count: int = 1) -> list[dict[str, Any]]:
    loader = data.train_dataloader()
    batches = []
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        batches += list(loader)
    return batches


def same(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> bool:
    return len(one) == len(two) and all(
        torch.equal(a["noisy"], b["noisy"]) and torch.equal(a["clean"], b["clean"]) and a["name"] == b["name"]
        for a, b in zip(one, two, strict=True)
    )


def test_batches_have_the_agreed_shape(corpus: Path, cache: str) -> None:
    data = module(corpus, cache)
    assert (data.sample_rate, data.window) == (16000, 16384)
    batches = epochs(data)
    assert len(batches) == 4
    for batch in batches:
        assert batch["noisy"].shape == batch["clean"].shape == (4, 1, 16384)
        assert batch["noisy"].dtype == batch["clean"].dtype == batch["snr"].dtype == torch.float32
        assert batch["snr"].shape == (4,)
        assert torch.isfinite(batch["noisy"]).all()
    assert len({name for batch in batches for name in batch["name"]}) == 16


def test_workers_and_start_method_change_nothing(corpus: Path, cache: str) -> None:
    want = epochs(module(corpus, cache), 2)
    assert not torch.equal(want[0]["noisy"], want[4]["noisy"])  # another epoch, other windows
    for options in ({"num_workers": 2}, {"num_workers": 1, "start_method": "spawn"}):
        assert same(want, epochs(module(corpus, cache, **options), 2)), options
    assert not torch.equal(want[0]["noisy"], epochs(module(corpus, cache, seed=1))[0]["noisy"])


class Numbers(EpochWindows):
    """Windows that say which they are."""

    def window(self, epoch: int, number: int) -> tuple[np.ndarray, np.ndarray, float, str]:
        return np.zeros(2, np.float32), np.zeros(2, np.float32), math.nan, f"{epoch}-{number}"


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_share_out_the_windows(ranks: int) -> None:
    windows = Numbers(2, 50, 0)
    dealt = [list(WindowSampler(windows, 4, rank, ranks)) for rank in range(ranks)]
    assert len({len(one) for one in dealt}) == 1
    assert len(dealt[0]) == 4 * (50 // (4 * ranks))
    together = sorted(index for one in dealt for index in one)
    assert together == list(range(len(together)))
    # The windows of one step, all ranks together, don't depend on how many ranks share them.
    first = sorted(index for one in dealt for index in one[:4])
    assert first == list(range(4 * ranks))
    sampler = WindowSampler(windows, 4, 0, ranks)
    sampler.set_epoch(3)
    assert next(iter(sampler)) == 150


class Recorder(LightningModule):
    """Learns nothing and writes down which windows it saw."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__()
        self.layer, self.seen, self.stop = torch.nn.Linear(1, 1), list[str](), stop

    def training_step(self, batch: dict[str, Any], index: int) -> torch.Tensor:
        if self.stop is not None and self.global_step == self.stop:
            raise KeyboardInterrupt
        self.seen += batch["name"]
        return self.layer(batch["noisy"][:, :, :1]).mean()

    def validation_step(self, batch: dict[str, Any], index: int) -> None:
        assert batch["noisy"].shape[-1] == 8000

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-4)


def fit(
    data: LightningDataModule, folder: Path, stop: int | None = None, resume: str | None = None
) -> list[str]:
    saver = ModelCheckpoint(
        folder, "step{step}", every_n_train_steps=1, save_top_k=-1, auto_insert_metric_name=False
    )
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=[saver],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    recorder = Recorder(stop)
    if stop is None:
        trainer.fit(recorder, datamodule=data, ckpt_path=resume)
    else:
        with pytest.raises(SystemExit):
            trainer.fit(recorder, datamodule=data)
    return recorder.seen


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 1])
def test_training_resumes_where_it_stopped(corpus: Path, cache: str, tmp_path: Path, workers: int) -> None:
    def data() -> NoisySpeech:
        return module(corpus, cache, window=1000, valid_seconds=0.5, num_workers=workers, augmentations=[])

    whole = fit(data(), tmp_path / "whole")
    assert len(whole) == 48
    assert len(set(whole)) == 48
    for stop in (6, 8):  # in the middle of the second epoch, and at its end
        before = fit(data(), tmp_path / str(stop), stop)
        assert before == whole[: 4 * stop]
        after = fit(data(), tmp_path / str(stop), resume=str(tmp_path / str(stop) / f"step{stop}.ckpt"))
        assert after == whole[4 * stop :]


def test_validation_and_test_pairs_are_fixed(corpus: Path, cache: str) -> None:
    one, two = module(corpus, cache, seed=1), module(corpus, cache, seed=2, num_workers=1, augmentations=[])
    first, second = list(one.val_dataloader()), list(two.val_dataloader())
    assert same(first, second)
    assert first[0]["noisy"].shape == (4, 1, 64000)
    names = [name for batch in first for name in batch["name"]]
    assert len(set(names)) == 8
    assert all(re.fullmatch(r"\w+-\w+-snr(00|05|10|15)-00\d", name) for name in names)
    for batch in first:
        for noisy, clean, snr in zip(batch["noisy"], batch["clean"], batch["snr"], strict=True):
            assert active_level(clean[0].numpy(), RATE) > -40
            rest = active_level((noisy - clean)[0].numpy(), RATE)
            assert active_level(clean[0].numpy(), RATE) - rest == pytest.approx(float(snr), abs=0.1)
    assert sorted(float(snr) for batch in first for snr in batch["snr"]) == [0, 0, 5, 5, 10, 10, 15, 15]
    one.setup("test")
    assert len(one.test_dataloader()) == 2
    assert same(list(one.predict_dataloader()), list(one.test_dataloader()))


def test_speakers_and_noises_take_turns(tmp_path: Path, cache: str) -> None:
    data = module(make_corpus(tmp_path / "made"), cache, valid_snrs=(-5.0, 2.5))
    names = [pair.name for pair in data.dataset("valid").pairs]
    for group in ("speaker_e", "speaker_f"):
        assert sum(name.startswith(group) for name in names) == 4
    for noise in ("rain", "door", "fan"):
        assert any(f"-{noise}-" in name for name in names)
    assert {re.search(r"-snr(.+)-\d+$", name)[1] for name in names} == {"-05", "2.5"}  # type: ignore[index]


def test_pairs_on_disk(corpus: Path, cache: str, tmp_path: Path) -> None:
    names = write_pairs(tmp_path / "pairs", "test", 5, corpus=corpus, seconds=1.0, cache=cache)
    for kind in ("clean", "noisy"):
        assert sorted(path.stem for path in (tmp_path / "pairs" / kind).glob("*.wav")) == sorted(names)
    info = audio.probe(tmp_path / "pairs" / "noisy" / f"{names[0]}.wav")
    assert (info.sample_rate, info.frames, info.subtype) == (RATE, RATE, "PCM_16")
    rows = list(csv.DictReader((tmp_path / "pairs" / "pairs.csv").open()))
    for row in rows:
        clean, noisy = (
            audio.read(tmp_path / "pairs" / kind / f"{row['name']}.wav")[0][0] for kind in ("clean", "noisy")
        )
        ratio = active_level(clean, RATE) - active_level(noisy - clean, RATE)
        assert ratio == pytest.approx(float(row["snr"]), abs=0.3)
    with pytest.raises(DataError, match="exists already"):
        write_pairs(tmp_path / "pairs", "test", 5, corpus=corpus, cache=cache)
    again = write_pairs(
        tmp_path / "pairs", "test", 2, corpus=corpus, seconds=1.0, cache=cache, overwrite=True
    )
    assert again == [name for name in again if (tmp_path / "pairs" / "clean" / f"{name}.wav").is_file()]
    assert len(list((tmp_path / "pairs" / "clean").iterdir())) == 2
    assert not list(tmp_path.glob(".pairs*"))


def test_yaml_is_enough(corpus: Path, cache: str) -> None:
    parser = ArgumentParser()
    parser.add_subclass_arguments(LightningDataModule, "data")
    text = {
        "class_path": "data_modules.noisy_speech.NoisySpeech",
        "init_args": {
            "corpus": str(corpus),
            "cache": cache,
            "mixing": {"snr": [0, 10], "noises": [0.5, 0.5]},
            "augmentations": [
                {"class_path": "data_modules.augment.BandLimit", "init_args": {"bands": [[0, 4000]]}},
                {"class_path": "data_modules.augment.Codec", "init_args": {"probability": 0.1}},
            ],
        },
    }
    data = parser.instantiate(parser.parse_object({"data": text})).data
    assert data.mixing.snr == (0.0, 10.0)
    assert data.mixing.babble > 0
    assert data.augmentations[0] == BandLimit(0.2, ((0.0, 4000.0),))
    assert data.augmentations[1].probability == 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"valid_pairs": -1},
        {"num_workers": -1},
        {"window": 1},
        {"start_method": "thread"},
        {"valid_seconds": 0.0},
        {"corpus": None},
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        NoisySpeech(**{"corpus": "mini", **options})


def test_epoch_smaller_than_a_batch_is_refused(corpus: Path, cache: str) -> None:
    with pytest.raises(DataError, match="less than one batch"):
        module(corpus, cache, epoch_size=3).train_dataloader()


def test_corpus_without_a_split_is_refused(tmp_path: Path, cache: str) -> None:
    root = make_corpus(tmp_path / "made")
    (root / "valid").rename(root / "elsewhere")
    with pytest.raises(DataError, match="no speech for valid"):
        module(root, cache)
