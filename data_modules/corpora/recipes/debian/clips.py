"""Conditioning and naming of a clip: mix down, resample, trim; refuse what is silent, clipped, noisy or too short."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from data_modules.corpora.recipe import Refused
from diffgmm.audio import resample
from diffgmm.audio.levels import to_mono

SAMPLE_RATE = 16000
MIN_SECONDS = {"speech": 0.5, "noise": 0.2}
SILENT_DB = -55.0
"""Below this level (loudest 10 ms, dB of full scale) a clip counts as silent."""
CLIPPED_FRACTION = 1e-3
"""A clip with a larger share of its samples at full scale counts as clipped."""
TRIM_DB = 50.0
"""Noise is trimmed where it stays this far below its loudest 10 ms."""
NOISY_DB = 20.0
"""Speech whose quietest twentieth is less than this below its active level is no clean target."""
QUIET_PEAK = 0.1
"""Noise with a lower peak is raised to it: its absolute level says nothing, mixing sets the level anyway."""
_FRAME = SAMPLE_RATE // 100


def _frame_levels(x: np.ndarray) -> np.ndarray:
    """RMS in dB of full scale of each 10 ms of a mono signal [samples] at 16 kHz."""
    padded = np.pad(x, (0, -len(x) % _FRAME)).reshape(-1, _FRAME)
    return 10.0 * np.log10(np.mean(np.square(padded, dtype=np.float64), axis=1) + 1e-12)


def speech_to_floor_db(levels: np.ndarray) -> float:
    """Active level minus the mean level of the quietest 5 % of the frames, in dB.

    Active are the frames within 35 dB of the loudest one.

    Args:
        levels: level of each frame in dB [frames].
    """
    active = levels[levels > levels.max() - 35.0]
    quiet = np.sort(levels)[: max(1, len(levels) // 20)]
    return float(10.0 * np.log10(np.mean(10.0 ** (active / 10.0))) - quiet.mean())


def clean(x: np.ndarray, rate: int, kind: str) -> np.ndarray | Refused:
    """Mono clip [samples] at 16 kHz, ready to encode, or why the corpus refuses it.

    Args:
        x: samples [channels, samples].
        rate: their rate in Hz.
        kind: "speech" (kept as it is) or "noise" (trimmed at both ends; long recordings stay whole).
    """
    if x.shape[-1] < rate * MIN_SECONDS[kind]:
        return Refused("short")
    if np.mean(np.abs(x) >= 0.999) > CLIPPED_FRACTION:
        return Refused("clipped")
    mono = resample(to_mono(x), rate, SAMPLE_RATE)
    mono = mono - np.float32(mono.mean())
    levels = _frame_levels(mono)
    if levels.max() < SILENT_DB:
        return Refused("silent")
    if kind == "speech" and speech_to_floor_db(levels) < NOISY_DB:
        return Refused("noisy")
    if kind == "noise":
        loud = np.flatnonzero(levels > levels.max() - TRIM_DB)
        mono = mono[loud[0] * _FRAME : (loud[-1] + 1) * _FRAME]
    if len(mono) < SAMPLE_RATE * MIN_SECONDS[kind]:
        return Refused("short")
    peak = float(np.abs(mono).max())
    if kind == "noise" and peak < QUIET_PEAK:  # a game plays it quietly; 16 bits should still resolve it
        return mono * np.float32(QUIET_PEAK / peak)
    return mono * np.float32(0.99 / peak) if peak > 0.99 else mono


def file_stem(package: str, member: str) -> str:
    """File name (without suffix) for a clip: readable, portable, and unique by a short hash of its origin.

    >>> file_stem("0ad-data", "audio/ambient/weather/rain_11.ogg")
    '0ad-data_rain_11_6c57ee'
    """
    name = member.split('"')[1] if member.startswith("opensfx.cat/") and '"' in member else Path(member).stem
    readable = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40] or "clip"
    unique = hashlib.sha256(f"{package}/{member}".encode()).hexdigest()[:6]
    return f"{package}_{readable}_{unique}"


def condition(x: np.ndarray, rate: int, kind: str, to_rate: int) -> np.ndarray | Refused:
    """:func:`clean` for the engine: 16-bit samples; `to_rate` is the corpus's own, :data:`SAMPLE_RATE`."""
    assert to_rate == SAMPLE_RATE
    cleaned = clean(x, rate, kind)
    return cleaned if isinstance(cleaned, Refused) else np.round(cleaned * 32767.0).astype(np.int16)
