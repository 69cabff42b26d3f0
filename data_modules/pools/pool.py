"""Audio decoded once into one memory-mapped int16 file, with an index of its clips.

A pool holds the clips of one split and kind at one sample rate. It is built the first time, kept under a name
made from the file list, sizes, times and rate, and opened in an instant from then on. Each clip is stored at
full scale together with its gain, so that quiet recordings keep their resolution.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_modules.errors import DataError
from data_modules.pools.grade import Grade, grade
from diffgmm.utils.files import replacing

VERSION = 2
AUDIO, INDEX, INFO, NAMES, GRADES = "audio.i16", "index.npz", "info.json", "names.txt", "grades.npy"
_ARRAYS = ("offset", "length", "group", "gain", "level")
# Touched pages of the map count as this process's memory; they are given back after so many samples read.
_RELEASE_AFTER = 8 * 2**20
# A pool of more bytes won't stay in the page cache; read-ahead would then fetch megabytes for each window.
_LARGE = 2 * 2**30


class Pool:
    """Clips of one kind, read from a memory map.

    The clips of a group lie next to each other, in order of group and path. Pickling carries the path alone,
    so a worker started by ``spawn`` opens its own map and one started by ``fork`` shares the parent's.

    Args:
        folder: what `data_modules.pools.build.open_pool` has built.

    Attributes:
        sample_rate: in Hz.
        groups: names of the speakers or noise categories.
        offset, length: first sample and number of samples of each clip, int64 [clips].
        group: index into `groups` of each clip, int64 [clips].
        gain: what the stored clip is multiplied with to get its own level back, float32 [clips].
        level: active level of each clip in dBFS, float32 [clips].
        skipped: the files left out, each with the reason.
        weights: how often each group is drawn, beside its duration, float64 [groups]; set by `weigh`.

    Raises:
        DataError: the folder holds no complete pool.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        anew = "delete the folder to build it anew"
        try:
            info = json.loads((self.folder / INFO).read_text(encoding="utf-8"))
            with np.load(self.folder / INDEX) as index:
                arrays: Iterator[np.ndarray] = map(index.__getitem__, _ARRAYS)
                self.offset, self.length, self.group, self.gain, self.level = arrays
            with (self.folder / AUDIO).open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{self.folder}: not a complete pool ({error}); {anew}") from None
        self._samples = np.frombuffer(self._map, dtype="<i2")
        self._since_release = 0
        if len(self._map) > _LARGE:
            self._advise("MADV_RANDOM")
        self.sample_rate: int = info["sample_rate"]
        self.groups: list[str] = info["groups"]
        self.skipped: list[list[str]] = info["skipped"]
        if len(self.offset) == 0 or len(self._samples) < int(self.offset[-1] + self.length[-1]):
            raise DataError(f"{self.folder}: the pool is cut short; {anew}")
        self.weights = np.ones(len(self.groups))
        # Groups are drawn by a power of their duration, clips by their duration: sums up to each.
        self._ends = np.concatenate(([0], np.cumsum(self.length)))
        bounds = np.searchsorted(self.group, np.arange(len(self.groups) + 1))
        self._first, self._last = bounds[:-1], bounds[1:]
        self._group_ends: dict[float, np.ndarray] = {}  # by the power asked for

    def _advise(self, advice: str, *stretch: int) -> None:
        """Tells the kernel how the map is used, where it takes advice."""
        if hasattr(mmap, advice):
            self._map.madvise(getattr(mmap, advice), *stretch)

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "weights": self.weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"])  # type: ignore[misc]
        self.weights = state["weights"]

    def checksum(self) -> str:
        """SHA-256 of what training hears: rate, groups, clip boundaries and every sample, whatever the files' place."""
        digest = hashlib.sha256(json.dumps([self.sample_rate, self.groups]).encode())
        for part in (self.length.astype("<i8"), self.group.astype("<i8"), self.gain.astype("<f4")):
            digest.update(np.ascontiguousarray(part).data)
        for start in range(0, len(self._samples), 1 << 22):  # in pieces: a large pool is not kept in memory
            digest.update(self._samples[start : start + (1 << 22)].data)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def seconds(self) -> float:
        """Duration of all clips together."""
        return float(self._ends[-1]) / self.sample_rate

    def names(self) -> list[str]:
        """Paths of the files that the clips came from (read from disk at each call)."""
        return (self.folder / NAMES).read_text(encoding="utf-8", errors="surrogateescape").split("\n")

    def read(self, clip: int, start: int = 0, samples: int | None = None) -> np.ndarray:
        """A stretch of a clip at its own level, float32 [samples] (shorter where the clip ends)."""
        length = int(self.length[clip])
        stop = length if samples is None else min(length, start + samples)
        first = int(self.offset[clip])
        if len(self._map) > _LARGE:
            page = 2 * (first + start) // mmap.PAGESIZE * mmap.PAGESIZE
            self._advise("MADV_WILLNEED", page, max(1, 2 * (first + stop) - page))
        stored = self._samples[first + start : first + stop]
        out = stored.astype(np.float32)
        out *= np.float32(self.gain[clip] / 32768.0)
        self._since_release += len(out)
        if self._since_release > _RELEASE_AFTER < len(self._samples):
            self._since_release = 0
            self._advise("MADV_DONTNEED")
        return out

    def grades(self) -> np.ndarray:
        """How clean each clip of speech is (`data_modules.pools.grade`), float64 [clips, 4]; computed once."""
        place = self.folder / GRADES
        try:
            table: np.ndarray = np.load(place)
            if table.shape == (len(self), len(Grade._fields)):
                return table
        except (OSError, ValueError):
            pass  # not there yet
        clips = tqdm(range(len(self)), desc="Grading speech", unit="clip", mininterval=0.5)
        table = np.array([grade(self.read(clip), self.sample_rate) for clip in clips])
        # A folder that can't be written is no cache, and nothing more.
        with contextlib.suppress(OSError), replacing(place) as part, part.open("wb") as file:
            np.save(file, table)
        return table

    def weigh(self, weights: np.ndarray) -> None:
        """Sets how often groups are drawn, beside their duration.

        Raises:
            DataError: nobody is left.
        """
        if not np.any(weights > 0.0):
            raise DataError(f"none of the {len(self.groups)} groups may be drawn; raise the limit")
        self.weights, self._group_ends = np.asarray(weights, dtype=np.float64), {}

    def draw_group(self, rng: np.random.Generator, exclude: int | None = None, balance: float = 0.5) -> int:
        """A random group, by its duration to the power `balance`; never `exclude` if there are others.

        With a power of 0 all groups are alike, with 1 an hour of one is as likely as an hour of another.
        """
        if (ends := self._group_ends.get(balance)) is None:
            durations = self._ends[self._last] - self._ends[self._first]
            weights = (durations / self.sample_rate) ** balance * self.weights
            ends = self._group_ends[balance] = np.cumsum(weights / weights.sum())
        for _ in range(64):
            group = min(int(np.searchsorted(ends, rng.random(), side="right")), len(self.groups) - 1)
            if group != exclude:
                return group
        others = [int(group) for group in np.flatnonzero(self.weights > 0.0) if group != exclude]
        return others[int(rng.integers(len(others)))] if others else group

    def draw_clip(self, rng: np.random.Generator, group: int) -> int:
        """A random clip of a group, likelier the longer it is (proportional to its duration)."""
        first, last = int(self._first[group]), int(self._last[group])
        start, stop = self._ends[first], self._ends[last]
        at = start + rng.random() * (stop - start)
        return min(int(np.searchsorted(self._ends[first : last + 1], at, side="right")) - 1 + first, last - 1)
