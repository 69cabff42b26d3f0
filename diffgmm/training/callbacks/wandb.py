"""W&B's logger for runs that are stopped and started again."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from diffgmm.utils.files import replacing

FILE = "wandb_run_id"


class ResumedWandbLogger(WandbLogger):
    """Logs to one and the same run of W&B, however often the training is started anew.

    The run's id is drawn at the first start and kept in ``save_dir``; the same command, run again by a person or by a
    cluster, goes on with it. Another ``save_dir`` is another run.

    Args:
        save_dir: folder of W&B's files and of the id.
        id: of the run, if it should be a certain one.
        resume: as W&B has it.
        kwargs: of Lightning's logger: ``project``, ``name``, ``offline``, ``group``, ``tags``, ...
    """

    def __init__(
        self, save_dir: str = "runs/wandb", id: str | None = None, resume: str = "allow", **kwargs: Any
    ) -> None:
        folder = Path(save_dir)
        super().__init__(save_dir=save_dir, id=id or run_id(folder), resume=resume, **kwargs)


def run_id(folder: Path) -> str | None:
    """The id that is kept in a folder, drawn if there is none; None on other ranks than the first."""
    path = folder / FILE
    if path.is_file():
        return path.read_text(encoding="utf-8").strip()
    return _draw(path)


@rank_zero_only
def _draw(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(4)
    with replacing(path) as part:
        part.write_text(name + "\n", encoding="utf-8")
    return name
