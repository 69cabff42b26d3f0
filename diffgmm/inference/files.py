"""Files and folders through a denoiser, block by block, with a picture and the uncertainty beside them on request.

Example:
    >>> from diffgmm.inference import denoise_file
    >>> denoise_file("noisy.wav", "clean.wav").seconds  # doctest: +SKIP
    12.5
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffgmm.audio import AudioInfo, Clip, Writer, probe, read_blocks
from diffgmm.diffusion.pretrained import check_likelihood
from diffgmm.diffusion.sampler_options import SamplerConfig, Sampling
from diffgmm.inference.denoiser import Denoiser
from diffgmm.inference.file_plan import STDIN, Job, check_outputs, plan
from diffgmm.utils.errors import FOR_USERS
from diffgmm.utils.files import replacing

if TYPE_CHECKING:
    from typing_extensions import Unpack

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
        lost: metadata of the input that the output's format can't hold, in words.
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


class Options(Sampling, total=False):
    """Arguments by name of everything that denoises files.

    Attributes:
        seed: of the sampling noise (0).
        strength: 0 changes nothing, 1 is the model's result (1).
        overwrite: replace existing files.
        clip: ``scale`` lowers a file that would clip, ``keep`` leaves its level and cuts peaks off, as the parts of one
            recording need it (``scale``).
        salvage: of a damaged or truncated file, denoise what can be read.
    """

    seed: int
    strength: float
    overwrite: bool
    clip: Clip
    salvage: bool


def denoise_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: Denoiser | str | os.PathLike[str] = "base",
    picture: str | os.PathLike[str] | None = None,
    uncertainty: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> Denoised:
    """Denoise an audio file of any length in constant memory; rate, channels, length and format stay.

    Args:
        path: the recording.
        out: file to write, which appears once it is complete; its ending names the format.
        model: a denoiser, or what :meth:`~diffgmm.inference.denoiser.Denoiser.from_pretrained` loads.
        picture: PNG to draw the first minute into, before and after.
        uncertainty: CSV for the expected error and the confidence, every 20 ms; a PNG of this name is drawn beside it.
        progress: see :data:`Progress`.
        options: see :class:`Options`, and the settings of :meth:`~diffgmm.inference.denoiser.Denoiser.denoise`.

    Raises:
        AudioError: the file can't be read, or the output can't be written.
        ModelError: the model can't be used.
        UsageError: an output exists, or would replace the input.
        ValueError: a setting out of range.
    """
    beside = (None if name is None else Path(name) for name in (picture, uncertainty))
    job = Job(Path(path), Path(out), *beside)
    check_outputs([job], options.get("overwrite", False))
    info = probe(job.source, options.get("salvage", False))  # before the model is loaded
    denoiser = model if isinstance(model, Denoiser) else Denoiser.from_pretrained(model)
    return _FileDenoiser(denoiser, progress, **options).denoise(job, info)


def denoise_folder(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    recursive: bool = False,
    model: Denoiser | str | os.PathLike[str] = "base",
    picture: bool = False,
    uncertainty: bool = False,
    jobs: int = 1,
    **options: Unpack[Options],
) -> list[Denoised]:
    """Denoise every audio file of a folder; one that fails is reported in its :class:`Denoised`, the others are done.

    Args:
        folder: the recordings.
        out: folder for files of the same names; None for ``FOLDER.denoised``.
        recursive: also of subfolders.
        model: as in :func:`denoise_file`.
        picture: write NAME.png beside each output.
        uncertainty: write NAME.uncertainty.csv and .png beside each output.
        jobs: files at a time, in threads.
        options: as in :func:`denoise_file`.

    Raises:
        UsageError: no audio in the folder, an output exists, or it would replace an input.
        ModelError: the model can't be used.
        ValueError: a setting out of range.
    """
    todo, _ = plan(
        [os.fspath(folder)], None if out is None else os.fspath(out), recursive=recursive, picture=picture,
        overwrite=options.get("overwrite", False), uncertainty=uncertainty,
    )  # fmt: skip
    denoiser = model if isinstance(model, Denoiser) else Denoiser.from_pretrained(model)
    if uncertainty:
        check_likelihood(denoiser.description)
    return list(denoise_jobs(todo, denoiser, jobs=jobs, **options))


def denoise_jobs(
    todo: Iterable[Job],
    denoiser: Denoiser,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> Iterator[Denoised]:
    """Results in the order of the jobs, ``jobs`` of them at a time; arguments as in :func:`denoise_folder`.

    The files share one model, in threads: what takes the time leaves Python's lock alone.
    """
    files = _FileDenoiser(denoiser, progress, **options)

    def work(job: Job) -> Denoised:
        try:
            return files.denoise(job)
        except FOR_USERS as error:
            return Denoised(job, error=error)

    if jobs == 1:
        yield from map(work, todo)
        return
    with ThreadPoolExecutor(jobs) as pool:  # after an interrupt the running ones end at their next block
        yield from pool.map(work, todo)


class _FileDenoiser:
    """One model and one set of options for any number of files."""

    def __init__(self, denoiser: Denoiser, progress: Progress | None, **options: Unpack[Options]) -> None:
        self._denoiser, self._progress = denoiser, progress or (lambda _seconds: None)
        given: dict[str, Any] = dict(options)
        self._seed, self._strength = given.pop("seed", 0), given.pop("strength", 1.0)
        self._salvage, overwrite = (given.pop(name, False) for name in ("salvage", "overwrite"))
        self._writing: dict[str, Any] = {"overwrite": overwrite, "clip": given.pop("clip", "scale")}
        self._sampler = denoiser.options(**given)

    def denoise(self, job: Job, info: AudioInfo | None = None) -> Denoised:
        """Read, denoise and write one file, with what is wanted beside it."""
        info = info or probe(job.sound, self._salvage)
        rate, channels = info.sample_rate, info.channels
        start = time.perf_counter()
        job.target.parent.mkdir(parents=True, exist_ok=True)
        writer = Writer(job.target, rate, channels, like=info, frames=info.frames, **self._writing)
        outputs: Iterable[np.ndarray]
        with writer:
            if job.uncertainty:
                tracks = _Tracks(info, self._denoiser, self._sampler, self._seed, self._strength)
                outputs = tracks.denoised(self._blocks(job, rate))
            else:
                outputs = self._denoiser.denoise_blocks(
                    self._blocks(job, rate), rate, channels, seed=self._seed, strength=self._strength,
                    sampler=self._sampler,
                )  # fmt: skip
            for block in outputs:
                self._progress(0.0)
                writer.write(block)
        spent = time.perf_counter() - start
        if job.uncertainty:
            tracks.save(job.uncertainty, job.target, writer.gain)
        if job.picture:
            from diffgmm.audio.figures import before_after

            before_after(_beginning(job.sound, self._salvage), _beginning(job.target), rate, job.picture)
        if job.stream is not None:
            _hand_on(job.target, job.stream)
        return Denoised(job, info.seconds, spent, writer.gain, writer.clipped, tuple(writer.lost))

    def _blocks(self, job: Job, sample_rate: int) -> Iterator[np.ndarray]:
        for block in read_blocks(job.sound, salvage=self._salvage):
            self._progress(0.0)
            yield block
            self._progress(block.shape[1] / sample_rate)


def _hand_on(file: Path, stream: Path) -> None:
    """Copy a finished file into a pipe, a device or, for ``-``, the standard output."""
    assert sys.__stdout__ is not None
    pipe = nullcontext(sys.__stdout__.buffer) if stream == STDIN else stream.open("wb")
    with file.open("rb") as finished, pipe as target:
        shutil.copyfileobj(finished, target)
        target.flush()


class _Tracks:
    """Uncertainty of one file: a row every :data:`ROW_SECONDS`, and the map of its beginning for the picture."""

    def __init__(
        self, info: AudioInfo, denoiser: Denoiser, sampler: SamplerConfig, seed: int, strength: float
    ) -> None:
        from diffgmm.inference.uncertainty import UncertainStream

        self._rate, self._channels, self._model_rate = info.sample_rate, info.channels, denoiser.sample_rate
        sound = self._rate, self._channels
        self._stream = UncertainStream(denoiser, *sound, sampler, seed, PICTURE_SECONDS, strength)
        self._rows = [np.zeros((2, self._channels, 0))]  # 1.4 MB for an hour of mono
        self._shown = [np.zeros((2, 0))]  # of the picture's part, channels averaged
        self._done = 0

    def denoised(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The output; what is known of it is kept."""
        for waveform, std, confidence in self._stream.run(blocks):
            tracks, end = np.stack([std, confidence]), self._done + std.shape[1]
            first, last = (int(np.ceil(n / (ROW_SECONDS * self._rate) - 1e-9)) for n in (self._done, end))
            places = np.round(np.arange(first, last) * ROW_SECONDS * self._rate).astype(int) - self._done
            self._rows.append(tracks[..., places[places < std.shape[1]]])
            self._shown.append(tracks.mean(axis=1)[:, : max(0, PICTURE_SECONDS * self._rate - self._done)])
            self._done = end
            yield waveform

    def save(self, path: Path, target: Path, gain: float) -> None:
        """Write the table and, beside it, the picture; ``gain`` is what the output was multiplied by."""
        from diffgmm.audio.figures import certainty_panel

        std, confidence = np.concatenate(self._rows, axis=-1, dtype=np.float32)
        values = np.stack([gain * std, confidence], axis=1).reshape(2 * self._channels, -1)
        table = np.column_stack([ROW_SECONDS * np.arange(values.shape[1]), *values])
        columns = [""] if self._channels == 1 else [f"_{i + 1}" for i in range(self._channels)]
        head = ["seconds", *(f"{name}{c}" for c in columns for name in ("std", "confidence"))]
        lines: Any = {"fmt": ["%.2f", *["%.4g"] * len(values)], "delimiter": ",", "newline": "\r\n"}
        with replacing(path) as part:
            np.savetxt(part, table, header=",".join(head), comments="", **lines)
        shown_std, shown_confidence = np.concatenate(self._shown, axis=-1)
        bins = self._stream.bins()
        if bins is not None:
            seconds = min(self._done / self._rate, PICTURE_SECONDS)
            frames = max(1, int(np.searchsorted(bins.times, seconds)))
            # Channels are averaged in the picture; of their maps the loudest is shown.
            bins = (gain * bins.std.max(axis=0)[:, :frames], float(self._model_rate))
        picture = path.with_suffix(".png")
        certainty_panel(_beginning(target), gain * shown_std, shown_confidence, self._rate, bins, picture)


def _beginning(path: Path, salvage: bool = False) -> np.ndarray:
    """The first :data:`PICTURE_SECONDS` of a file, ``[channels, samples]``."""
    info = probe(path, salvage)
    wanted = min(PICTURE_SECONDS * info.sample_rate, info.frames)
    return np.concatenate(list(read_blocks(path, count=wanted, salvage=salvage)), axis=1)
