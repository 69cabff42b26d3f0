"""Search spaces of sweeps: a YAML file of ranges and choices, by the keys that `diffgmm fit` takes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from diffgmm.utils.errors import UsageError, UserError


def setting(text: str) -> tuple[str, Any]:
    """Key and value of ``--set KEY=VALUE``, the value read as YAML as ``fit`` does.

    Raises:
        UsageError: it does not look like that.
    """
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {text}: must look like KEY=VALUE")
    return key, yaml.safe_load(value)


TYPES = ("float", "int", "categorical")

DIRECTIONS = ("minimize", "maximize")

SCALARS = (bool, int, float, str, type(None))

_KEYS = {
    "float": {"type", "low", "high", "log", "step", "when"},
    "int": {"type", "low", "high", "log", "step", "when"},
    "categorical": {"type", "choices", "when"},
}


class SweepError(UserError):
    """A sweep that can't be run; one line: what, where, and what to do."""


@dataclass(frozen=True)
class Parameter:
    """One setting that varies.

    Args:
        key: as on the command line of ``fit``, without the dashes.
        type: ``float``, ``int`` or ``categorical``.
        low, high: ends of the range, both included.
        log: draw the logarithm evenly.
        step: distance of the values, from ``low`` on.
        choices: of a categorical: by its name, what ``fit`` is given.
        when: the parameter exists only where each of these has that value, or one of those values.
    """

    key: str
    type: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: Mapping[Any, Any] = field(default_factory=dict)
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """A sweep's description.

    Args:
        monitor: quantity that ``fit`` logs.
        parameters: in the order they are drawn.
        direction: ``minimize`` or ``maximize``.
        value: what counts of a training: the ``last`` value of the quantity, or its ``best``.
        fixed: settings of every trial.
        sampler: ``name`` and options.
        pruner: ``name`` and options.
        trials: how many, if the command does not say.
    """

    monitor: str
    parameters: tuple[Parameter, ...]
    direction: str = "minimize"
    value: str = "last"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] = field(default_factory=dict)
    pruner: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 20


