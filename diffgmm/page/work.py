"""Recordings through a denoiser for the page: the files, a line about each, and the two tracks of the player."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffgmm.audio import AudioError, Writer, probe, read_blocks
from diffgmm.inference.file_plan import plan
from diffgmm.inference.files import denoise_file
from diffgmm.utils.errors import FOR_USERS, UserError, lacks_package, one_line

if TYPE_CHECKING:
    from diffgmm.diffusion.sampler_options import Sampling
    from diffgmm.inference import Denoiser

SAMPLED_CALLS = 4  # network calls of a sampled result: one step draws every bin for itself


class Stopped(UserError):
    """The visitor pressed Stop, or left."""


@dataclass(frozen=True)
class Settings:
    """What the page asks for.

    Args:
        model: one of those that the page offers.
        strength: 0 changes nothing, 1 is the model's result.
        samples: sampled results to average; 0 for the mixture's mean in one network call.
        uncertainty: also estimate the uncertainty.
        salvage: of a damaged file, denoise what can be read.
    """

    model: str = "base"
    strength: float = 1.0
    samples: int = 0
    uncertainty: bool = False
    salvage: bool = False

    def sampling(self) -> Sampling:
        """The settings of the sampler."""
        if not self.samples:
            return {}
        return {"estimate": "sample", "samples": self.samples, "nfe": SAMPLED_CALLS}


@dataclass(frozen=True)
class Outcome:
    """What became of a recording.

    Attributes:
        name: as the visitor knows it.
        line: what happened, or why nothing did.
        denoised: the result, in the recording's own format; ``None`` if there is none.
        tracks: a WAV file for the player (:func:`write_tracks`).
        channels: of each of its two tracks.
        picture, uncertainty_picture, uncertainty_table: further outputs.
    """

    name: str
    line: str
    denoised: Path | None = None
    tracks: Path | None = None
    channels: int = 0
    picture: Path | None = None
    uncertainty_picture: Path | None = None
    uncertainty_table: Path | None = None


class Visit:
    """One open page: the folder of its results, and whether it was told to stop."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="visit-", dir=root))
        self._stop = threading.Event()

    def check(self) -> None:
        """Raise :class:`Stopped` after :meth:`stop`."""
        if self._stop.is_set():
            raise Stopped("stopped")

    def stop(self) -> None:
        """End what is running at its next block."""
        self._stop.set()

    def end(self) -> None:
        """Stop, and remove the results."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def denoise_upload(
    upload: Path,
    name: str,
    visit: Visit,
    load: Callable[[str], Denoiser],
    settings: Settings,
    most_minutes: float,
    progress: Callable[[float], object],
) -> Outcome:
    """Denoise one recording into a folder of its own; what a visitor can solve is reported in :attr:`Outcome.line`.

    Args:
        upload: the file.
        name: for messages, in the place of its path.
        visit: whose it is.
        load: gives the model of a name.
        settings: see :class:`Settings`.
        most_minutes: longer recordings are refused.
        progress: called with the share that is done, 0 to 1.
    """
    try:
        visit.check()
        info = probe(upload, settings.salvage)
        if info.seconds > 60 * most_minutes:
            raise AudioError(
                f"{name}: lasts {info.seconds / 60:.1f} minutes, this page takes {most_minutes:g}; "
                "`diffgmm denoise` takes any length, `diffgmm demo --max-minutes N` more here"
            )
        folder = Path(tempfile.mkdtemp(dir=visit.folder))
        (job,), _ = plan([str(upload)], str(folder), recursive=False, picture=True, overwrite=False)
        target = folder / f"{upload.stem}.denoised{job.target.suffix}"
        picture = target.with_suffix(".png")
        table = target.with_name(f"{target.stem}.uncertainty.csv") if settings.uncertainty else None
        done = 0.0

        def advance(seconds: float) -> None:
            nonlocal done
            visit.check()
            if seconds:
                done += seconds
                progress(min(1.0, done / info.seconds))

        result = denoise_file(
            upload, target, model=load(settings.model), strength=settings.strength, picture=picture,
            uncertainty=table, salvage=settings.salvage, progress=advance, **settings.sampling(),
        )  # fmt: skip
        tracks = folder / "tracks.wav"
        channels = write_tracks(upload, target, result.gain, tracks, settings.salvage)
    except (*FOR_USERS, ModuleNotFoundError) as error:
        if not isinstance(error, FOR_USERS) and not lacks_package(error):
            raise
        text = one_line(error).replace(str(upload), name)
        return Outcome(name, text if text.startswith(name) else f"{name}: {text}")
    notes = [info.note] if info.note else []
    figures = f"{result.seconds:.1f} s in {result.spent:.2f} s"
    return Outcome(
        name, f"{name}: {', '.join([figures, *notes, *result.notes])}", target, tracks, channels, picture,
        table.with_suffix(".png") if table else None, table,
    )  # fmt: skip


def write_tracks(before: Path, after: Path, gain: float, path: Path, salvage: bool = False) -> int:
    """Both recordings as channels of one WAV file, so that a player switches between them without losing its place.

    Args:
        before, after: files of one rate and channel count; of more than two channels, the first two are taken.
        gain: what ``after`` was multiplied by so as not to clip; ``before`` is, too, to be compared at one level.
        path: to write, 16 bits: the channels of ``before``, then those of ``after``.
        salvage: ``before`` may be damaged.

    Returns:
        Channels of each.
    """
    info = probe(after)
    channels = min(2, info.channels)
    with Writer(path, info.sample_rate, 2 * channels, format="WAV", subtype="PCM_16", clip="keep") as writer:
        for x, y in _in_step(read_blocks(before, salvage=salvage), read_blocks(after), info.channels):
            writer.write(np.concatenate([gain * x[:channels], y[:channels]]))
    return channels


def _in_step(
    first: Iterator[np.ndarray], second: Iterator[np.ndarray], channels: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of equal sizes out of two rows of blocks, as far as both go."""
    none = np.zeros((channels, 0), np.float32)
    a = b = none
    for x, y in zip_longest(first, second, fillvalue=none):
        a, b = np.concatenate([a, x], axis=1), np.concatenate([b, y], axis=1)
        size = min(a.shape[1], b.shape[1])
        yield a[:, :size], b[:, :size]
        a, b = a[:, size:], b[:, size:]
