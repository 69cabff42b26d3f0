"""The DataModule over folders of clean and noisy recordings of the same names."""

from __future__ import annotations

import logging

from data_modules.base import PooledDataModule
from data_modules.errors import MOST_WINDOWS, DataError, require_between
from data_modules.pools.collection import resolve_corpus
from data_modules.pools.matching import PairedFile, match_folders, match_items
from data_modules.pools.sources import PAIR_KINDS, SPLITS, Item, corpus_items, split_off
from data_modules.windows.mixed import ResumableLoader
from data_modules.windows.recorded import PairedPools, PairWindows, WholePairs

log = logging.getLogger(__name__)


class PairedFolders(PooledDataModule[PairedPools]):
    """Pairs of clean and noisy recordings, matched by name.

    Training gets random windows, validation and test whole files, one a batch. Batches are as in
    `data_modules.noisy_speech.NoisySpeech`, with ``snr`` NaN.

    Args:
        clean, noisy: folders for training.
        valid_clean, valid_noisy: folders for validation; None: a share of the training pairs.
        test_clean, test_noisy: folders for test and predict.
        valid_fraction: that share; with 0 and no folders for it training goes without validation.
        split_by: what is set aside: whole first-level folders (``group``) or single files (``file``).
        sample_rate: in Hz; everything is resampled to it once.
        window: samples in a training window.
        batch_size: windows per batch and rank.
        epoch_size: windows per epoch, all ranks together; None: as many as there are pairs.
        num_workers: processes that load; 0: in the training process.
        seed: of the training windows.
        cache: folder for pools of decoded audio; None: ``pools`` in ``$DIFFGMM_HOME``.
        strict: fail if a file has no partner or can't be used, or a speaker of the corpus is in two splits, instead
            of going on with a warning.
        start_method: of the workers: ``fork``, ``spawn``, ``forkserver``, or None for the system's own.
        corpus: a prepared corpus of pairs where no folders are given: its name (``voicebank-demand``), its folder or a
            manifest whose kinds are ``clean`` and ``noisy``.

    Raises:
        DataError: at construction for values out of range, at `setup` for missing files.
    """

    def __init__(
        self,
        clean: str | None = None,
        noisy: str | None = None,
        valid_clean: str | None = None,
        valid_noisy: str | None = None,
        test_clean: str | None = None,
        test_noisy: str | None = None,
        valid_fraction: float = 0.1,
        split_by: str = "file",
        sample_rate: int = 16000,
        window: int = 16384,
        batch_size: int = 16,
        epoch_size: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        cache: str | None = None,
        strict: bool = False,
        start_method: str | None = None,
        corpus: str | None = None,
    ) -> None:
        super().__init__(sample_rate, window, batch_size, num_workers, seed, start_method)
        if epoch_size is not None:
            require_between(epoch_size=(epoch_size, 1, MOST_WINDOWS))
        folders = ((clean, noisy), (valid_clean, valid_noisy), (test_clean, test_noisy))
        self.folders = dict(zip(SPLITS, folders, strict=True))
        for split, both in self.folders.items():
            if (both[0] is None) != (both[1] is None):
                raise DataError(f"data: {split} needs folders of both clean and noisy recordings")
        own = any(both[0] for both in self.folders.values())
        if not own and not corpus:
            tip = "give clean and noisy, those of another split, or a corpus of pairs"
            raise DataError(f"data: no folders; {tip}")
        if own and corpus:
            # An experiment's corpus of voices and noises is still in the configuration when its data is replaced.
            log.warning(f"data: folders are given, the corpus {corpus} is not used")
        self.corpus = None if own else corpus
        self._listed: list[Item] | None = None
        self.valid_fraction, self.split_by, self.epoch_size = valid_fraction, split_by, epoch_size
        self.cache, self.strict = cache, strict

    def pairs(self, split: str, quiet: bool = False) -> list[PairedFile]:
        """The matched files of ``train``, ``valid`` or ``test``."""
        shared = not self._given("valid") and self.valid_fraction > 0.0 and split != "test"
        source = "train" if shared and self._given("train") else split
        if not self._given(source):
            if split == "valid" and self._given("train"):
                tip = "give valid_clean and valid_noisy, or a valid_fraction"
                raise DataError(f"data: no validation files; {tip}")
            if self.corpus:
                raise DataError(f"data: {self.corpus} has no pairs for {source}")
            prefix = "" if source == "train" else f"{source}_"
            raise DataError(f"data: no folders for {source}; give {prefix}clean and {prefix}noisy")
        quiet = quiet or source != split
        if self.corpus:
            files = match_items(self._items(source), f"{self.corpus}, {source}", self.strict, quiet)
        else:
            clean, noisy = self.folders[source]
            files = match_folders(clean or "", noisy or "", self.strict, quiet)
        return self._share(files, split) if shared else files

    def _items(self, split: str) -> list[Item]:
        if self._listed is None:
            self._listed = corpus_items(resolve_corpus(self.corpus or ""), PAIR_KINDS, self.strict)
        return [item for item in self._listed if item.split == split]

    def _given(self, split: str) -> bool:
        return bool(self._items(split) if self.corpus else self.folders[split][0])

    def _share(self, pairs: list[PairedFile], split: str) -> list[PairedFile]:
        """What is left for training, or set aside for validation, by a hash of the names."""
        names = [pair.name for pair in pairs]
        items = [Item("train", "speech", name.split("/")[0] if "/" in name else "", name) for name in names]
        moved = split_off(items, self.valid_fraction, "valid", self.split_by)
        return [pair for pair, item in zip(pairs, moved, strict=True) if item.split == split]

    def open_split(self, split: str, quiet: bool) -> PairedPools:
        """The clean and noisy pools of ``train``, ``valid`` or ``test``."""
        return PairedPools(self.pairs(split, quiet), self.sample_rate, self.cache, split, self.strict, quiet)

    def train_dataloader(self) -> ResumableLoader:
        pools = self.pools["train"]
        size = self.epoch_size or len(pools.names)
        return self.windows_loader(PairWindows(pools, self.window, size, self.seed))

    def has_validation(self) -> bool:
        """Whether there are pairs for validation."""
        return self._given("valid") or self.valid_fraction > 0.0

    def dataset(self, split: str) -> WholePairs:
        """The pairs of ``valid`` or ``test`` (after `setup`)."""
        return WholePairs(self.pools[split])
