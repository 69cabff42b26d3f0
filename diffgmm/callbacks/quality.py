"""Scores of what the model makes of validation and test pairs."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from diffgmm.callbacks import tally
from diffgmm.callbacks.batches import position, sample_rate_of, signal
from diffgmm.callbacks.stages import PairCallback
from diffgmm.metrics import METRICS, NAMES, Score, default_names
from diffgmm.metrics.workers import Workers


class QualityMetrics(PairCallback):
    """Logs scores of ``outputs["denoised"]`` against ``batch["clean"]``: ``val/pesq_wb``, ``val/si_sdr`` ...

    For each metric: ``val/NAME`` the mean over pairs that have a score, ``val/NAME_valid`` how many those are
    (of ``val/pairs``), ``val/NAME_noisy`` the mean for the noisy signal (scored once and remembered),
    ``val/NAME_improvement`` the mean difference (positive is better). Test batches are logged as
    ``test/...``. Under DDP every pair counts once, however they are dealt.

    Args:
        metrics: names in :data:`diffgmm.metrics.NAMES`; ``null``: PESQ (wide-band from 16 kHz), STOI, ESTOI,
            SI-SDR.
        sample_rate: of the signals in Hz; ``null`` asks the data module, then the module.
        limit: score the first so many pairs; ``null`` all.
        workers: processes that score while the model goes on; 0 scores in between.
        snr_edges: also log means by signal-to-noise ratio, in buckets between these values in dB: ``[0, 5,
            10]`` gives
            ``val/NAME_snr_below_0``, ``_snr_0_5``, ``_snr_5_10`` and ``_snr_from_10``.
        resample: let metrics judge resampled signals where they are not defined at ``sample_rate``.

    Raises:
        ValueError: unknown metric or numbers out of range; when validation starts, no sample rate found, a
            metric that
            is not defined at it, or a module whose step does not return ``denoised``.
    """

    def __init__(
        self,
        metrics: list[str] | None = None,
        sample_rate: int | None = None,
        limit: int | None = None,
        workers: int = 0,
        snr_edges: list[float] | None = None,
        resample: bool = False,
    ) -> None:
        unknown = [name for name in metrics or () if name not in NAMES]
        if unknown:
            raise ValueError(f"QualityMetrics: unknown metric {unknown[0]!r}; choose from {' '.join(NAMES)}")
        if (limit is not None and limit < 1) or workers < 0:
            raise ValueError("QualityMetrics: limit must be at least 1, workers at least 0")
        self.metrics, self.sample_rate, self.limit, self.resample = metrics, sample_rate, limit, resample
        self.snr_edges = sorted(snr_edges or [])
        self._workers: Workers[tuple[tally.Scores, tally.Scores | None]] = Workers(tally.score_item, workers)
        self._active = False
        self._names: tuple[str, ...] = ()
        self._rate = 0
        self._seen: Counter[int] = Counter()  # items so far, by loader
        self._items: list[tally.Item] = []
        self._waiting: list[tuple[tuple[int, int], float, bytes]] = []
        self._noisy: dict[bytes, tally.Scores] = {}  # by content: the pairs may change from epoch to epoch

    def start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._active = not trainer.sanity_checking
        self._seen, self._items, self._waiting = Counter(), [], []
        self._rate = self.sample_rate or sample_rate_of(trainer, module)
        self._names = tuple(self.metrics or default_names(self._rate))
        for name in self._names:
            METRICS[name].rate_for(self._rate, self.resample)

    def add(
        self, trainer: L.Trainer, outputs: Mapping[str, Any], batch: Any, loaders: Any, loader_index: int
    ) -> None:
        if not self._active:
            return
        size = len(batch["clean"])
        ratios = batch.get("snr", torch.full((size,), math.nan))
        for i in range(size):
            place = position(trainer, loaders, loader_index, self._seen[loader_index])
            self._seen[loader_index] += 1
            if place is None or (self.limit is not None and place >= self.limit):
                continue
            noisy, clean = signal(batch["noisy"][i]), signal(batch["clean"][i])
            key = hashlib.blake2b(noisy.tobytes() + clean.tobytes(), digest_size=16).digest()
            self._waiting.append(((loader_index, place), float(ratios[i]), key))
            fresh = None if key in self._noisy else noisy
            denoised = signal(outputs["denoised"][i])
            self._workers.submit(denoised, fresh, clean, self._rate, self._names, self.resample)
        if self._workers.jobs == 0:
            self._collect()

    def _collect(self) -> None:
        """Wait for the scores of what was submitted."""
        waiting, self._waiting = self._waiting, []
        for (place, snr, key), result in zip(waiting, self._workers.results(), strict=True):
            if isinstance(result, BrokenProcessPool):
                denoised = dict.fromkeys(self._names, Score(math.nan, "the process that scored it died"))
                noisy = self._noisy.get(key, denoised)
            else:
                denoised, fresh = result
                noisy = self._noisy[key] if fresh is None else self._noisy.setdefault(key, fresh)
            self._items.append(tally.Item(place, snr, denoised, noisy))

    def finish(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        if not self._active:
            return
        self._collect()
        items, self._items = self._items, []
        if trainer.world_size > 1:
            everyones: list[list[tally.Item]] = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(everyones, items)
            items = [item for rank in everyones for item in rank]
        items.sort(key=lambda item: item.position)  # as in one process
        for name in self._names:
            if why := tally.reasons(items, name):
                rank_zero_warn(f"{stage}/{name}: not every one of {len(items)} pairs has a score ({why})")
        found = tally.summary(items, self._names, self.snr_edges)
        logged = {f"{stage}/{name}": value for name, value in found.items()}
        module.log_dict(logged, sync_dist=trainer.world_size > 1)  # equal on all ranks already

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._workers.close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._workers.close()
