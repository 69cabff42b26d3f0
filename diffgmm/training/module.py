"""The LightningModule, which trains a mixture denoiser on pairs of noisy and clean windows."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from diffgmm.diffusion.head import Head
from diffgmm.diffusion.model import MixtureDenoiser, ModelError
from diffgmm.diffusion.parts import PARTS
from diffgmm.diffusion.pretrained import not_plain
from diffgmm.diffusion.process import Process
from diffgmm.diffusion.representation import Representation
from diffgmm.diffusion.sampler_options import SamplerConfig
from diffgmm.diffusion.samplers import check_solver
from diffgmm.diffusion.saving import describe_file, load_model, load_weights
from diffgmm.networks import Network
from diffgmm.training.losses import ELBO, Loss, LossInputs, WeightedLoss, described
from diffgmm.training.noising import Noising, TimeLaw
from diffgmm.training.ranks import loader_of, position, turn
from diffgmm.utils import renames
from diffgmm.utils.random import keyed_generator

Batch = dict[str, Any]


class _Shared(partial[Any]):
    """A constructor that copies of a module share.

    The command line's constructors refer to the whole run, trainer and launched processes included; averaging the
    weights copies the module, and must not copy (under DDP: cannot copy) all that.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


class DiffGMM(L.LightningModule):
    """Diffusion Gaussian-mixture denoiser (after Wang et al., arXiv 2406.09154).

    Batches are dictionaries with ``noisy`` and ``clean`` ``[B, 1, T]``.

    Args:
        representation: waveform, magnitude or complex spectrogram, or one of your own.
        network: a :class:`diffgmm.networks.Network`; in a configuration, arguments without a class path are those of
            :class:`diffgmm.networks.UNet`.
        head: a :class:`diffgmm.diffusion.head.Head`; without a class path
            :class:`diffgmm.diffusion.head.MixtureHead`.
        process: blend, bridge, or one of your own.
        losses: by name a number, the weight of a built-in loss (:data:`diffgmm.training.losses.LOSSES`), or a
            :class:`diffgmm.training.losses.Loss` by its class path.
        sampler: how the process is walked in validation, and by default in the saved model
            (:class:`diffgmm.diffusion.sampler_options.SamplerConfig`).
        p_t1, grid_steps, time_law, time_shape, time_weight, self_conditioning: which times and states training shows,
            and their weight (:class:`diffgmm.training.noising.Noising`).
        optimizer: made from the parameters; ``null`` for AdamW as PyTorch has it. (A class as the default would hand
            its own defaults on to the class that a configuration names: Adam would get AdamW's weight decay.)
        lr_scheduler: made from the optimizer, stepped once a training step; ``null`` for none.
        channels_last: memory format of two-axis networks (faster on most hardware).
        compile_network: run the network's training steps through ``torch.compile``: a minute or two at the start (and a
            C compiler), then faster steps. Validation stays eager, since its windows have other lengths.
        weights: a saved model or checkpoint of the same description whose weights training starts from, e.g.
            ``diffgmm/pretrained/base``; optimizer and schedule start anew (to continue a run, use ``--ckpt_path``).
        weights_of: the parts that ``weights`` go to, e.g. ``[network]`` where a head of more components begins anew;
            ``null`` for all.

    Raises:
        ValueError: if a part of the description contradicts another.
        diffgmm.diffusion.model.ModelError: if ``weights`` can't be read or are of another description, or a part or
            loss can't be described in a checkpoint.
    """

    def __init__(
        self,
        representation: Representation,
        network: Network,
        head: Head,
        process: Process,
        losses: dict[str, float | Loss],
        p_t1: float = 0.5,
        grid_steps: int = 0,
        sampler: SamplerConfig = SamplerConfig(),  # noqa: B008 (frozen)
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        channels_last: bool = True,
        compile_network: bool = False,
        weights: str | None = None,
        time_law: TimeLaw = "uniform",
        time_shape: float = 1.0,
        time_weight: float = 0.0,
        self_conditioning: float = 0.0,
        weights_of: list[str] | None = None,
    ) -> None:
        super().__init__()
        self.sampler = sampler.resolved(None)
        check_solver(process, self.sampler)
        self.noising = Noising(
            p_t1, grid_steps, time_law, time_shape, time_weight, self_conditioning, self.sampler.grid_power
        )
        self.loss = WeightedLoss(losses)
        if self.loss.includes(ELBO) and grid_steps < 1:
            raise ValueError("the elbo loss needs grid_steps of at least 1, the sampler's number of steps")
        self.model = MixtureDenoiser(representation, network, head, process)
        # What can't be saved is refused before the first step, and not at the first checkpoint.
        if (problem := not_plain(self.description())) is not None:
            raise ModelError(f"no checkpoint can hold the losses as they are configured: {problem}")
        if weights is not None:
            load_weights(weights, self.model, PARTS if weights_of is None else weights_of)
        if channels_last and representation.dims == 2:
            self.model.network.to(memory_format=torch.channels_last)
        if compile_network:
            # Where a recurrence parts the levels, each is compiled by itself.
            torch._dynamo.config.recompile_limit = 64
            self.model.network.compile()
        self._optimizer = _Shared(optimizer or torch.optim.AdamW)
        self._lr_scheduler = _Shared(lr_scheduler) if lr_scheduler is not None else None

    def setup(self, stage: str) -> None:
        """Refuse data at another rate than the model's: it would silently train on shifted spectra."""
        check_rates(self, getattr(self.trainer, "datamodule", None))

    def training_inputs(self, batch: Batch, seed: int, epoch: int, place: int) -> LossInputs:
        """What the losses of a batch look at, with the random numbers of the ``place``-th batch of an epoch.

        They come from this key and not from the global state: a resumed run continues exactly, and a training step is
        the same from any number of processes.
        """
        generator, pairs = keyed_generator(self.device, seed, epoch, place), (batch["noisy"], batch["clean"])
        return self.noising.inputs(self.model, *pairs, generator, self.sampler.estimate)

    def training_loss(
        self, batch: Batch, seed: int, epoch: int, place: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted loss of a batch and its parts; arguments as :meth:`training_inputs` has them."""
        return self.loss(self.training_inputs(batch, seed, epoch, place))

    def place(self, batch_idx: int) -> tuple[int, int, int]:
        """Seed, epoch and place in the epoch of this process's ``batch_idx``-th training batch."""
        return torch.initial_seed(), self.current_epoch, turn(self.trainer, batch_idx)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Weighted loss of one batch, logged as ``train/loss``, its parts as ``train/loss/NAME``."""
        total, parts = self.training_loss(batch, *self.place(batch_idx))
        size = batch["noisy"].shape[0]
        self.log_dict({f"train/loss/{name}": value for name, value in parts.items()}, batch_size=size)
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=size)
        return total

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Loss at fixed random times, and the denoised window for the callbacks.

        Logged as ``val/loss`` and ``val/loss/NAME``, in tests as ``test/loss`` and ``test/loss/NAME``.
        """
        # Random numbers come from a window's place in the data: losses of two epochs are then comparable, and the same
        # from any number of processes. Processes repeat the first windows until each has the same number: those are
        # denoised like the others, but do not count.
        noisy, clean, stage = batch["noisy"], batch["clean"], "test" if self.trainer.testing else "val"
        # ``None`` for a window that another process has had; the last batch may be smaller.
        first = batch_idx * (getattr(loader_of(self.trainer), "batch_size", None) or len(noisy))
        places = [position(self.trainer, 0, first + i) for i in range(len(noisy))]
        new = [i for i, place in enumerate(places) if place is not None]
        counted = new or list(range(len(noisy)))  # something to log, without weight
        keys = [keyed_generator(self.device, places[i] or 0) for i in counted]
        total, parts = self.loss(self.noising.inputs(self.model, noisy[counted], clean[counted], keys))
        # A float: Lightning averages the weights over processes in their own type, and an integer would be cut off.
        options: Any = {"on_epoch": True, "batch_size": float(len(new)), "sync_dist": True}
        self.log_dict({f"{stage}/loss/{name}": value for name, value in parts.items()}, **options)
        self.log(f"{stage}/loss", total, prog_bar=True, **options)
        waveform, uncertainty = self._denoised(noisy, places)
        return {"loss": total, "denoised": waveform, "uncertainty": uncertainty}

    test_step = validation_step

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """``denoised`` ``[B, 1, T]`` and ``uncertainty``, with the names of the batch."""
        generator = keyed_generator(self.device, batch_idx)
        result = self.model.enhance(batch["noisy"], generator=generator, sampler=self.sampler)
        return {"denoised": result.waveform, "uncertainty": result.uncertainty, "name": batch.get("name")}

    def _denoised(self, noisy: Tensor, places: list[int | None]) -> tuple[Tensor, Tensor]:
        """Waveforms and uncertainty; samples are drawn window by window, each from its own numbers."""
        batches: list[tuple[Tensor, torch.Generator | None]] = [(noisy, None)]
        if self.sampler.is_random():
            keys = (keyed_generator(self.device, place or 0) for place in places)
            batches = list(zip(noisy.split(1), keys, strict=True))
        results = [self.model.enhance(x, generator=key, sampler=self.sampler) for x, key in batches]
        return torch.cat([r.waveform for r in results]), torch.cat([r.uncertainty for r in results])

    def configure_optimizers(self) -> Any:
        """Optimizer and, if given, a scheduler that steps with every training step."""
        optimizer = self._optimizer(self.parameters())
        if self._lr_scheduler is None:
            return optimizer
        scheduler = self._lr_scheduler(optimizer)
        timing: dict[str, Any] = {"interval": "step"}
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            timing = {"interval": "epoch", "monitor": getattr(scheduler, "monitor", "val/loss")}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, **timing}}

    def description(self) -> dict[str, Any]:
        """Plain data that rebuilds the model without Lightning (:func:`diffgmm.diffusion.saving.load_model`)."""
        more = {"losses": self.loss.description(), "states": self.noising.description()}  # the name in files
        return describe_file(self.model, self.sampler.description(), **more)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the plain description into the checkpoint."""
        checkpoint["diffgmm"] = self.description()

    @classmethod
    def from_checkpoint(cls, path: str | Path, trust: Collection[str] = ()) -> DiffGMM:
        """Module rebuilt from a checkpoint's own description, ready for further training or evaluation.

        Args:
            path: of the checkpoint.
            trust: packages whose classes it may name (:func:`diffgmm.diffusion.saving.load_model`).

        Raises:
            diffgmm.diffusion.model.ModelError: if the file is not a checkpoint of this class.
        """
        loaded, description = load_model(path, trust)
        # A temperature was fitted to these weights: further training makes it void.
        saved = {**(description.get("sampler") or {}), "temperature": 1.0}
        noising = {name: v for name, v in (description.get("states") or {}).items() if name != "grid_power"}
        sampler = SamplerConfig.saved(saved).resolved(trust)
        try:
            return cls(
                loaded.representation, loaded.network, loaded.head, loaded.process,
                described(description["losses"], trust), sampler=sampler, **renames.module_arguments(noising),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: losses or states of no training of this version: {error}") from error

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # the checkpoint describes the module, nothing else can
        cls, checkpoint_path: str | Path, map_location: Any = "cpu", trust: Collection[str] = ()
    ) -> DiffGMM:
        """Lightning's name for :meth:`from_checkpoint`; ``map_location`` is the device of the module."""
        return cls.from_checkpoint(checkpoint_path, trust).to(map_location)


def check_rates(module: DiffGMM, data: Any) -> None:
    """Refuse data at another rate than the model's.

    Raises:
        ValueError: if ``data`` has a ``sample_rate`` that differs.
    """
    own = module.model.sample_rate
    if (rate := getattr(data, "sample_rate", own)) != own:
        raise ValueError(f"the data has {rate} Hz, the representation {own} Hz: set both to the same rate")
