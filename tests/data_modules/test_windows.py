"""Training windows: a function of seed, epoch and number, whatever deals them out and wherever it was stopped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_corpus import real_or_made
from lightning.pytorch import LightningModule, Trainer

from data_modules.augment import Codec, NoiseSpeed, Reverb
from data_modules.mixing.mixer import Mixing
from data_modules.noisy_speech import NoisySpeech
from data_modules.windows.mixed import EpochWindows, ResumableLoader, WindowSampler, collate


class Numbers(EpochWindows):
    """Windows that say which they are."""

    def window(self, epoch: int, number: int) -> tuple[np.ndarray, np.ndarray, float, str]:
        return np.zeros(2, np.float32), np.zeros(2, np.float32), math.nan, f"{epoch}-{number}"


def loader(windows: Numbers, batch: int, rank: int = 0, ranks: int = 1) -> ResumableLoader:
    sampler = WindowSampler(windows, batch, rank, ranks)
    return ResumableLoader(windows, batch_size=batch, sampler=sampler, drop_last=True, collate_fn=collate)


def names(batches: Any) -> list[str]:
    return [name for batch in batches for name in batch["name"]]


def test_stopping_anywhere_and_going_on_gives_the_same_sequence() -> None:
    windows = Numbers(2, 40, 0)
    whole = names(loader(windows, 4))
    for given in range(1, 10):
        first = loader(windows, 4)
        batches = iter(first)
        before = names([next(batches) for _ in range(given)])
        second = loader(windows, 4)
        second.load_state_dict(first.state_dict())
        assert before + names(second) == whole
        assert names(second) == whole  # the next epoch is whole again


def test_going_on_with_other_ranks_or_batches_repeats_nothing() -> None:
    windows = Numbers(2, 48, 0)
    first = loader(windows, 4)
    batches = iter(first)
    seen = names([next(batches) for _ in range(6)])
    for batch, ranks in ((4, 2), (2, 3), (12, 2)):
        rest: list[str] = []
        for rank in range(ranks):
            part = loader(windows, batch, rank, ranks)
            part.load_state_dict(first.state_dict())
            rest += names(part)
        assert not set(rest) & set(seen)
        assert len(rest) + len(seen) == 48
    old = {"epoch": 0, "batches": 6}  # of a checkpoint that did not count windows yet
    other = loader(windows, 4)
    other.load_state_dict(old)
    assert names(other) == [f"0-{number}" for number in range(24, 48)]


def test_state_of_another_epoch_skips_nothing() -> None:
    windows = Numbers(2, 16, 0)
    other = loader(windows, 4)
    other.sampler.set_epoch(3)  # type: ignore[attr-defined]
    other.load_state_dict({"epoch": 2, "batches": 2, "windows": 8})
    assert names(other) == [f"3-{number}" for number in range(16)]


CHAIN = [NoiseSpeed(0.5), Reverb(0.3, rooms=4, noise=0.5), Codec(0.5, {"gsm": 1.0, "adpcm": 1.0})]


def module(folder: Path, **options: Any) -> NoisySpeech:
    corpus = real_or_made(folder / "made")
    data = NoisySpeech(
        str(corpus), cache=str(folder / "pools"), batch_size=4, epoch_size=16, window=4096, valid_pairs=2,
        mixing=Mixing(tones=0.2, coloured=0.3, silence=0.1), augmentations=list(CHAIN), **options,
    )  # fmt: skip
    data.setup("fit")
    return data


def epochs(data: NoisySpeech, count: int) -> list[dict[str, Any]]:
    train, batches = data.train_dataloader(), []
    for epoch in range(count):
        train.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        batches += list(train)
    return batches


@pytest.mark.parametrize(
    ("workers", "method"),
    [
        (2, "fork"),
        pytest.param(2, "spawn", marks=pytest.mark.slow),
        pytest.param(1, "forkserver", marks=pytest.mark.slow),
        pytest.param(3, "forkserver", marks=pytest.mark.slow),
    ],
)
def test_workers_and_start_method_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, workers: int, method: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "windows"
    want = epochs(module(folder), 2)
    got = epochs(module(folder, num_workers=workers, start_method=method), 2)
    assert len(want) == len(got) == 8
    for one, two in zip(want, got, strict=True):
        assert one["name"] == two["name"]
        for part in ("noisy", "clean"):
            assert torch.equal(one[part], two[part])


class Writer(LightningModule):
    """Learns nothing and writes down, for each rank, which windows it saw."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.layer, self.folder = torch.nn.Linear(1, 1), folder

    def training_step(self, batch: dict[str, Any], index: int) -> torch.Tensor:
        with (self.folder / f"rank{self.global_rank}.txt").open("a", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in batch["name"])
        return self.layer(batch["noisy"][:, :, :1]).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_processes_share_out_every_epoch(tmp_path: Path) -> None:
    data = module(tmp_path, num_workers=1, start_method="spawn")
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", devices=2, strategy="ddp_fork", logger=False, limit_val_batches=0,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Writer(tmp_path), datamodule=data)
    ranks = [(tmp_path / f"rank{rank}.txt").read_text().split() for rank in range(2)]
    assert [len(one) for one in ranks] == [16, 16]
    assert not set(ranks[0]) & set(ranks[1])
    alone = names(epochs(module(tmp_path), 2))
    assert sorted(ranks[0] + ranks[1]) == sorted(alone)
    # Step by step the two together see what one process would have seen.
    assert {*ranks[0][:4], *ranks[1][:4]} == set(alone[:8])
