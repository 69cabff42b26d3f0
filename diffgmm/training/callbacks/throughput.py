"""How fast training goes, and with which learning rate."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import lightning as L

from diffgmm.diffusion.sampler_options import whole_number
from diffgmm.training.ranks import sample_rate_of


class Throughput(L.Callback):
    """Logs speed and learning rate of training, to whichever loggers there are.

    ``train/windows_per_s`` and ``train/audio_s_per_s`` (seconds of audio per second, over all ranks) are means of the
    last steps, without validation; ``train/data_wait_percent`` is the share of that time spent waiting for batches (a
    high one asks for more data workers); ``train/lr`` is the learning rate, with several parameter groups
    ``train/lr_0``, ``train/lr_1`` ...

    Args:
        steps: over how many steps the means are taken.

    Raises:
        ValueError: ``steps`` below 1.
    """

    def __init__(self, steps: int = 50) -> None:
        whole_number("steps", steps, 1)
        # Of each step: seconds since the one before, of these until the batch was there, windows, samples in all.
        self._steps: deque[tuple[float, float, int, int]] = deque(maxlen=steps)
        self._ended: float | None = None
        self._started = 0.0

    def on_train_start(self, *_: Any) -> None:
        self._steps.clear()
        self._ended = None

    def on_validation_end(self, *_: Any) -> None:
        self._ended = None  # the time since the last step was not training's

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, _: Any, batch: Any, *__: Any) -> None:
        now = time.perf_counter()
        noisy = batch["noisy"]
        begin = self._started if self._ended is None else self._ended
        self._steps.append((now - begin, self._started - begin, len(noisy), len(noisy) * noisy.shape[-1]))
        self._ended = now
        seconds, waiting, windows, samples = (float(sum(part)) for part in zip(*self._steps, strict=True))
        seconds, processes = max(1e-9, seconds), trainer.world_size
        values = {
            "train/windows_per_s": processes * windows / seconds,
            "train/audio_s_per_s": processes * samples / seconds / sample_rate_of(trainer, pl_module),
            "train/data_wait_percent": 100 * waiting / seconds,
        }
        rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        for i, rate in enumerate(rates):
            values["train/lr" if len(rates) == 1 else f"train/lr_{i}"] = float(rate)
        pl_module.log_dict(values, on_step=True, on_epoch=False, batch_size=len(noisy))
