"""Energy that processors and GPUs took, where the machine lets it be read: RAPL on Linux, NVML for NVIDIA's GPUs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

RAPL = Path("/sys/class/powercap")


class EnergyMeter:
    """Adds up counters between calls of :meth:`update`.

    Counters of RAPL start anew after some tens of minutes under load: call :meth:`update` every few minutes, and no
    turn is missed. What can't be read (RAPL needs root on most machines; there is none in most virtual ones) is left
    out: None means unknown, never zero. Everything that runs on the machine is counted, not this process alone.

    Args:
        folder: of the kernel's power capping interface.
        gpus: numbers of NVIDIA's GPUs to count.
    """

    def __init__(self, folder: Path = RAPL, gpus: tuple[int, ...] = ()) -> None:
        self._counters = {"cpu": _rapl(folder), "gpu": _nvml(gpus)}
        self._joules = dict.fromkeys(self._counters, 0.0)
        self._last = {kind: [read() for read, _ in each] for kind, each in self._counters.items()}

    def update(self) -> None:
        """Read all counters."""
        for kind, counters in self._counters.items():
            for i, (read, turn) in enumerate(counters):
                now, before = read(), self._last[kind][i]
                if now is not None and before is not None:
                    self._joules[kind] += now - before + (turn if now < before else 0.0)
                self._last[kind][i] = now if now is not None else before

    def joules(self) -> dict[str, float | None]:
        """Since the start, until the last :meth:`update`: ``cpu`` (packages, all cores) and ``gpu``."""
        return {
            kind: round(self._joules[kind], 1) if any(last is not None for last in self._last[kind]) else None
            for kind in self._counters
        }


Counter = tuple[Callable[[], "float | None"], float]
"""Reads joules, and the joules after which it starts anew."""


def _rapl(folder: Path) -> list[Counter]:
    """A counter for every package; their parts (cores, memory) are counted in them."""
    counters: list[Counter] = []
    for zone in sorted(folder.glob("*-rapl:*")):
        if zone.name.count(":") != 1:
            continue
        top = _number(zone / "max_energy_range_uj")
        counters.append((_reader(zone / "energy_uj"), 0.0 if top is None else top))
    return counters


def _reader(path: Path) -> Callable[[], float | None]:
    return lambda: _number(path)


def _number(path: Path) -> float | None:
    """Joules out of a file of microjoules; None if it can't be read."""
    try:
        return int(path.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def _nvml(gpus: tuple[int, ...]) -> list[Counter]:
    if not gpus:
        return []
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except (ImportError, OSError, RuntimeError):
        return []
    except Exception as error:  # NVML's own errors have no common class to import before it is there
        if type(error).__module__.startswith("pynvml"):
            return []
        raise

    def counter(number: int) -> Counter:
        def read() -> float | None:
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(number)
                return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
            except nvml.NVMLError:  # not every GPU counts
                return None

        return read, 0.0

    return [counter(number) for number in gpus]
