"""Scores of what the model makes of validation and test pairs, and their means."""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import TimeoutError as NotInTime
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from numpy import ndarray

from diffgmm.metrics import Score, default_names, get_metric
from diffgmm.metrics.statistics import mean
from diffgmm.training.callbacks.pair_callback import PairCallback, Places
from diffgmm.training.ranks import gathered, sample_rate_of, signal
from diffgmm.utils.processes import Workers

Scores = dict[str, Score]


class Item(NamedTuple):
    """One scored pair; ``position`` (loader, place in its data) is the same whichever rank it fell to."""

    position: tuple[int, int]
    snr: float
    denoised: Scores
    noisy: Scores


def score_item(
    denoised: ndarray, noisy: ndarray | None, clean: ndarray, rate: int, names: Sequence[str], resample: bool
) -> tuple[Scores, Scores | None]:
    """Score one pair's result and, if given, its noisy signal; anything unforeseen becomes a reason."""

    def scores(x: ndarray) -> Scores:
        values = {}
        for name in names:
            try:
                values[name] = get_metric(name).explain(x, clean, rate, resample=resample)
            except Exception as error:  # a bug here must not cost a training run; it shows among the reasons
                values[name] = Score(math.nan, f"{type(error).__name__}: {error}")
        return values

    return scores(denoised), None if noisy is None else scores(noisy)


def summary(items: Sequence[Item], names: Sequence[str], snr_edges: Sequence[float] = ()) -> dict[str, float]:
    """Means by the name under which they are logged.

    Args:
        items: scored pairs.
        names: of metrics.
        snr_edges: ascending, in dB; buckets without a pair are left out.
    """
    means = {"pairs": float(len(items))}
    for name in names:
        denoised = [item.denoised[name].value for item in items]
        noisy = [item.noisy[name].value for item in items]
        means[name] = mean(denoised)
        means[f"{name}_valid"] = float(sum(map(math.isfinite, denoised)))
        means[f"{name}_noisy"] = mean(noisy)
        means[f"{name}_improvement"] = mean(map(get_metric(name).improvement, noisy, denoised))
        edges = [-math.inf, *snr_edges, math.inf] if snr_edges else []
        for low, high in itertools.pairwise(edges):
            bucket = f"{low:g}_{high:g}".replace("-inf_", "below_")
            bucket = f"from_{low:g}" if high == math.inf else bucket
            if inside := [item.denoised[name].value for item in items if low <= item.snr < high]:
                means[f"{name}_snr_{bucket}"] = mean(inside)
    return means


_LAST_WAIT = 300.0  # seconds, for the scores of the last validation once training is over
_NICE = 10  # scoring stands back where it shares processors with training


class _Late(NamedTuple):
    """A validation whose scores are still being made."""

    stage: str
    step: int
    epoch: int
    ended: float  # by the monotonic clock


