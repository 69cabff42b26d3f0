"""W&B's logger for runs that are stopped and started again."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from diffgmm.utils.files import write_text

FILE = "wandb_run_id"


class ResumedWandbLogger(WandbLogger):
    """Logs every training to a run of W&B of its own, and a training that is continued to the run that it had.

    The run's id is drawn at the start and kept in the run's folder; ``--ckpt_path auto``, given by a person or by a
    cluster, goes on with it.

    Args:
        save_dir: folder of W&B's files.
        id: of the run, if it should be a certain one.
        resume: as W&B has it.
        kwargs: of Lightning's logger: ``project``, ``name``, ``offline``, ``group``, ``tags``, ...
    """

    def __init__(
        self, save_dir: str = "runs/wandb", id: str | None = None, resume: str = "allow", **kwargs: Any
    ) -> None:
        self._fixed = id is not None
        super().__init__(save_dir=save_dir, id=id or _draw(), resume=resume, **kwargs)

    def enter(self, folder: Path) -> None:
        """Go on with the run whose id is in the folder of a continued training; before anything is logged."""
        path = folder / FILE
        if not self._fixed and path.is_file():
            self._id = self._wandb_init["id"] = path.read_text(encoding="utf-8").strip()

    def keep(self, folder: Path) -> None:
        """Write the run's id into the training's folder."""
        if self._id is not None:
            write_text(folder / FILE, self._id + "\n")


@rank_zero_only
def _draw() -> str:
    return secrets.token_hex(4)
