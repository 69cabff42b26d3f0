"""One file through the denoiser, block by block, with what else was asked for beside it; and several at a time."""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from diffgmm.utils.errors import FOR_USERS

if TYPE_CHECKING:
    import numpy as np

    from diffgmm.audio import AudioInfo
    from diffgmm.inference.denoiser import Denoiser
    from diffgmm.utils.interrupts import Interrupts

PICTURE_SECONDS = 60  # a picture of more shows nothing
ROW_SECONDS = 0.02  # of the table of uncertainty

Task = TypeVar("Task")
Progress = Callable[[float], object]
"""Told how many more seconds of audio are read."""


@dataclass(frozen=True)
class Job:
    """One file to denoise; where its picture and the table of its uncertainty go, if they are wanted."""

    source: Path
    target: Path
    picture: Path | None = None
    uncertainty: Path | None = None

    def outputs(self) -> list[Path]:
        """All files that are written."""
        drawn = self.uncertainty.with_suffix(".png") if self.uncertainty else None
        return [path for path in (self.target, self.picture, self.uncertainty, drawn) if path]


def sampling(args: argparse.Namespace) -> dict[str, Any]:
    """Options of the sampler that were given; the others are the model's."""
    return {name: getattr(args, name) for name in ("nfe", "estimate", "samples", "solver", "substeps")}


def denoise_file(
    job: Job,
    info: AudioInfo,
    denoiser: Denoiser,
    args: argparse.Namespace,
    progress: Progress,
    interrupts: Interrupts,
) -> tuple[float, float]:
    """Denoise one file; returns the gain against clipping, and the seconds it took."""
    from diffgmm.audio import Writer, choose_format, read_blocks

    def counted() -> Iterator[np.ndarray]:
        for block in read_blocks(job.source):
            interrupts.check()
            yield block
            progress(block.shape[1] / info.sample_rate)

    start = time.perf_counter()
    job.target.parent.mkdir(parents=True, exist_ok=True)
    form, subtype = choose_format(job.target, like=info)
    writer = Writer(
        job.target, info.sample_rate, info.channels, format=form, subtype=subtype, overwrite=args.overwrite
    )
    tracks = _Tracks(info, denoiser, args) if job.uncertainty else None
    with writer:
        if tracks is not None:
            outputs: Iterable[np.ndarray] = tracks.denoised(counted())
        else:
            outputs = denoiser.denoise_blocks(
                counted(),
                info.sample_rate,
                info.channels,
                seed=args.seed,
                strength=args.strength,
                **sampling(args),
            )
        for block in outputs:
            interrupts.check()
            writer.write(block)
    took = time.perf_counter() - start
    if tracks is not None and job.uncertainty is not None:
        tracks.save(job.uncertainty, job.target, writer.gain)
    if job.picture:
        from diffgmm.audio.figures import before_after

        before_after(_beginning(job.source), _beginning(job.target), info.sample_rate, job.picture)
    return writer.gain, took


def each(
    tasks: Iterable[Task], work: Callable[[Task], tuple[float, float]], jobs: int
) -> Iterator[tuple[Task, tuple[float, float] | BaseException]]:
    """Results or errors for the user of ``work`` in the order of the tasks, ``jobs`` of them at a time.

    The tasks share one model, in threads: what takes the time leaves Python's lock alone.
    """

    def tried(task: Task) -> tuple[float, float] | BaseException:
        try:
            return work(task)
        except FOR_USERS as error:
            return error

    if jobs == 1:
        yield from ((task, tried(task)) for task in tasks)
        return
    pool = ThreadPoolExecutor(jobs)
    try:
        futures: list[tuple[Task, Future[Any]]] = [(task, pool.submit(tried, task)) for task in tasks]
        for task, future in futures:
            yield task, future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt the running ones end at their next block


class _Tracks:
    """Uncertainty of one file: a row every :data:`ROW_SECONDS`, and the map of its beginning for the picture."""

    def __init__(self, info: AudioInfo, denoiser: Denoiser, args: argparse.Namespace) -> None:
        from diffgmm.inference.uncertainty import UncertainStream

        options = denoiser.options(**sampling(args))
        self._stream = UncertainStream(
            denoiser, info.sample_rate, info.channels, options, args.seed, bins_seconds=PICTURE_SECONDS
        )
        self._rate, self._channels, self._strength = info.sample_rate, info.channels, args.strength
        self._model_rate = denoiser.sample_rate
        self._rows: list[np.ndarray] = []  # [2, channels, rows]: 4 bytes each, 1.4 MB for an hour of mono
        self._shown: list[np.ndarray] = []  # [2, samples], channels averaged, of the picture's part
        self._done = 0

    def denoised(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The output; what is told of it is kept."""
        from itertools import chain

        from diffgmm.inference.any_rate import checked

        fed = (self._stream.push(checked(block, self._channels), self._strength) for block in blocks)
        for pieces in chain(fed, (self._stream.finish(self._strength) for _ in range(1))):
            for waveform, std, confidence in pieces:
                self._keep(std, confidence)
                yield waveform

    def _keep(self, std: np.ndarray, confidence: np.ndarray) -> None:
        import numpy as np

        end = self._done + std.shape[1]
        first, last = (int(np.ceil(n / (ROW_SECONDS * self._rate) - 1e-9)) for n in (self._done, end))
        places = np.round(np.arange(first, last) * ROW_SECONDS * self._rate).astype(int) - self._done
        places = places[places < std.shape[1]]
        self._rows.append(np.stack([std[:, places], confidence[:, places]]))
        wanted = PICTURE_SECONDS * self._rate - self._done
        if wanted > 0:
            self._shown.append(np.stack([std.mean(0), confidence.mean(0)])[:, :wanted])
        self._done = end

    def save(self, path: Path, target: Path, gain: float) -> None:
        """Write the table and, beside it, the picture; ``gain`` is what the output was multiplied by."""
        import numpy as np

        from diffgmm.audio.figures import certainty_panel
        from diffgmm.utils.files import replacing

        std, confidence = (
            np.concatenate(self._rows, axis=-1) if self._rows else np.zeros((2, self._channels, 0))
        )
        columns = [""] if self._channels == 1 else [f"_{i + 1}" for i in range(self._channels)]
        with replacing(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["seconds", *(f"{name}{c}" for c in columns for name in ("std", "confidence"))])
            for i in range(std.shape[1]):
                values = (
                    f"{x:.4g}" for c in range(self._channels) for x in (gain * std[c, i], confidence[c, i])
                )
                table.writerow([f"{i * ROW_SECONDS:.2f}", *values])
        shown = np.concatenate(self._shown, axis=-1) if self._shown else np.zeros((2, 0))
        found = self._stream.bins()
        bins = None
        if found is not None:
            seconds = min(self._done / self._rate, PICTURE_SECONDS)
            frames = max(1, int(np.searchsorted(found.times, seconds)))
            # Channels are averaged in the picture; of their maps the loudest is shown.
            bins = (gain * found.std.max(axis=0)[:, :frames], float(self._model_rate))
        certainty_panel(
            _beginning(target), gain * shown[0], shown[1], self._rate, bins, path.with_suffix(".png")
        )


def _beginning(path: Path) -> np.ndarray:
    """The first :data:`PICTURE_SECONDS` of a file, channels averaged: ``[samples]``."""
    import numpy as np

    from diffgmm.audio import probe, read_blocks

    wanted, pieces = PICTURE_SECONDS * probe(path).sample_rate, []
    for block in read_blocks(path):
        pieces.append(block.mean(axis=0))
        if sum(map(len, pieces)) >= wanted:
            break
    return np.concatenate(pieces)[:wanted]
