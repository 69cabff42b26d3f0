"""Level and grade of a clip, and the checksums by which a copy of it is recognised."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from data_modules.pools.build import read_item
from data_modules.pools.grade import Grade, grade
from data_modules.pools.sources import Item
from diffgmm.audio import AudioError, resample
from diffgmm.audio.levels import active_level
from diffgmm.utils.files import sha256_of

RATE = 8000  # Hz, at which clips of any rate are compared


@dataclass(frozen=True)
class Measured:
    """Properties of a clip.

    Args:
        level: active level in dBFS, -inf for silence.
        peak: largest sample.
        grade: how clean it is inside its phrases; None for noise.
        file: SHA-256 of the file.
        samples: SHA-256 of the samples in 16 bits at the file's rate, whatever the format.
        shape: number of samples at 8 kHz and place of the loudest, which a change of level leaves alone.
    """

    level: float
    peak: float
    grade: Grade | None
    file: str
    samples: str
    shape: tuple[int, int]


def measure(item: Item) -> Measured | str:
    """One clip, or the reason why it can't be read."""
    try:
        samples, rate = read_item(item)
    except AudioError as error:
        return str(error).removeprefix(f"{item.path}: ")
    digest = hashlib.sha256(f"{rate}\n".encode() + np.rint(samples * 32768.0).astype("<i4").tobytes())
    slow = np.abs(resample(samples, rate, RATE))
    return Measured(
        active_level(samples, rate),
        float(np.abs(samples).max(initial=0.0)),
        grade(samples, rate) if item.kind in ("speech", "clean") else None,
        sha256_of(item.path),
        digest.hexdigest(),
        (len(slow), int(np.argmax(slow)) if len(slow) else 0),
    )
