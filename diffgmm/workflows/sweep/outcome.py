"""Reports from the training of a trial to its sweep."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from pathlib import Path

import lightning as L

from diffgmm.utils.files import replacing


class Outcome(L.Callback):
    """Keeps the last and the best value of a logged quantity over the validations, and writes the result.

    Args:
        monitor: name that is logged.
        best: result is the best value instead of the last.
        maximize: more is better.
    """

    def __init__(self, monitor: str, best: bool = False, maximize: bool = False) -> None:
        self.monitor, self.best, self.maximize = monitor, best, maximize
        self.values: list[float] = []
        self.epoch = 0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        self.values.append(float(trainer.callback_metrics[self.monitor]))
        self.epoch = trainer.current_epoch

    def result(self) -> float:
        """Of the training so far; NaN if the quantity was never logged or has no finite value."""
        finite = [value for value in self.values if math.isfinite(value)]
        if not self.best:
            return self.values[-1] if self.values else math.nan
        return (max if self.maximize else min)(finite, default=math.nan)

    def write(self, path: Path, pruned: bool) -> None:
        """Write the result as JSON, whole or not at all."""
        value = self.result()
        contents = {"value": value if math.isfinite(value) else None, "pruned": pruned, "epoch": self.epoch}
        with replacing(path) as part:
            part.write_text(json.dumps(contents) + "\n", encoding="utf-8")


def end_with_parent() -> None:
    """End this process and its group once standard input is closed, which it is when the worker is gone."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
