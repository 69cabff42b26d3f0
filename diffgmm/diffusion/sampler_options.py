"""Settings of the reverse process; light, so that a command can check them before it loads PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from diffgmm.utils.errors import UserError, one_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

Estimate = Literal["mean", "sample", "mode"]

ESTIMATES: tuple[Estimate, ...] = get_args(Estimate)

Solver = Literal["step", "flow", "heun"]

SOLVERS: tuple[Solver, ...] = get_args(Solver)

MOST_STEPS = 1000
"""Calls, runs and steps within a call at most, each."""

FOREIGN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
"""``PACKAGE.MODULE:FUNCTION``."""


class Sampling(TypedDict, total=False):
    """Settings by name, over those of ``sampler``; ``None`` leaves a setting alone (:class:`SamplerConfig`)."""

    sampler: SamplerConfig | None
    nfe: int | None
    estimate: Estimate | None
    samples: int | None
    solver: str | Callable[..., Any] | None
    substeps: int | None
    step_noise: bool | None
    grid_power: float | None
    temperature: float | None


@dataclass(frozen=True)
class SamplerConfig:
    """How the reverse process is walked.

    Args:
        nfe: network calls per window.
        estimate: what a step takes from the mixture: ``mean`` (MMSE), ``sample`` or ``mode``.
        samples: reverse runs that are averaged; more than one makes sense with ``sample``.
        solver: ``step`` (the process's reverse step), ``flow`` (the deterministic one with the same marginals),
            ``heun`` (``flow`` to second order), ``PACKAGE.MODULE:FUNCTION``, or a function like
            :func:`diffgmm.diffusion.samplers.sample_ancestral`.
        substeps: closed-form steps per network call, with ``step`` and ``flow`` on a bridge.
        step_noise: whether the process's own noise is added between steps; ``None``: as it measured best
            (experiments/NFE.md), with ``sample``, and with ``mean`` and the solver ``step``. The noise keeps the states
            like those of training; without it, PESQ falls faster with every further call.
        grid_power: above 1 puts more of the steps near the clean end (:func:`diffgmm.diffusion.grids.time_grid`).
        temperature: multiplies the standard deviations of every mixture, and so the uncertainty.

    Raises:
        ValueError: a number out of range, an unknown name, or settings that contradict each other.
    """

    nfe: int = 1
    estimate: Estimate = "mean"
    samples: int = 1
    solver: str | Callable[..., Any] = "step"
    substeps: int = 1
    step_noise: bool | None = None
    grid_power: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name in ("nfe", "samples", "substeps"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 1, MOST_STEPS))
        for name in ("grid_power", "temperature"):
            value, is_number = getattr(self, name), isinstance(getattr(self, name), Real)
            if not is_number or not 1e-6 <= value <= 1e6:
                raise ValueError(f"{name} must be a number above 0, up to a million, got {value!r:.40}")
        one_of("estimate", self.estimate, ESTIMATES)
        if self.step_noise not in (None, True, False):
            raise ValueError(f"step_noise must be true, false or null, got {self.step_noise!r:.40}")
        known = callable(self.solver)
        if isinstance(self.solver, str):
            known = self.solver in SOLVERS or bool(len(self.solver) <= 200 and FOREIGN.fullmatch(self.solver))
        if not known:
            named = f"{', '.join(SOLVERS)}, or PACKAGE.MODULE:FUNCTION"
            raise ValueError(f"solver must be one of {named}, got {self.solver!r:.40}")
        if self.substeps > 1 and self.solver not in ("step", "flow"):
            raise ValueError("substeps above 1 need a bridge and the solver step or flow")

    @classmethod
    def saved(cls, entries: Mapping[str, Any]) -> SamplerConfig:
        """Settings from the ``sampler`` of a model's description; entries of later versions are left out.

        Raises:
            ValueError: a value out of range.
        """
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in entries.items() if name in names})

    def changed(self, **given: Unpack[Sampling]) -> SamplerConfig:
        """These settings, or those of ``sampler``, with others by name.

        Raises:
            ValueError: a value out of range.
            TypeError: no such option.
        """
        if unknown := set(given) - set(Sampling.__annotations__):
            raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
        config = given.pop("sampler", None) or self
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return replace(config, **changes)

    def options(self) -> dict[str, Any]:
        """``nfe``, ``estimate`` and ``samples``, and what differs from the defaults."""
        always = ("nfe", "estimate", "samples")
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, usual) in values.items() if name in always or value != usual}

    def description(self) -> dict[str, Any]:
        """Plain data for a saved model, without what has its default value; :meth:`saved` reads it."""
        entries = self.options()
        if self.samples == 1:
            del entries["samples"]
        if not isinstance(self.solver, str):
            entries["solver"] = f"{self.solver.__module__}:{self.solver.__qualname__}"
        return entries

    def resolved(self, trust: Collection[str] | None = ()) -> SamplerConfig:
        """These settings with the solver's function in the place of its ``PACKAGE.MODULE:FUNCTION``.

        Args:
            trust: packages that may be imported; ``None``: any, for settings that the user wrote.

        Raises:
            UserError: the package is not trusted, or has no such function.
        """
        if not isinstance(self.solver, str) or self.solver in SOLVERS:
            return self
        return replace(self, solver=foreign_function(self.solver, "solver", trust))

    def is_random(self) -> bool:
        """Whether the result depends on random numbers."""
        return self.estimate == "sample" or self.nfe > 1 or self.solver not in SOLVERS


def foreign(path: str, kind: str, trust: Collection[str] | None = ()) -> Any:
    """What ``PACKAGE.MODULE:NAME`` or ``PACKAGE.MODULE.NAME`` names; its package is imported, with all that this runs.

    Args:
        path: of a function or class.
        kind: what it is for, for messages: ``solver``, ``metric``, ``network``...
        trust: packages that may be imported; ``None``: any.

    Returns:
        ``None`` if the module has nothing of this name.

    Raises:
        UserError: the package is not trusted or can't be imported.
    """
    module, _, name = path.replace(":", ".").rpartition(".")
    package = module.partition(".")[0]
    trust = (trust,) if isinstance(trust, str) else trust
    if trust is not None and package not in trust:
        raise UserError(
            f"the {kind} is {path!r:.90}, code of a package that did not come with diffgmm; if you trust it, "
            f"type --trust {package} (in Python: trust=({package!r},))"
        )
    try:
        return getattr(import_module(module), name, None)
    except ImportError as error:
        hint = f"install {package}, or put its folder on PYTHONPATH"
        raise UserError(f"the {kind} {path!r:.90} can't be imported: {error!s:.160}; {hint}") from error


def foreign_function(path: str, kind: str, trust: Collection[str] | None = ()) -> Callable[..., Any]:
    """The function that ``PACKAGE.MODULE:FUNCTION`` names; see :func:`foreign`.

    Raises:
        UserError: the package is not trusted or can't be imported, or has no such function.
    """
    function = foreign(path, kind, trust)
    if not callable(function):
        module, _, name = path.partition(":")
        raise UserError(f"{path!r}: {module} has no function {name}")
    return function


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """``value`` as an int.

    Raises:
        ValueError: it is no whole number from ``least`` on, or above ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} must be a whole number, got {value!r:.40}")
    number = int(value)
    if number < least or (most is not None and number > most):
        limit = f"at least {least}" if number < least else f"at most {most}"
        raise ValueError(f"{name} must be {limit}, got {value!r:.40}")
    return number
