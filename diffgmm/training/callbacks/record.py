"""Records beside a run what is needed to repeat it, and what it took."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import lightning as L

from diffgmm.training.callbacks.loggers import run_folder
from diffgmm.training.run_folders import CONFIG, RECORD
from diffgmm.utils.files import write_text
from diffgmm.utils.provenance import changes, facts, hardware


class RunRecord(L.Callback):
    """Writes ``record.json`` into the run's folder: at the start what runs, then and at the end how long and how far.

    A tree that differs from its revision is kept as ``changes.diff`` beside it. A run that is continued in its folder
    keeps what its earlier parts took as ``earlier``; ``seconds_in_all`` adds them up.
    """

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {}
        self._start = 0.0

    def _write(self, trainer: L.Trainer) -> None:
        folder = run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / RECORD, json.dumps(self._facts, indent=2) + "\n")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record versions, revision, seed, devices and the data's own fingerprint, if it has one."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._start = time.monotonic()
        fingerprint = getattr(getattr(trainer, "datamodule", None), "fingerprint", None)
        seed = os.environ.get("PL_GLOBAL_SEED")  # set by Lightning's seed_everything
        known, folder = facts(), run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        if difference := changes() if known["git_modified"] else None:
            write_text(folder / "changes.diff", difference)
        self._facts = known | {
            "machine": known["machine"] | hardware(),
            "seed": int(seed) if seed else None,
            "devices": trainer.num_devices * trainer.num_nodes,
            "accelerator": type(trainer.accelerator).__name__,
            "precision": str(trainer.precision),
            "parameters": sum(p.numel() for p in pl_module.parameters()),
            "data": fingerprint() if callable(fingerprint) else None,
            "resumed_from": trainer.ckpt_path,
            "earlier": _earlier(folder / RECORD) if trainer.ckpt_path else [],
            "git_diff": "changes.diff" if difference else None,
        }
        self._progress(trainer, finished=False)

    def _progress(self, trainer: L.Trainer, finished: bool) -> None:
        if "earlier" not in self._facts:  # a fast_dev_run, which leaves nothing behind
            return
        seconds = round(time.monotonic() - self._start, 1)
        before = sum(part["seconds"] or 0.0 for part in self._facts["earlier"])
        self._facts |= {
            "seconds": seconds,
            "seconds_in_all": round(seconds + before, 1),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "finished": finished,
        }
        self._write(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep up to date what would be lost if the run were killed, and mark what was no training.

        Folders that ``validate`` and ``test`` leave must not count as one.
        """
        if trainer.is_global_zero and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._progress(trainer, finished=False)
        folder = run_folder(trainer)
        verb = str(trainer.state.fn.value if trainer.state.fn else "")
        logged = folder.is_dir() and not any((folder / name).exists() for name in (RECORD, CONFIG))
        if trainer.is_global_zero and verb in ("validate", "test") and logged:
            self._facts = facts() | {"verb": verb, "checkpoint": trainer.ckpt_path}
            self._write(trainer)

    on_test_end = on_validation_end

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add wall time and steps."""
        if trainer.is_global_zero:
            self._progress(trainer, finished=True)


def _earlier(path: Path) -> list[dict[str, Any]]:
    """What earlier parts of the run took, by the record that this one will replace."""
    try:
        before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    names = ("started", "seconds", "steps", "git_revision")
    return [*before.get("earlier", []), {name: before.get(name) for name in names}]