def read_space(path: str | Path) -> Space:
    """Read and check a description.

    Raises:
        SweepError: missing, damaged, or it contradicts itself.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SweepError(f"{path}: {error.strerror}; --space names a file like sweeps/base.yaml") from error
    except yaml.YAMLError as error:
        raise SweepError(f"{path}: not YAML ({error})") from error
    if not isinstance(data, dict):
        raise SweepError(f"{path}: must have monitor and parameters")
    try:
        return parse_space(data)
    except SweepError as error:
        raise SweepError(f"{path}: {error}") from error


def parse_space(data: Mapping[str, Any]) -> Space:
    """A description out of plain data.

    Raises:
        SweepError: it contradicts itself.
    """
    _only(data, {*Space.__dataclass_fields__}, "a sweep")
    for needed in ("monitor", "parameters"):
        if not data.get(needed):
            raise SweepError(f"{needed} is missing")
    if data.get("direction", "minimize") not in DIRECTIONS:
        raise SweepError(f"direction must be one of {', '.join(DIRECTIONS)}, got {data['direction']!r}")
    if data.get("value", "last") not in ("last", "best"):
        raise SweepError(f"value must be last or best, got {data['value']!r}")
    if not isinstance(data["parameters"], Mapping):
        raise SweepError("parameters must map keys of fit to ranges and choices")
    known: dict[str, Parameter] = {}
    for key, options in data["parameters"].items():
        known[key] = _parameter(str(key), options, known)
    double = sorted(set(known) & set(data.get("fixed") or {}))
    if double:
        raise SweepError(f"{double[0]} is fixed and varied at once")
    plain = {key: value for key, value in data.items() if value is not None and key != "parameters"}
    return Space(**plain, parameters=tuple(known.values()))


def _only(data: Mapping[str, Any], allowed: set[str], of: str) -> None:
    unknown = sorted(set(map(str, data)) - allowed)
    if unknown:
        raise SweepError(f"unknown {unknown[0]!r} in {of}; there are {', '.join(sorted(allowed))}")


def _parameter(key: str, options: Any, before: Mapping[str, Parameter]) -> Parameter:
    kind = (
        options.get("type", "categorical" if "choices" in options else None)
        if isinstance(options, Mapping)
        else None
    )
    if kind not in TYPES:
        raise SweepError(f"{key}: type must be one of {', '.join(TYPES)}")
    _only(options, _KEYS[kind], key)
    when = {}
    for other, values in (options.get("when") or {}).items():
        if other not in before:
            raise SweepError(f"{key}: `when` names {other}, which is not a parameter above it")
        when[other] = tuple(values) if isinstance(values, list) else (values,)
        choices = before[other].choices
        missing = [value for value in when[other] if choices and value not in choices]
        if missing:
            raise SweepError(f"{key}: {other} is never {missing[0]!r}; it is one of {list(choices)}")
    if kind == "categorical":
        return Parameter(key, kind, choices=_choices(key, options.get("choices")), when=when)
    number = float if kind == "float" else int
    try:
        low, high = number(options["low"]), number(options["high"])
        step = None if options.get("step") is None else number(options["step"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:  # there is no infinite whole number
        raise SweepError(f"{key}: needs low and high, as numbers") from error
    log = bool(options.get("log", False))
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise SweepError(f"{key}: low {low} must not be above high {high}")
    if log and low <= 0:
        raise SweepError(f"{key}: a logarithmic range starts above 0, not at {low}")
    if log and step is not None:
        raise SweepError(f"{key}: a logarithmic range has no step")
    if step is not None and step <= 0:
        raise SweepError(f"{key}: step must be positive, got {step}")
    return Parameter(key, kind, low, high, log, step, when=when)


def _choices(key: str, given: Any) -> dict[Any, Any]:
    if isinstance(given, Mapping) and given:
        return dict(given)
    if not isinstance(given, list) or not given:
        raise SweepError(f"{key}: choices must be a list of values or map names to values")
    # A study can only hold plain values; anything else goes by its text.
    return {choice if isinstance(choice, SCALARS) else json.dumps(choice): choice for choice in given}


def active(parameter: Parameter, drawn: Mapping[str, Any]) -> bool:
    """Whether a parameter exists beside what was drawn before it."""
    return all(key in drawn and drawn[key] in values for key, values in parameter.when.items())


def draw(space: Space, suggest: Callable[[Parameter], Any]) -> dict[str, Any]:
    """Draw all parameters that exist, one after the other."""
    drawn: dict[str, Any] = {}
    for parameter in space.parameters:
        if active(parameter, drawn):
            drawn[parameter.key] = suggest(parameter)
    return drawn


def settings(space: Space, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """What ``fit`` is given for these draws: choices by name become what they stand for.

    Raises:
        SweepError: a value that the space does not have.
    """
    chosen = dict(space.fixed)
    for parameter in space.parameters:
        if parameter.key not in drawn or not active(parameter, drawn):
            continue
        value = drawn[parameter.key]
        if parameter.type == "categorical":
            if value not in parameter.choices:
                raise SweepError(f"{parameter.key} is never {value!r}; one of {list(parameter.choices)}")
            value = parameter.choices[value]
        chosen[parameter.key] = value
    return chosen


def layers(configs: Sequence[str | Path]) -> list[str]:
    """An experiment's YAMLs as words of a command line.

    >>> layers(["a.yaml", "b.yaml"])
    ['--config', 'a.yaml', '--config', 'b.yaml']
    """
    return [word for one in configs for word in ("--config", str(one))]


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Settings as words of a command line.

    >>> arguments({"trainer.max_epochs": 2, "data.corpus": "mini"})
    ['--trainer.max_epochs=2', '--data.corpus=mini']
    """
    return [
        f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()
    ]
