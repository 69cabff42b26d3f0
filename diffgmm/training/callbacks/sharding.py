"""Networks that are larger than a device: weights cut over all processes (FSDP2)."""

from __future__ import annotations

import functools

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import ModelParallelStrategy

from diffgmm.networks.blocks import ConvBlock
from diffgmm.training.errors import TrainingError


def shard(module: L.LightningModule) -> None:
    """Cut the weights of a :class:`diffgmm.training.module.DiffGMM` over the module's device mesh, block by block.

    See Zhao et al., "PyTorch FSDP: experiences on scaling fully sharded data parallel", 2023, and ``fully_shard``. A
    block's weights are gathered when it is run and given back after it.
    """
    from torch.distributed.fsdp import fully_shard

    assert module.device_mesh is not None
    mesh = module.device_mesh["data_parallel"]
    model = module.get_submodule("model").to(memory_format=torch.contiguous_format)  # FSDP2 knows no other
    for part in model.modules():
        if isinstance(part, ConvBlock):
            fully_shard(part, mesh=mesh)
    for part in model.children():  # the model itself is not called, its parts are
        if any(True for _ in part.parameters()):
            fully_shard(part, mesh=mesh)


class ShardNetwork(L.Callback):
    """Has :func:`shard` applied where the strategy is ``ModelParallelStrategy``; does nothing with others.

    Raises:
        TrainingError: when training starts, if weights are to be averaged, too: averages don't know of shards.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if not isinstance(trainer.strategy, ModelParallelStrategy):
            return
        if any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks):  # type: ignore[attr-defined]
            hint = "take EMAWeightAveraging out of trainer.callbacks"
            raise TrainingError(f"weights cut over processes can't be averaged: {hint}")
        # Lightning calls this hook next, with the processes connected; other runs should not have it.
        pl_module.configure_model = functools.partial(shard, pl_module)  # type: ignore[method-assign]