class QualityMetrics(PairCallback):
    """Logs scores of ``outputs["denoised"]`` against ``batch["clean"]``: ``val/pesq_wb``, ``val/si_sdr`` ...

    For each metric: ``val/NAME`` the mean over pairs that have a score, ``val/NAME_valid`` how many those are
    (of ``val/pairs``), ``val/NAME_noisy`` the mean for the noisy signal (scored once and remembered),
    ``val/NAME_improvement`` the mean difference (positive is better). Test batches are logged as
    ``test/...``. Under DDP every pair counts once, however they are dealt.

    **What it costs.** While fitting, a process of its own scores and training goes on; the scores of a validation are
    logged, at that validation's step, when they are there: within the following epoch, under DDP with the next
    validation. Scores that the next validation would have to wait for beyond ``budget`` are given up: the means are
    then over fewer pairs, ``val/pairs`` says how many, and a warning that it is so. Those of the last validation are
    waited for at the end, for five minutes at most. If a checkpoint, early stopping or scheduler monitors one of the
    scores, it has to be there at once: then, in ``validate`` and ``test``, and with ``workers: 0`` training waits.

    Args:
        metrics: names, of another package ``PACKAGE.MODULE:FUNCTION`` (:func:`diffgmm.metrics.get_metric`); ``null``:
            PESQ (wide-band from 16 kHz), STOI, ESTOI, SI-SDR.
        sample_rate: of the signals in Hz; ``null`` asks the data module, then the module.
        limit: score the first so many pairs; ``null`` all.
        workers: processes that score while the model goes on; 0 scores in between.
        snr_edges: also log means by signal-to-noise ratio, in buckets between these values in dB: ``[0, 5, 10]`` gives
            ``val/NAME_snr_below_0``, ``_snr_0_5``, ``_snr_5_10`` and ``_snr_from_10``.
        resample: let metrics judge resampled signals where they are not defined at ``sample_rate``.
        budget: share of the time between two validations that training may wait for scores.

    Raises:
        ValueError: unknown metric or numbers out of range; when validation starts, no sample rate found, a
            metric that is not defined at it, or a module whose step does not return ``denoised``.
    """

    def __init__(
        self,
        metrics: list[str] | None = None,
        sample_rate: int | None = None,
        limit: int | None = None,
        workers: int = 1,
        snr_edges: list[float] | None = None,
        resample: bool = False,
        budget: float = 0.05,
    ) -> None:
        for name in metrics or ():
            get_metric(name)
        if (limit is not None and limit < 1) or workers < 0:
            raise ValueError("QualityMetrics: limit must be at least 1, workers at least 0")
        if not 0.0 <= budget <= 1.0:
            raise ValueError(f"QualityMetrics: budget is a share of the time from 0 to 1, got {budget}")
        self.metrics, self.sample_rate, self.limit, self.resample = metrics, sample_rate, limit, resample
        self.snr_edges, self.budget = sorted(snr_edges or []), budget
        self._workers: Workers[tuple[Scores, Scores | None]] = Workers(score_item, workers, _NICE)
        self._names: tuple[str, ...] = ()
        self._rate = 0
        self._items: list[Item] = []
        self._waiting: list[tuple[tuple[int, int], float, bytes]] = []
        self._noisy: dict[bytes, Scores] = {}  # by content: the pairs may change from epoch to epoch
        self._late: _Late | None = None

    def start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self._late is not None:
            self._publish(trainer, self._late, self.budget * (time.monotonic() - self._late.ended))
        self._items, self._waiting = [], []
        self._rate = self.sample_rate or sample_rate_of(trainer, module)
        self._names = tuple(self.metrics or default_names(self._rate))
        for name in self._names:
            get_metric(name).rate_for(self._rate, self.resample)

    def add(self, trainer: L.Trainer, outputs: Any, batch: Any, loader: int, places: Places) -> None:
        ratios = batch.get("snr", torch.full((len(places),), math.nan))
        for i, place in enumerate(places):
            if place is None or (self.limit is not None and place >= self.limit):
                continue
            noisy, clean = signal(batch["noisy"][i]), signal(batch["clean"][i])
            key = hashlib.blake2b(noisy.tobytes() + clean.tobytes(), digest_size=16).digest()
            self._waiting.append(((loader, place), float(ratios[i]), key))
            fresh = None if key in self._noisy else noisy
            denoised = signal(outputs["denoised"][i])
            self._workers.submit(denoised, fresh, clean, self._rate, self._names, self.resample)
        if self._workers.jobs == 0:
            self._collect()

    def _collect(self, seconds: float | None = None) -> int:
        """Wait for the scores of what was submitted, at most so long; the number of those given up."""
        waiting, self._waiting = self._waiting, []
        given_up = 0
        for (place, snr, key), result in zip(waiting, self._workers.results_within(seconds), strict=True):
            if isinstance(result, NotInTime):
                given_up += 1
                continue
            if isinstance(result, Exception):
                denoised = dict.fromkeys(self._names, Score(math.nan, "the process that scored it died"))
                noisy = self._noisy.get(key, denoised)
            else:
                denoised, fresh = result
                noisy = self._noisy[key] if fresh is None else self._noisy.setdefault(key, fresh)
            self._items.append(Item(place, snr, denoised, noisy))
        return given_up

    def finish(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        fitting = trainer.state.fn == TrainerFn.FITTING
        if fitting and self._workers.jobs and not self._monitored(trainer, stage):
            self._late = _Late(stage, trainer.global_step, trainer.current_epoch, time.monotonic())
        else:
            scores = self._scores(trainer, stage)
            module.log_dict(scores, sync_dist=trainer.world_size > 1)  # equal on all ranks already

    def _monitored(self, trainer: L.Trainer, stage: str) -> bool:
        """Whether something in the run decides by one of the scores, and so needs it at once."""
        watchers: list[Any] = [*trainer.callbacks, *trainer.lr_scheduler_configs]  # type: ignore[attr-defined]
        watched = [f"{getattr(watcher, 'monitor', None)}_" for watcher in watchers]
        return any(key.startswith(f"{stage}/{name}_") for key in watched for name in self._names)

    def _publish(self, trainer: L.Trainer, late: _Late, seconds: float | None = None) -> None:
        """Log the scores of an earlier validation, at its step; called on all ranks alike."""
        self._late = None
        logged = self._scores(trainer, late.stage, seconds)
        for logger in trainer.loggers:
            logger.log_metrics({**logged, "epoch": float(late.epoch)}, step=late.step)
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in logged.items()})

    def _scores(self, trainer: L.Trainer, stage: str, seconds: float | None = None) -> dict[str, float]:
        """Means over the pairs of all ranks, those that have scores after so many seconds."""
        given_up = self._collect(seconds)
        shares = gathered(trainer, (self._items, given_up))
        given_up, self._items = sum(number for _, number in shares), []
        items = [item for theirs, _ in shares for item in theirs]
        items.sort(key=lambda item: item.position)  # as in one process
        if given_up:
            rank_zero_warn(
                f"{stage}: scores of {len(items)} pairs, {given_up} more would have taken over {seconds:.0f} s; "
                "set limit, or more workers"
            )
        for name in self._names:
            scores = [item.denoised[name] for item in items]
            counts = sorted(Counter(score.reason for score in scores if not score.valid).items())
            if why := ", ".join(f"{count}: {reason}" for reason, count in counts):
                rank_zero_warn(f"{stage}/{name}: not every one of {len(items)} pairs has a score ({why})")
        return {f"{stage}/{name}": v for name, v in summary(items, self._names, self.snr_edges).items()}

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        # Ranks finish at different times, and what all have to do together can't be asked for here.
        if self._late is not None and trainer.world_size == 1 and self._workers.ready():
            self._publish(trainer, self._late)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._late is not None:
            if not self._workers.ready():
                rank_zero_info(f"scoring the last validation, {_LAST_WAIT:g} s at most")
            self._publish(trainer, self._late, _LAST_WAIT)

    def teardown(self, *_: Any, **__: Any) -> None:
        self._late, self._waiting = None, []
        self._workers.close()

    on_exception = teardown
