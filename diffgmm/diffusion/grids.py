"""Times at which the reverse process stops: the grid of network calls, and the sub-steps between them."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor


def time_grid(nfe: int, power: float = 1.0) -> Tensor:
    """Decreasing times from 1 to 0 for ``nfe`` reverse steps: ``(1 - i / nfe) ** power``, shape ``[nfe + 1]``.

    ``power`` above 1 puts more steps near the clean end.

    Raises:
        ValueError: if ``nfe`` is below 1 or ``power`` not positive.
    """
    if nfe < 1:
        raise ValueError(f"nfe must be at least 1, got {nfe}")
    if not power > 0:
        raise ValueError(f"the power of the time grid must be positive, got {power}")
    return (1.0 - torch.arange(nfe + 1, dtype=torch.float64) / nfe).pow(power).float()


def grid_for(nfe: int, solver: object = "step", power: float = 1.0) -> Tensor:
    """Time grid (:func:`time_grid`) on which ``solver`` makes ``nfe`` network calls.

    ``heun`` calls the network twice in an interval that it corrects: the others get the calls that are left over.
    """
    return time_grid(nfe // 2 + 1 if solver == "heun" and nfe >= 1 else nfe, power)


def sub_grid(time: float, t_next: float, substeps: int) -> list[float]:
    """Times from ``time`` down to ``t_next``, equally spaced in the angle ``arccos(sqrt(t))``.

    In that angle both ends of the bridge are smooth: sigma_t is ``c sin cos`` of it.
    """
    first, last = (math.acos(math.sqrt(t)) for t in (time, t_next))
    inner = [math.cos(first + (last - first) * i / substeps) ** 2 for i in range(1, substeps)]
    return [time, *inner, t_next]


def intervals(times: Tensor) -> list[float]:
    """The grid as Python numbers, so that no step has to wait for the device.

    Raises:
        ValueError: it does not fall from 1 to 0.
    """
    if times.dim() != 1 or len(times) < 2:
        raise ValueError("the time grid must run from 1 to 0")
    values: list[float] = times.tolist()
    if values[0] != 1.0 or values[-1] != 0.0 or not all(b < a for a, b in pairwise(values)):
        raise ValueError(f"the time grid must run from 1 to 0, without a step back, got {values}")
    return values
