"""``--ckpt_path auto``: which run to go on with, and how to go on in its folder."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from diffgmm.diffusion.saving import check_checkpoint
from diffgmm.training.callbacks.checkpoints import LAST, is_complete
from diffgmm.training.callbacks.loggers import ResumedWandbLogger
from diffgmm.training.module import DiffGMM
from diffgmm.utils import renames
from diffgmm.utils.errors import UsageError

AUTO = "auto"
#: Settings of the data that say how fast it comes, not what it is.
_FREE = ("num_workers", "start_method", "cache")


def check(ckpt_path: str | None, module: DiffGMM, training: bool = False) -> None:
    """Refuse a checkpoint that the run can't use, before anything starts.

    Args:
        ckpt_path: as given; folders of shards, and ``best``, ``hpc`` and ``registry:``, are left to Lightning.
        module: what is to go on from it.
        training: whether the optimizer goes on, too.

    Raises:
        ModelError: the file is missing, damaged, not one of this project, or of another model.
        UsageError: ``last``, which knows no folder here; or an optimizer of other settings than the checkpoint's, which
            Lightning would put aside without a word.
    """
    if ckpt_path == "last":
        more = "; auto goes on with the newest run of this configuration" if training else ""
        raise UsageError(f"--ckpt_path last: give the file, RUN/checkpoints/last.ckpt{more}")
    special = ckpt_path in (None, AUTO, "best", "hpc") or str(ckpt_path).startswith("registry")
    if special or Path(str(ckpt_path)).is_dir():
        return
    checkpoint = check_checkpoint(str(ckpt_path), module.model)
    if not training:
        return
    made = module.configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    states = checkpoint.get("optimizer_states") or [{}]
    for wanted, kept in zip(optimizer.param_groups, states[0].get("param_groups") or [], strict=False):
        # Under a schedule `lr` moves, and `initial_lr` is what was set.
        scheduled = "initial_lr" in wanted or "initial_lr" in kept
        for name in [name for name in wanted if name in kept and not (scheduled and name == "lr")]:
            if isinstance(wanted[name], (int, float)) and wanted[name] != kept[name]:
                label = "lr" if name == "initial_lr" else name
                raise UsageError(
                    f"{ckpt_path} was trained with {label} {kept[name]} and goes on with it, the configuration says "
                    f"{wanted[name]}: set it to {kept[name]}, or train anew from --model.weights {ckpt_path}"
                )


def essence(config: dict[str, Any]) -> dict[str, Any]:
    """What makes two runs the same experiment: seed, model, data and effective batch, not machines or callbacks."""
    kept: Any = copy.deepcopy({key: config.get(key) for key in ("seed_everything", "model", "data")})
    kept["windows"] = (config.get("effective_batch") or {}).get("windows")
    data = (kept["data"] or {}).get("init_args", {})
    for name in _FREE + (("batch_size",) if kept["windows"] else ()):
        data.pop(name, None)
    return kept


def _differs(folder: Path, wanted: dict[str, Any]) -> bool:
    file = folder / "config.yaml"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the user wrote none of it
            text = renames.in_text(file.read_text(encoding="utf-8"))
            return essence(renames.in_configuration(yaml.safe_load(text))) != wanted
    except (OSError, ValueError, yaml.YAMLError, AttributeError):
        return file.is_file()  # unreadable; without any the folder was chosen by whoever runs this


def say(text: str) -> None:
    """Print a line on stderr, in the first process alone."""
    if getattr(rank_zero_only, "rank", 0) == 0:
        print(f"diffgmm: {text}", file=sys.stderr, flush=True)


def find(trainer: L.Trainer, config: dict[str, Any]) -> Path | None:
    """The newest complete ``last.ckpt`` of a run of this configuration where this one would write, if there is any.

    Args:
        trainer: of the run to be.
        config: its configuration, as plain data.
    """
    loggers = [logger for logger in trainer.loggers if logger.save_dir]
    roots = {Path(str(logger.save_dir)) / str(logger.name or "") for logger in loggers}
    roots.add(Path(trainer.default_root_dir))
    patterns = (f"checkpoints/{LAST}", f"*/checkpoints/{LAST}")
    paths = {path for root in roots for pattern in patterns for path in root.glob(pattern)}
    own = [c.dirpath for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    paths |= {Path(folder) / LAST for folder in own if folder and (Path(folder) / LAST).exists()}
    wanted = essence(config)
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        if _differs(path.parent.parent, wanted):
            say(f"{path}: of another configuration, not continued")
        elif not (path.is_dir() or is_complete(path)):  # a folder: shards, one a process
            say(f"{path}: damaged, not continued")
        else:
            say(f"continuing from {path}")
            return path
    places = ", ".join(str(root) for root in sorted(roots))
    say(f"no checkpoint of this configuration in {places}: starting from the beginning")
    return None


def enter(trainer: L.Trainer, checkpoint: Path) -> None:
    """Have the run write into the folder of the checkpoint that it continues."""
    name = checkpoint.parent.parent.name
    number = name.removeprefix("version_")
    version: int | str = int(number) if name != number and number.isdigit() else name
    for logger in trainer.loggers:
        own = isinstance(logger, (CSVLogger, TensorBoardLogger))
        if own and (Path(str(logger.save_dir)) / str(logger.name or "") / name).is_dir():
            logger._version = version  # type: ignore[attr-defined]
        if isinstance(logger, ResumedWandbLogger):
            logger.enter(checkpoint.parent.parent)
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            # A step that is done again gives the same checkpoint again, not a second version of it.
            callback._enable_version_counter = False
