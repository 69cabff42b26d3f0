"""Pairs of recordings as pools, random windows of them, and whole files."""

from __future__ import annotations

import math

import numpy as np
from torch.utils.data import Dataset

from data_modules.errors import DataError
from data_modules.pools.build import open_pool
from data_modules.pools.matching import Pairs
from data_modules.pools.pool import Pool
from data_modules.pools.sources import Item
from data_modules.windows.mixed import EpochWindows, Example
from diffgmm.audio import fit_length
from diffgmm.utils.random import window_rng


class PairedPools:
    """A clean and a noisy pool whose clips belong together by name.

    Args:
        pairs: the files.
        sample_rate: in Hz.
        cache: folder for pools; None: the default one.
        title: for messages.
        strict, quiet: see `data_modules.pools.build.open_pool`.

    Attributes:
        names: of the pairs.
        clips: clip numbers in the clean and in the noisy pool, [pairs, 2].
        lengths: samples of each pair, the shorter of the two, [pairs].
    """

    def __init__(
        self, pairs: Pairs, sample_rate: int, cache: str | None, title: str, strict: bool, quiet: bool
    ) -> None:
        self.pools: list[Pool] = []
        numbers: list[dict[str, int]] = []
        for kind in ("clean", "noisy"):
            pool = open_pool(
                [Item(title, kind, "all", getattr(pair, kind)) for pair in pairs], sample_rate, cache,
                title=f"{title} {kind}", strict=strict, quiet=quiet, keep_silent=True,
            )  # fmt: skip
            self.pools.append(pool)
            numbers.append({path: clip for clip, path in enumerate(pool.names())})
        # A file that can't be decoded leaves its partner unused; the pool has named it.
        if not (usable := [pair for pair in pairs if pair.clean in numbers[0] and pair.noisy in numbers[1]]):
            raise DataError(f"{title}: no pair of files can be read")
        self.names = [pair.name for pair in usable]
        self.clips = np.array([(numbers[0][pair.clean], numbers[1][pair.noisy]) for pair in usable])
        clean, noisy = self.pools
        self.lengths = np.minimum(clean.length[self.clips[:, 0]], noisy.length[self.clips[:, 1]])

    def read(self, pair: int, start: int = 0, samples: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Clean and noisy, float32, from `start` on; whole pairs have the length of the shorter file."""
        length = int(self.lengths[pair])
        count = length - start if samples is None else min(samples, length - start)
        clips = zip(self.pools, self.clips[pair], strict=True)
        clean, noisy = (pool.read(int(clip), start, count) for pool, clip in clips)
        return clean, noisy


class PairWindows(EpochWindows):
    """Random windows of pairs; every pair has its turn before one comes again.

    Args:
        pools: the pairs.
        samples, epoch_size, seed: see `EpochWindows`. Pairs shorter than the window are padded with zeros at
            the end.
    """

    def __init__(self, pools: PairedPools, samples: int, epoch_size: int, seed: int) -> None:
        super().__init__(samples, epoch_size, seed)
        self.pools = pools
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, dtype=np.int64))

    def window(self, epoch: int, number: int) -> Example:
        """The window of an epoch with a certain number."""
        size = len(self.pools.names)
        turn, place = divmod(epoch * self.epoch_size + number, size)
        if self._order[0] != turn:
            self._order = (turn, window_rng(self.seed, 0, turn).permutation(size))
        pair = int(self._order[1][place])
        rng = window_rng(self.seed, 1, epoch, number)
        start = int(rng.integers(max(0, int(self.pools.lengths[pair]) - self.samples) + 1))
        clean, noisy = self.pools.read(pair, start, self.samples)
        noisy, clean = (fit_length(sound, self.samples) for sound in (noisy, clean))
        return noisy, clean, math.nan, self.pools.names[pair]


class WholePairs(Dataset[Example]):
    """Whole recordings, one pair an item.

    Args:
        pools: the pairs.
    """

    def __init__(self, pools: PairedPools) -> None:
        self.pools = pools

    def __len__(self) -> int:
        return len(self.pools.names)

    def __getitem__(self, index: int) -> Example:
        """Returns noisy, clean (float32 [samples]), NaN (the ratio isn't known) and the name."""
        clean, noisy = self.pools.read(index)
        return noisy, clean, math.nan, self.pools.names[index]
