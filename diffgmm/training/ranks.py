"""What callbacks need to know about the data and its batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import lightning as L
import numpy as np
import torch
from torch.utils.data import DistributedSampler

T = TypeVar("T")


def sample_rate_of(trainer: L.Trainer, module: L.LightningModule) -> int:
    """The rate that the data module, the module or its model names.

    Raises:
        ValueError: none does.
    """
    for owner in (getattr(trainer, "datamodule", None), module, getattr(module, "model", None)):
        rate = getattr(owner, "sample_rate", None)
        if rate:
            return int(rate)
    raise ValueError("no sample_rate in the data module, the module or its model; give it to the callback")


def signal(x: torch.Tensor) -> np.ndarray:
    """One item ``[1, T]`` or ``[T]`` as float32 ``[T]`` on the CPU."""
    return x.detach().to("cpu", torch.float32).reshape(-1).numpy()


def epoch_counts(trainer: L.Trainer) -> Any:
    """How many batches of the present training epoch are ready, started, processed and completed."""
    return trainer.fit_loop.epoch_loop.batch_progress.current


def turn(trainer: L.Trainer, count: int) -> int:
    """Place among those of all ranks of the ``count``-th item or batch of this rank: they are dealt out in turn."""
    return count * trainer.world_size + trainer.global_rank


def loader_of(trainer: L.Trainer, index: int = 0) -> Any:
    """The loader of this number that validation or test runs on."""
    loaders = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
    if isinstance(loaders, (list, tuple, Mapping)):
        loaders = list(loaders.values() if isinstance(loaders, Mapping) else loaders)[index]
    return loaders


def position(trainer: L.Trainer, loader_index: int, count: int) -> int | None:
    """Place in the data of the ``count``-th item that this rank gets, ``None`` for a repeated one.

    Distributed samplers deal items out in turn and repeat the first ones until every rank has the same
    number.
    """
    place, sampler = turn(trainer, count), getattr(loader_of(trainer, loader_index), "sampler", None)
    repeated = isinstance(sampler, DistributedSampler) and place >= len(sampler.dataset)  # type: ignore[arg-type]
    return None if repeated else place


def gathered(trainer: L.Trainer, value: T) -> list[T]:
    """``value`` of every process, in the order of their ranks."""
    if trainer.world_size == 1:
        return [value]
    values: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(values, value)
    return values
