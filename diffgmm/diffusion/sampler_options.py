"""The options of the reverse process that a user may set, and what a saved model sets where the user does not."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal, TypedDict

Estimate = Literal["mean", "sample", "mode"]

ESTIMATES: tuple[Estimate, ...] = ("mean", "sample", "mode")

Solver = Literal["step", "flow", "heun"]

SOLVERS: tuple[Solver, ...] = ("step", "flow", "heun")


class Sampling(TypedDict, total=False):
    """Options of :meth:`diffgmm.diffusion.model.MixtureDenoiser.enhance`; ``None``: the model's own default."""

    nfe: int | None  # network calls per window
    estimate: Estimate | None  # what is taken from the mixture
    samples: int | None  # reverse runs that are averaged
    solver: Solver | None  # how the states walk
    substeps: int | None  # closed-form steps between two network calls
    grid_power: float | None  # above 1: more of the steps near the clean end
    temperature: float | None  # of the mixture's standard deviations


def whole_number(name: str, value: Any, least: int) -> int:
    """``value`` as an int.

    Raises:
        ValueError: it is no whole number from ``least`` on.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def resolved(defaults: Mapping[str, Any], given: Sampling) -> dict[str, Any]:
    """Options for the model: ``nfe``, ``estimate`` and ``samples`` always, the others where somebody set them.

    Args:
        defaults: ``sampler`` of the model's description.
        given: what the user wants.

    Raises:
        ValueError: a value out of range.
        TypeError: no such option.
    """
    if unknown := set(given) - set(Sampling.__annotations__):
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    options: dict[str, Any] = {"nfe": 1, "estimate": "mean", "samples": 1}
    options |= {name: value for name, value in defaults.items() if name in Sampling.__annotations__}
    options |= {name: value for name, value in given.items() if value is not None}
    for name in ("nfe", "samples", "substeps"):
        if name in options:
            options[name] = whole_number(name, options[name], 1)
    for name, known in (("estimate", ESTIMATES), ("solver", SOLVERS)):
        if name in options and options[name] not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {options[name]!r}")
    for name in ("grid_power", "temperature"):
        value = options.get(name, 1.0)
        if not (isinstance(value, Real) and 0 < float(value) < float("inf")):
            raise ValueError(f"{name} must be a number above 0, got {value!r}")
    return options


def is_random(options: Mapping[str, Any]) -> bool:
    """Whether the result depends on random numbers."""
    return options["estimate"] == "sample" or options["nfe"] > 1
