"""The DataModule that mixes voices and noises on the fly."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from data_modules.augment import Augmentation
from data_modules.collection import Collection
from data_modules.errors import DataError
from data_modules.mixing import Mixer, Mixing
from data_modules.pairs import FixedPairs, choose_pairs
from data_modules.pool import Pool
from data_modules.windows import MixtureWindows, ResumableLoader, WindowSampler, collate

_SPLITS = {"fit": ("train", "valid"), "validate": ("valid",), "test": ("test",), "predict": ("test",)}


class NoisySpeech(LightningDataModule):
    """Windows of noisy speech for training, fixed pairs for validation and test.

    Batches are dicts: ``noisy`` and ``clean`` float32 [B, 1, T] in [-1, 1], ``snr`` float32 [B] in dB (NaN for windows
    without speech or without noise), ``name`` list of B names.

    Training windows are a function of (seed, epoch, index): the same for any `num_workers` and start method; the ranks
    of a distributed run share them out. Validation and test pairs are the same in every run; `seed` doesn't change them.

    Args:
        corpus: ``mini`` (embedded), the name of a prepared corpus, a corpus folder or a manifest (CSV with columns path,
            split, kind, group), or a list of these.
        speech, noise: folders of voices and noises for training, any layout and rate (``speaker/file.wav`` keeps
            speakers apart); alone or beside a corpus.
        valid_speech, valid_noise, test_speech, test_noise: folders for the other splits.
        valid_fraction, test_fraction: share of `speech` and `noise` set aside where there is no such folder.
        split_by: what is set aside: whole first-level folders (``group``) or single files (``file``).
        sample_rate: in Hz; everything is resampled to it once.
        window: samples in a training window.
        batch_size: windows per batch and rank.
        epoch_size: windows per epoch, all ranks together.
        num_workers: processes that mix; 0: in the training process.
        seed: of the training windows.
        mixing: levels, ratios and kinds of noise.
        augmentations: list of augmentations, each with its probability; see `data_modules.augment`.
        valid_pairs, test_pairs: how many fixed pairs.
        valid_seconds: length of the fixed pairs.
        valid_snrs: their ratios in dB, in turn.
        valid_batch_size: pairs per batch.
        pairs_seed: of the choice of pairs; leave it, or scores can't be compared.
        cache: folder for pools of decoded audio; None: ``pools`` in ``$DIFFGMM_HOME``.
        strict: fail if a file can't be used, instead of leaving it out with a warning.
        start_method: of the workers: ``fork``, ``spawn``, ``forkserver``, or None for the system's own.

    Raises:
        DataError: at construction for values out of range, at `setup` for missing files.

    Example:
        >>> data = NoisySpeech("mini", batch_size=4, epoch_size=8)  # doctest: +SKIP
        >>> data.setup("fit")  # doctest: +SKIP
        >>> next(iter(data.train_dataloader()))["noisy"].shape  # doctest: +SKIP
        torch.Size([4, 1, 16384])
    """

    def __init__(
        self,
        corpus: str | list[str] | None = None,
        speech: str | list[str] | None = None,
        noise: str | list[str] | None = None,
        valid_speech: str | list[str] | None = None,
        valid_noise: str | list[str] | None = None,
        test_speech: str | list[str] | None = None,
        test_noise: str | list[str] | None = None,
        valid_fraction: float = 0.1,
        test_fraction: float = 0.0,
        split_by: str = "group",
        sample_rate: int = 16000,
        window: int = 16384,
        batch_size: int = 16,
        epoch_size: int = 10000,
        num_workers: int = 0,
        seed: int = 0,
        mixing: Mixing = Mixing(),  # noqa: B008 (frozen)
        augmentations: list[Augmentation] | None = None,
        valid_pairs: int = 48,
        test_pairs: int = 48,
        valid_seconds: float = 4.0,
        valid_snrs: tuple[float, ...] = (0.0, 5.0, 10.0, 15.0),
        valid_batch_size: int = 4,
        pairs_seed: int = 0,
        cache: str | None = None,
        strict: bool = False,
        start_method: str | None = None,
    ) -> None:
        super().__init__()
        for name in ("sample_rate", "window", "batch_size", "epoch_size", "valid_batch_size", "valid_pairs"):
            if locals()[name] < 1:
                raise DataError(f"data.{name} is {locals()[name]}, must be at least 1")
        if num_workers < 0 or test_pairs < 0 or seed < 0 or pairs_seed < 0 or not valid_seconds > 0.0:
            raise DataError("data: num_workers, test_pairs and seeds must not be negative, valid_seconds above zero")
        self.collection = Collection(
            corpus=corpus,
            speech=speech,
            noise=noise,
            valid_speech=valid_speech,
            valid_noise=valid_noise,
            test_speech=test_speech,
            test_noise=test_noise,
            valid_fraction=valid_fraction,
            test_fraction=test_fraction,
            split_by=split_by,
        )
        self.sample_rate, self.window = sample_rate, window
        self.batch_size, self.valid_batch_size, self.epoch_size = batch_size, valid_batch_size, epoch_size
        self.num_workers, self.start_method = num_workers, start_method
        self.seed, self.pairs_seed = seed, pairs_seed
        self.mixing, self.augmentations = mixing, tuple(augmentations or ())
        self.pair_counts = {"valid": valid_pairs, "test": test_pairs}
        self.pair_samples = round(valid_seconds * sample_rate)
        self.snrs = tuple(valid_snrs)
        self.cache, self.strict = cache, strict
        self.pools: dict[str, tuple[Pool, Pool]] = {}

    def prepare_data(self) -> None:
        """Builds the pools of all splits that have files, on one process of each machine."""
        for split in ("train", "valid", "test"):
            if {item.kind for item in self.collection.items() if item.split == split} == {"speech", "noise"}:
                self._open(split, quiet=True)

    def setup(self, stage: str | None = None) -> None:
        """Opens the pools that a stage needs (``fit``, ``validate``, ``test``, ``predict``; None: fit)."""
        for split in _SPLITS[stage or "fit"]:
            if split not in self.pools:
                self.pools[split] = self._open(split, quiet=self._ranks()[0] > 0)

    def _open(self, split: str, quiet: bool) -> tuple[Pool, Pool]:
        return (
            self.collection.open(split, "speech", self.sample_rate, self.cache, strict=self.strict, quiet=quiet),
            self.collection.open(split, "noise", self.sample_rate, self.cache, strict=self.strict, quiet=quiet),
        )

    def _ranks(self) -> tuple[int, int]:
        """This process's rank and how many there are."""
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        return 0, 1

    def _workers(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "multiprocessing_context": self.start_method if self.num_workers > 0 else None,
            "collate_fn": collate,
            "pin_memory": torch.cuda.is_available(),
        }

    def train_dataloader(self) -> DataLoader[Any]:
        rank, world_size = self._ranks()
        if self.epoch_size < self.batch_size * world_size:
            raise DataError(
                f"data.epoch_size is {self.epoch_size}: less than one batch ({self.batch_size} windows on each of "
                f"{world_size} rank(s))"
            )
        mixer = Mixer(*self.pools["train"], self.mixing, self.augmentations)
        windows = MixtureWindows(mixer, self.window, self.epoch_size, self.seed)
        sampler = WindowSampler(windows, self.batch_size, rank, world_size)
        return ResumableLoader(
            windows, batch_size=self.batch_size, sampler=sampler, drop_last=True, **self._workers()
        )

    def pairs(self, split: str) -> FixedPairs:
        """The fixed pairs of ``valid`` or ``test`` (after `setup`)."""
        speech, noise = self.pools[split]
        chosen = choose_pairs(speech, noise, self.pair_counts[split], self.snrs, self.pairs_seed)
        return FixedPairs(speech, noise, chosen, self.pair_samples)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.pairs("valid"), batch_size=self.valid_batch_size, **self._workers())

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.pairs("test"), batch_size=self.valid_batch_size, **self._workers())

    def predict_dataloader(self) -> DataLoader[Any]:
        return self.test_dataloader()
