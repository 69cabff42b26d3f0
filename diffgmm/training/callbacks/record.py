"""Records beside a run what is needed to repeat it, and what it took."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import lightning as L

from diffgmm.training.callbacks.loggers import run_folder
from diffgmm.utils.energy import EnergyMeter
from diffgmm.utils.files import replacing
from diffgmm.utils.provenance import changes, facts, hardware

_METER_SECONDS = 60.0  # between readings; RAPL's counters start anew after some tens of minutes


class RunRecord(L.Callback):
    """Writes ``record.json`` into the run's folder: at the start what runs, then and at the end how long and how far.

    A tree that differs from its revision is kept as ``changes.diff`` beside it. A run that is continued in its folder
    keeps what its earlier parts took as ``earlier``; ``seconds_in_all`` adds them up.

    Args:
        file: name of the file.
    """

    def __init__(self, file: str = "record.json") -> None:
        self.file = file
        self._facts: dict[str, Any] = {}
        self._start = self._read = 0.0
        self._meter: EnergyMeter | None = None

    def _write(self, trainer: L.Trainer) -> None:
        folder = run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / self.file) as part:
            part.write_text(json.dumps(self._facts, indent=2) + "\n", encoding="utf-8")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record versions, revision, seed, devices and the data's own fingerprint, if it has one."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._start = self._read = time.monotonic()
        on_gpus = trainer.strategy.root_device.type == "cuda"
        self._meter = EnergyMeter(gpus=tuple(range(trainer.num_devices)) if on_gpus else ())
        fingerprint = getattr(getattr(trainer, "datamodule", None), "fingerprint", None)
        seed = os.environ.get("PL_GLOBAL_SEED")  # set by Lightning's seed_everything
        known = facts()
        self._facts = known | {
            "machine": known["machine"] | hardware(),
            "seed": int(seed) if seed else None,
            "devices": trainer.num_devices * trainer.num_nodes,
            "accelerator": type(trainer.accelerator).__name__,
            "precision": str(trainer.precision),
            "parameters": sum(p.numel() for p in pl_module.parameters()),
            "data": fingerprint() if callable(fingerprint) else None,
            "resumed_from": trainer.ckpt_path,
            "earlier": _earlier(run_folder(trainer) / self.file) if trainer.ckpt_path else [],
        }
        self._facts |= self._keep_changes(run_folder(trainer))
        self._progress(trainer, finished=False)

    def _keep_changes(self, folder: Path) -> dict[str, Any]:
        difference = changes() if self._facts["git_modified"] else None
        if not difference:
            return {"git_diff": None}
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "changes.diff") as part:
            part.write_text(difference, encoding="utf-8")
        return {"git_diff": "changes.diff"}

    def _progress(self, trainer: L.Trainer, finished: bool) -> None:
        if self._meter is None:
            return
        self._meter.update()
        seconds = round(time.monotonic() - self._start, 1)
        before = sum(part["seconds"] or 0.0 for part in self._facts["earlier"])
        self._facts |= {
            "seconds": seconds,
            "seconds_in_all": round(seconds + before, 1),
            "energy_joules": self._meter.joules(),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "finished": finished,
        }
        self._write(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Read the energy counters once a minute."""
        if self._meter is not None and time.monotonic() - self._read > _METER_SECONDS:
            self._read = time.monotonic()
            self._meter.update()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep up to date what would be lost if the run were killed."""
        if trainer.is_global_zero and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._progress(trainer, finished=False)
        self._measured(trainer)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say that it was no training."""
        self._measured(trainer)

    def _measured(self, trainer: L.Trainer) -> None:
        """Mark the folder that ``validate`` and ``test`` leave, so that it doesn't count as a training."""
        folder = run_folder(trainer)
        verb = str(trainer.state.fn.value if trainer.state.fn else "")
        logged = folder.is_dir() and not any((folder / name).exists() for name in (self.file, "config.yaml"))
        if trainer.is_global_zero and verb in ("validate", "test") and logged:
            self._facts = facts() | {"verb": verb, "checkpoint": trainer.ckpt_path}
            self._write(trainer)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add wall time, energy and steps."""
        if trainer.is_global_zero and self._facts:
            self._progress(trainer, finished=True)


def _earlier(path: Path) -> list[dict[str, Any]]:
    """What earlier parts of the run took, by the record that this one will replace."""
    try:
        before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    names = ("started", "seconds", "steps", "energy_joules", "git_revision")
    return [*before.get("earlier", []), {name: before.get(name) for name in names}]
