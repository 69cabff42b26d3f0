"""Files and folders through a denoiser, block by block, with a picture and the uncertainty beside them on request.

Example:
    >>> from diffgmm.inference import denoise_file
    >>> denoise_file("noisy.wav", "clean.wav").seconds  # doctest: +SKIP
    12.5
"""

from __future__ import annotations

import csv
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffgmm.audio import Clip, Writer, choose_format, probe, read_blocks
from diffgmm.diffusion.pretrained import check_likelihood
from diffgmm.inference.any_rate import checked
from diffgmm.inference.denoiser import Denoiser
from diffgmm.inference.file_plan import STDIN, Job, check_outputs, plan
from diffgmm.utils.errors import FOR_USERS
from diffgmm.utils.files import replacing

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffgmm.audio import AudioInfo
    from diffgmm.diffusion.sampler_options import SamplerConfig, Sampling

PICTURE_SECONDS = 60  # a picture of more shows nothing
ROW_SECONDS = 0.02  # of the table of uncertainty

Progress = Callable[[float], object]
"""Called with the seconds of audio that were read since the last call; may raise to stop."""


@dataclass(frozen=True)
class Denoised:
    """What became of one file.

    Attributes:
        job: its input and outputs.
        seconds: length of the recording.
        spent: seconds that denoising took.
        gain: what the output was multiplied by so as not to clip; 1.0 for nothing.
        clipped: samples that were cut off at full scale, with ``clip="keep"``.
        lost: what the input tells about itself and the output's format can't hold, in words.
        error: why there is no output, or None.
    """

    job: Job
    seconds: float = 0.0
    spent: float = 0.0
    gain: float = 1.0
    clipped: int = 0
    lost: tuple[str, ...] = ()
    error: Exception | None = None

    @property
    def rtf(self) -> float:
        """Real-time factor: seconds spent per second of audio."""
        return self.spent / self.seconds if self.seconds else float("nan")

    @property
    def notes(self) -> list[str]:
        """What else is to be said of it, in words."""
        notes = []
        if self.gain < 1.0:
            notes.append(f"level {20 * math.log10(self.gain):+.1f} dB so as not to clip")
        if self.clipped:
            notes.append(f"{self.clipped} samples cut off at full scale")
        if self.lost:
            notes.append(f"not kept: {'; '.join(self.lost)}")
        return notes


def denoise_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: Denoiser | str | os.PathLike[str] = "base",
    seed: int = 0,
    strength: float = 1.0,
    picture: str | os.PathLike[str] | None = None,
    uncertainty: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    clip: Clip = "scale",
    salvage: bool = False,
    progress: Progress | None = None,
    **sampling: Unpack[Sampling],
) -> Denoised:
    """Denoise an audio file of any length in constant memory; rate, channels, length and format stay.

    Args:
        path: the recording.
        out: file to write, which appears once it is complete; its ending names the format.
        model: a denoiser, or what :meth:`~diffgmm.inference.denoiser.Denoiser.from_pretrained` loads.
        seed: of the sampling noise.
        strength: 0 changes nothing, 1 is the model's result.
        picture: PNG to draw the first minute into, before and after.
        uncertainty: CSV for the expected error and the confidence, every 20 ms; a PNG of this name is drawn beside it.
        overwrite: replace existing files.
        clip: ``scale`` lowers a file that would clip, ``keep`` leaves its level and cuts peaks off, as the parts of one
            recording need it.
        salvage: of a damaged or truncated file, denoise what can be read.
        progress: see :data:`Progress`.
        sampling: as in :meth:`~diffgmm.inference.denoiser.Denoiser.denoise`.

    Raises:
        AudioError: the file can't be read, or the output can't be written.
        ModelError: the model can't be used.
        UsageError: an output exists, or would replace the input.
        ValueError: a setting out of range.
    """
    job = Job(
        Path(path),
        Path(out),
        None if picture is None else Path(picture),
        None if uncertainty is None else Path(uncertainty),
    )
    check_outputs([job], overwrite)
    info = probe(job.source, salvage)
    denoiser = model if isinstance(model, Denoiser) else Denoiser.from_pretrained(model)
    writing = _Writing(overwrite, clip, salvage)
    return _denoise(job, info, denoiser, seed, strength, writing, progress, denoiser.options(**sampling))


def denoise_folder(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    recursive: bool = False,
    model: Denoiser | str | os.PathLike[str] = "base",
    picture: bool = False,
    uncertainty: bool = False,
    seed: int = 0,
    strength: float = 1.0,
    overwrite: bool = False,
    clip: Clip = "scale",
    salvage: bool = False,
    jobs: int = 1,
    **sampling: Unpack[Sampling],
) -> list[Denoised]:
    """Denoise every audio file of a folder; one that fails is reported in its :class:`Denoised`, the others are done.

    Args:
        folder: the recordings.
        out: folder for files of the same names; None for ``FOLDER.denoised``.
        recursive: also of subfolders.
        model: as in :func:`denoise_file`.
        picture: write NAME.png beside each output.
        uncertainty: write NAME.uncertainty.csv and .png beside each output.
        seed, strength, overwrite, clip, salvage: as in :func:`denoise_file`.
        jobs: files at a time, in threads.
        sampling: as in :func:`denoise_file`.

    Raises:
        UsageError: no audio in the folder, an output exists, or it would replace an input.
        ModelError: the model can't be used.
        ValueError: a setting out of range.
    """
    todo, _ = plan(
        [os.fspath(folder)], None if out is None else os.fspath(out),
        recursive=recursive, picture=picture, overwrite=overwrite, uncertainty=uncertainty,
    )  # fmt: skip
    denoiser = model if isinstance(model, Denoiser) else Denoiser.from_pretrained(model)
    if uncertainty:
        check_likelihood(denoiser.description)
    return list(
        denoise_jobs(
            todo, denoiser, seed=seed, strength=strength, overwrite=overwrite, clip=clip, salvage=salvage, jobs=jobs,
            **sampling,
        )
    )  # fmt: skip


