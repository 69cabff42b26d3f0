"""Every clip decoded once: its level, how far it stands above its own noise, and what it is recognised by."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data_modules.inspect.fingerprint import RATE, fingerprint
from data_modules.pools.build import read_item
from data_modules.pools.grade import Grade, grade
from data_modules.pools.sources import Item
from diffgmm.audio import AudioError, resample
from diffgmm.audio.levels import active_level, frame_powers
from diffgmm.utils.files import sha256_of
from diffgmm.utils.processes import in_processes

_QUIETEST = 0.05
_FLOOR = 1e-10  # -100 dBFS, below the rounding of 16 bits


@dataclass(frozen=True)
class Measured:
    """What was found out about a clip.

    Args:
        level: active level in dBFS, -inf for silence.
        snr: active level minus that of the quietest twentieth of the frames, in dB; NaN for silence.
        peak: largest sample.
        grade: how clean it is inside its phrases; None for noise.
        file: SHA-256 of the file; "" for a stretch of one, and, as all below, if no prints are asked for.
        samples: SHA-256 of the samples in 16 bits at the file's rate, whatever the format.
        shape: number of samples at 8 kHz and place of the loudest, which a change of level leaves alone.
        print: fingerprint, see `data_modules.inspect.fingerprint.fingerprint`.
    """

    level: float
    snr: float
    peak: float
    grade: Grade | None = None
    file: str = ""
    samples: str = ""
    shape: tuple[int, int] = (0, 0)
    print: tuple[np.ndarray, np.ndarray] | None = None


def own_snr(samples: np.ndarray, sample_rate: int) -> float:
    """Active level minus the mean level of the quietest 5 % of the 20 ms frames, in dB; NaN for silence.

    How much noise a recording of speech has of its own, for in its pauses only that is heard. Without pauses
    it says little.
    """
    powers = np.sort(frame_powers(samples, sample_rate))
    level = active_level(samples, sample_rate)
    if not len(powers) or not math.isfinite(level):
        return math.nan
    quietest = np.maximum(powers[: max(1, round(_QUIETEST * len(powers)))], _FLOOR)
    return level - float(np.mean(10.0 * np.log10(quietest)))


def measure(item: Item, prints: bool = False) -> Measured | str:
    """One clip, or the reason why it can't be read."""
    try:
        samples, rate = read_item(item)
    except AudioError as error:
        return str(error).removeprefix(f"{item.path}: ")
    peak = float(np.abs(samples).max(initial=0.0))
    level, snr = active_level(samples, rate), own_snr(samples, rate)
    graded = grade(samples, rate) if item.kind in ("speech", "clean") else None
    if not prints:
        return Measured(level, snr, peak, graded)
    digest = hashlib.sha256(f"{rate}\n".encode())
    digest.update(np.rint(samples * 32768.0).astype("<i4").tobytes())
    slow = resample(samples, rate, RATE)
    shape = (len(slow), int(np.argmax(np.abs(slow)))) if peak > 0.0 else (len(slow), -1)
    file = sha256_of(Path(item.path)) if item.whole else ""
    return Measured(level, snr, peak, graded, file, digest.hexdigest(), shape, fingerprint(slow))


def measure_all(
    items: Sequence[Item], *, prints: bool = False, workers: int | None = None, title: str = "measure"
) -> Iterator[Measured | str]:
    """Measures clips by several processes, in order, not far ahead of whoever takes the results.

    Args:
        items: the clips.
        prints: take checksums and fingerprints too.
        workers: processes; None: one per core.
        title: of the progress bar.

    Yields:
        Of each clip what was found, or the reason why it can't be read.
    """
    yield from in_processes(partial(measure, prints=prints), items, workers=workers, title=title)
