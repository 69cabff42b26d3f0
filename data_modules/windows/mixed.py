"""Training windows as a map-style dataset, the sampler that deals them to ranks, and a resumable loader.

A window is a pure function of (seed, epoch, index): the same for any number of workers, any start method and
any number of ranks, and different in every epoch.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from data_modules.mixing.mixer import Mixer
from diffgmm.utils.random import window_rng

Example = tuple[np.ndarray, np.ndarray, float, str]


class EpochWindows(Dataset[Example]):
    """Training windows of an endless sequence of epochs.

    The index counts through all epochs: window ``i`` of epoch ``e`` has the index ``e * epoch_size + i``. So
    a worker needs no word of the epoch, and persistent workers stay correct.

    Args:
        samples: length of a window.
        epoch_size: windows per epoch.
        seed: another seed, other windows.
    """

    def __init__(self, samples: int, epoch_size: int, seed: int) -> None:
        self.samples, self.epoch_size, self.seed = samples, epoch_size, seed

    def __len__(self) -> int:
        return self.epoch_size

    def __getitem__(self, index: int) -> Example:
        """Returns noisy, clean (float32 [samples]), the signal-to-noise ratio in dB and a name."""
        return self.window(*divmod(int(index), self.epoch_size))

    def window(self, epoch: int, number: int) -> Example:
        """The window of an epoch with a certain number."""
        raise NotImplementedError


class MixtureWindows(EpochWindows):
    """Windows mixed on the fly.

    Args:
        mixer: draws the windows.
        samples, epoch_size, seed: see `EpochWindows`.
    """

    def __init__(self, mixer: Mixer, samples: int, epoch_size: int, seed: int) -> None:
        super().__init__(samples, epoch_size, seed)
        self.mixer = mixer

    def window(self, epoch: int, number: int) -> Example:
        """The window of an epoch with a certain number."""
        mixture = self.mixer.draw(window_rng(self.seed, epoch, number), self.samples)
        return mixture.noisy, mixture.clean, mixture.snr, f"train-{epoch:03d}-{number:06d}"


def collate(examples: Sequence[Example]) -> dict[str, Any]:
    """Stacks examples of one length.

    Returns:
        ``noisy`` and ``clean`` float32 [B, 1, T], ``snr`` float32 [B] in dB (NaN where there is none),
        ``name``.
    """
    *sounds, snr, name = zip(*examples, strict=True)
    noisy, clean = (torch.from_numpy(np.stack(sound)[:, None]) for sound in sounds)
    return {"noisy": noisy, "clean": clean, "snr": torch.tensor(snr, dtype=torch.float32), "name": list(name)}


class WindowSampler(DistributedSampler[int]):
    """Deals the batches of an epoch to the ranks in turn, every rank the same number of whole batches.

    The epoch is cut into batches of consecutive windows, and these are dealt out: the windows of one training step are
    then the same, batch by batch, whether two ranks have one batch each or one rank has two and accumulates their
    gradients. It is a `DistributedSampler` so that Lightning leaves it in place and calls `set_epoch`.

    Args:
        dataset: the windows.
        batch_size: per rank; what doesn't fill a step on every rank is dropped.
        rank, world_size: of this process.
        accumulate: batches of a rank in one training step.
    """

    def __init__(
        self, dataset: EpochWindows, batch_size: int, rank: int = 0, world_size: int = 1, accumulate: int = 1
    ) -> None:
        super().__init__(dataset, num_replicas=world_size, rank=rank, shuffle=False)
        self.epoch_size, self.batch_size = dataset.epoch_size, batch_size
        self.batches = self.epoch_size // (batch_size * world_size * accumulate) * accumulate
        self.num_samples = self.batches * batch_size
        self.total_size = self.num_samples * world_size
        self.skip = 0  # windows of this rank left out at the start of the next pass

    def __iter__(self) -> Iterator[int]:
        skip, self.skip = self.skip, 0
        size, stride = self.batch_size, self.batch_size * self.num_replicas
        first = self.epoch * self.epoch_size + self.rank * size
        return (first + i // size * stride + i % size for i in range(skip, self.num_samples))


def outlive_first_signal(worker: int) -> None:  # noqa: ARG001 (a worker_init_fn)
    """Have a loading process live on when its group is asked to end, until the training has saved what it needs.

    Clusters and Ctrl-C signal whole groups of processes. A second signal, as a training sends at its end, ends it.
    """

    def once(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)

    for name in ("SIGTERM", "SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), once)


class ResumableLoader(DataLoader[Example]):
    """A loader of training windows that counts what it has given out.

    Lightning saves the state of a loader that has one in the checkpoint and gives it back on resuming, so
    that training goes on with the window after the last one seen, also with another batch size or number of ranks
    (as far as whole steps allow). What was seen is skipped without mixing anything.
    """

    _given = 0
    _resume: dict[str, int] | None = None

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._sampler.epoch, "batches": self._given, "windows": self._given * self._step()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._resume = dict(state)

    @property
    def _sampler(self) -> WindowSampler:
        return cast("WindowSampler", self.sampler)

    def _step(self) -> int:
        """Windows of one training step, all ranks together."""
        return self._sampler.batch_size * self._sampler.num_replicas

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        resume, self._resume = self._resume, None
        sampler, self._given = self._sampler, 0
        if resume and resume["epoch"] == sampler.epoch:
            seen = -(-resume["windows"] // self._step()) if "windows" in resume else resume["batches"]
            self._given = seen if seen < len(self) else 0
            sampler.skip = self._given * sampler.batch_size
        for batch in super().__iter__():
            self._given += 1
            yield batch