def denoise_jobs(
    todo: Iterable[Job],
    denoiser: Denoiser,
    *,
    seed: int = 0,
    strength: float = 1.0,
    overwrite: bool = False,
    clip: Clip = "scale",
    salvage: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    **sampling: Unpack[Sampling],
) -> Iterator[Denoised]:
    """Results in the order of the jobs, ``jobs`` of them at a time; arguments as in :func:`denoise_folder`.

    The files share one model, in threads: what takes the time leaves Python's lock alone.
    """
    options = denoiser.options(**sampling)
    writing = _Writing(overwrite, clip, salvage)

    def work(job: Job) -> Denoised:
        try:
            info = probe(job.sound, salvage)
            return _denoise(job, info, denoiser, seed, strength, writing, progress, options)
        except FOR_USERS as error:
            return Denoised(job, error=error)

    if jobs == 1:
        yield from map(work, todo)
        return
    pool = ThreadPoolExecutor(jobs)
    try:
        futures: list[Future[Denoised]] = [pool.submit(work, job) for job in todo]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt the running ones end at their next block


class _Writing(NamedTuple):
    overwrite: bool
    clip: Clip
    salvage: bool


def _denoise(
    job: Job,
    info: AudioInfo,
    denoiser: Denoiser,
    seed: int,
    strength: float,
    writing: _Writing,
    progress: Progress | None,
    options: SamplerConfig,
) -> Denoised:
    told = progress or (lambda _seconds: None)

    def counted() -> Iterator[np.ndarray]:
        for block in read_blocks(job.sound, salvage=writing.salvage):
            told(0.0)
            yield block
            told(block.shape[1] / info.sample_rate)

    start = time.perf_counter()
    job.target.parent.mkdir(parents=True, exist_ok=True)
    form, subtype = choose_format(job.target, like=info)
    writer = Writer(
        job.target,
        info.sample_rate,
        info.channels,
        format=form,
        subtype=subtype,
        overwrite=writing.overwrite,
        like=info,
        frames=info.frames,
        clip=writing.clip,
    )
    tracks = _Tracks(info, denoiser, options, seed, strength) if job.uncertainty else None
    with writer:
        if tracks is not None:
            outputs: Iterable[np.ndarray] = tracks.denoised(counted())
        else:
            outputs = denoiser.denoise_blocks(
                counted(), info.sample_rate, info.channels, seed=seed, strength=strength, sampler=options
            )
        for block in outputs:
            told(0.0)
            writer.write(block)
    spent = time.perf_counter() - start
    if tracks is not None and job.uncertainty is not None:
        tracks.save(job.uncertainty, job.target, writer.gain)
    if job.picture:
        from diffgmm.audio.figures import before_after

        before = _beginning(job.sound, writing.salvage)
        before_after(before, _beginning(job.target), info.sample_rate, job.picture)
    if job.stream is not None:
        _hand_on(job.target, job.stream)
    return Denoised(job, info.seconds, spent, writer.gain, writer.clipped, tuple(writer.lost))


def _hand_on(file: Path, stream: Path) -> None:
    """Copy a finished file into a pipe, a device or, for ``-``, the standard output."""
    with file.open("rb") as finished:
        if stream == STDIN:
            assert sys.__stdout__ is not None
            shutil.copyfileobj(finished, sys.__stdout__.buffer)
            sys.__stdout__.buffer.flush()
        else:
            with stream.open("wb") as pipe:
                shutil.copyfileobj(finished, pipe)


class _Tracks:
    """Uncertainty of one file: a row every :data:`ROW_SECONDS`, and the map of its beginning for the picture."""

    def __init__(
        self, info: AudioInfo, denoiser: Denoiser, options: SamplerConfig, seed: int, strength: float
    ) -> None:
        from diffgmm.inference.uncertainty import UncertainStream

        self._stream = UncertainStream(
            denoiser, info.sample_rate, info.channels, options, seed, bins_seconds=PICTURE_SECONDS
        )
        self._rate, self._channels, self._strength = info.sample_rate, info.channels, strength
        self._model_rate = denoiser.sample_rate
        self._rows: list[np.ndarray] = []  # [2, channels, rows]: 4 bytes each, 1.4 MB for an hour of mono
        self._shown: list[np.ndarray] = []  # [2, samples], channels averaged, of the picture's part
        self._done = 0

    def denoised(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The output; what is told of it is kept."""
        fed = (self._stream.push(checked(block, self._channels), self._strength) for block in blocks)
        for pieces in chain(fed, (self._stream.finish(self._strength) for _ in range(1))):
            for waveform, std, confidence in pieces:
                self._keep(std, confidence)
                yield waveform

    def _keep(self, std: np.ndarray, confidence: np.ndarray) -> None:
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
        from diffgmm.audio.figures import certainty_panel

        std, confidence = (
            np.concatenate(self._rows, axis=-1) if self._rows else np.zeros((2, self._channels, 0))
        )
        columns = [""] if self._channels == 1 else [f"_{i + 1}" for i in range(self._channels)]
        with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
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


def _beginning(path: Path, salvage: bool = False) -> np.ndarray:
    """The first :data:`PICTURE_SECONDS` of a file, ``[channels, samples]``."""
    wanted, pieces = PICTURE_SECONDS * probe(path, salvage).sample_rate, []
    for block in read_blocks(path, salvage=salvage):
        pieces.append(block)
        if sum(piece.shape[1] for piece in pieces) >= wanted:
            break
    return np.concatenate(pieces, axis=1)[:, :wanted]
