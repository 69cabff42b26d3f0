"""Common parts of the DataModules: pools per split, opened when needed, and reproducible loaders."""

from __future__ import annotations

import multiprocessing
from typing import Any, Generic, TypeVar

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from data_modules.errors import MOST_SAMPLES, DataError, require_between
from data_modules.windows.mixed import (
    EpochWindows,
    Example,
    ResumableLoader,
    WindowSampler,
    collate,
    outlive_first_signal,
)

_SPLITS = {"fit": ("train", "valid"), "validate": ("valid",), "test": ("test",), "predict": ("test",)}
_START_METHODS = (None, "fork", "spawn", "forkserver")
PoolsT = TypeVar("PoolsT")


class PooledDataModule(LightningDataModule, Generic[PoolsT]):
    """A DataModule over pools of decoded audio. A subclass says how to open those of one split.

    Args:
        sample_rate: in Hz.
        window: samples in a training window.
        batch_size: training windows per batch and rank.
        num_workers: processes that load; 0: in the training process.
        seed: of the training windows.
        start_method: of the workers: ``fork``, ``spawn``, ``forkserver``, or None for the system's own.

    Attributes:
        valid_batch_size: validation and test pairs per batch.
        pools: what `open_split` returned, by split.
    """

    valid_batch_size = 1

    def __init__(
        self,
        sample_rate: int,
        window: int,
        batch_size: int,
        num_workers: int,
        seed: int,
        start_method: str | None,
    ) -> None:
        super().__init__()
        require_between(
            sample_rate=(sample_rate, 1000, 768_000), window=(window, 2, 2**24), seed=(seed, 0, 2**63 - 1),
            batch_size=(batch_size, 1, MOST_SAMPLES // window), num_workers=(num_workers, 0, 1024),
        )  # fmt: skip
        if start_method not in _START_METHODS:
            raise DataError(f"data.start_method is {start_method!r}, must be fork, spawn, forkserver or null")
        self.sample_rate, self.window, self.batch_size, self.seed = sample_rate, window, batch_size, seed
        self.num_workers, self.start_method = num_workers, start_method
        self.pools: dict[str, PoolsT] = {}

    def open_split(self, split: str, quiet: bool) -> PoolsT:
        """The pools of ``train``, ``valid`` or ``test``, built if need be; `quiet`: without warnings."""
        raise NotImplementedError

    def prepare_data(self) -> None:
        """Builds the pools that the run needs, on one process of each machine."""
        running = self.trainer.state.fn if self.trainer is not None else None
        for split in self._needed(running.value if running is not None else "fit"):
            self.open_split(split, quiet=True)

    def setup(self, stage: str | None = None) -> None:
        """Opens the pools that a stage needs (``fit``, ``validate``, ``test``, ``predict``; None: fit)."""
        for split in self._needed(stage or "fit"):
            if split not in self.pools:
                self.pools[split] = self.open_split(split, quiet=self.ranks()[0] > 0)

    def _needed(self, stage: str) -> tuple[str, ...]:
        """The splits of a stage; training goes without validation where there is none, or none is wanted."""
        splits = _SPLITS.get(stage, ())
        unwanted = self.trainer is not None and self.trainer.limit_val_batches == 0
        return ("train",) if stage == "fit" and (unwanted or not self.has_validation()) else splits

    def has_validation(self) -> bool:
        """Whether there are pairs for validation."""
        return True

    def ranks(self) -> tuple[int, int]:
        """This process's rank and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def windows_loader(self, windows: EpochWindows) -> ResumableLoader:
        """Loader of this rank's share of the training windows."""
        rank, world_size = self.ranks()
        accumulate = self.trainer.accumulate_grad_batches if self.trainer is not None else 1
        if len(windows) < self.batch_size * world_size * accumulate:
            times = f", {accumulate} times" if accumulate > 1 else ""
            batch = f"{self.batch_size} windows on each of {world_size} rank(s){times}"
            fault = f"an epoch of {len(windows)} windows is less than one batch ({batch})"
            raise DataError(f"data: {fault}; raise epoch_size or lower batch_size")
        sampler = WindowSampler(windows, self.batch_size, rank, world_size, accumulate)
        size, workers = self.batch_size, self._workers()
        return ResumableLoader(windows, batch_size=size, sampler=sampler, drop_last=True, **workers)

    def dataset(self, split: str) -> Dataset[Example]:
        """The pairs of ``valid`` or ``test``, in order (after `setup`)."""
        raise NotImplementedError

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        return self._pairs_loader("valid") if "valid" in self.pools else []

    def test_dataloader(self) -> DataLoader[Any]:
        return self._pairs_loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        return self._pairs_loader("test")

    def _pairs_loader(self, split: str) -> DataLoader[Any]:
        return DataLoader(self.dataset(split), batch_size=self.valid_batch_size, **self._workers())

    def _workers(self) -> dict[str, Any]:
        method = self.start_method or multiprocessing.get_start_method(allow_none=True)
        if (method or multiprocessing.get_all_start_methods()[0]) == "forkserver":
            # Its children share these imports instead of repeating them, which spares each some 280 MB.
            preload = ["torch", "data_modules.windows", "data_modules.windows.recorded"]
            multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
        apart = self.num_workers > 0
        context = self.start_method if apart else None
        functions = {"collate_fn": collate, "worker_init_fn": outlive_first_signal}
        options = {
            "num_workers": self.num_workers,
            "persistent_workers": apart,
            "multiprocessing_context": context,
        }
        # Of its own: else every pass over a loader would move on the state of the model's random numbers.
        generator = torch.Generator().manual_seed(self.seed + 1_000_003 * self.ranks()[0])
        return {**options, **functions, "pin_memory": torch.cuda.is_available(), "generator": generator}
