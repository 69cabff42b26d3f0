"""Search spaces of sweeps: a YAML file of ranges and choices, by the keys that `diffgmm fit` takes."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from diffgmm.utils.errors import UsageError

_LARGEST = 2**53  # a whole number that floats still tell from its neighbours

_MOST_TRIALS = 1_000_000

SCALARS = (bool, int, float, str, type(None))
_NUMBERS: dict[str, Callable[[Any], Any]] = {"float": float, "int": int}
_TYPES = (*_NUMBERS, "categorical")


class SweepError(UsageError):
    """A sweep that can't be run; one line: what, where, and what to do."""


def load_optuna() -> Any:
    """The module, quiet.

    Raises:
        SweepError: it is not installed.
    """
    try:
        import optuna
        import optuna_integration  # noqa: F401 - trials report through it
    except ImportError as error:
        raise SweepError(f"a sweep needs Optuna: pip install 'diffgmm[sweep]' ({error})") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the worker tells what happens, in one line
    # Heartbeats and retries are marked experimental; what is used of them has a test.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


@dataclass(frozen=True)
class Parameter:
    """One setting that varies.

    Args:
        key: as on the command line of ``fit``, without the dashes.
        type: ``float``, ``int`` or ``categorical``: the name of Optuna's distribution.
        range: of a number: ``low`` and ``high``, both included, perhaps ``log`` and ``step``.
        choices: of a categorical: by its name, what ``fit`` is given.
        when: the parameter exists only where each of these has one of those values.
    """

    key: str
    type: str
    range: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[Any, Any] = field(default_factory=dict)
    when: Mapping[str, Sequence[Any]] = field(default_factory=dict)


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
    for name, allowed in (("direction", ("minimize", "maximize")), ("value", ("last", "best"))):
        if data.get(name, allowed[0]) not in allowed:
            raise SweepError(f"{name} must be one of {', '.join(allowed)}, got {data[name]!r}")
    if not isinstance(data["parameters"], Mapping):
        raise SweepError("parameters must map keys of fit to ranges and choices")
    trials = 1 if data.get("trials") is None else data["trials"]
    if type(trials) is not int or not 1 <= trials <= _MOST_TRIALS:
        raise SweepError(f"trials must be a whole number from 1 to {_MOST_TRIALS}, got {trials!r:.40}")
    known: dict[str, Parameter] = {}
    for key, options in data["parameters"].items():
        known[key] = _parameter(str(key), options, known)
    if double := sorted(set(known) & set(data.get("fixed") or {})):
        raise SweepError(f"{double[0]} is fixed and varied at once")
    plain = {key: value for key, value in data.items() if value is not None and key != "parameters"}
    return Space(**plain, parameters=tuple(known.values()))


def _only(data: Mapping[str, Any], allowed: set[str], of: str) -> None:
    if unknown := sorted(set(map(str, data)) - allowed):
        raise SweepError(f"unknown {unknown[0]!r} in {of}; there are {', '.join(sorted(allowed))}")


def _parameter(key: str, options: Any, before: Mapping[str, Parameter]) -> Parameter:
    options = dict(options) if isinstance(options, Mapping) else {}
    kind = options.pop("type", "categorical" if "choices" in options else None)
    if kind not in _TYPES:
        raise SweepError(f"{key}: type must be one of {', '.join(_TYPES)}")
    when = {}
    for other, values in (options.pop("when", None) or {}).items():
        if other not in before:
            raise SweepError(f"{key}: `when` names {other}, which is not a parameter above it")
        when[other] = values if isinstance(values, list) else [values]
        choices = before[other].choices
        if missing := [value for value in when[other] if choices and value not in choices]:
            raise SweepError(f"{key}: {other} is never {missing[0]!r}; it is one of {list(choices)}")
    if kind == "categorical":
        _only(options, {"choices"}, key)
        return Parameter(key, kind, choices=_choices(key, options.get("choices")), when=when)
    _only(options, {"low", "high", "log", "step"}, key)
    return Parameter(key, kind, _range(key, kind, options), when=when)


def _range(key: str, kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Ends and step as numbers; what they must be to one another is checked by Optuna."""
    distributions = load_optuna().distributions
    numbers = {name: options.get(name) for name in ("low", "high", "step")}
    try:
        checked = {name: _NUMBERS[kind](x) for name, x in numbers.items() if x is not None or name != "step"}
    except (TypeError, ValueError, OverflowError) as error:  # there is no infinite whole number
        raise SweepError(f"{key}: needs low and high, as numbers") from error
    if kind == "int" and max(map(abs, checked.values())) > _LARGEST:
        raise SweepError(f"{key}: whole numbers go up to {_LARGEST}")
    if not all(map(math.isfinite, checked.values())):
        raise SweepError(f"{key}: needs low and high, as finite numbers")
    checked["log"] = bool(options.get("log", False))
    try:
        {"float": distributions.FloatDistribution, "int": distributions.IntDistribution}[kind](**checked)
    except ValueError as error:
        raise SweepError(f"{key}: {error}") from error
    return checked


def _choices(key: str, given: Any) -> dict[Any, Any]:
    if isinstance(given, Mapping) and given:
        return dict(given)
    if not isinstance(given, list) or not given:
        raise SweepError(f"{key}: choices must be a list of values or map names to values")
    # A study can only hold plain values; anything else goes by its text.
    return {choice if isinstance(choice, SCALARS) else json.dumps(choice): choice for choice in given}


def draw(space: Space, suggest: Callable[[Parameter], Any]) -> dict[str, Any]:
    """Draw all parameters that exist beside what was drawn before them, one after the other."""
    drawn: dict[str, Any] = {}
    for parameter in space.parameters:
        if all(key in drawn and drawn[key] in values for key, values in parameter.when.items()):
            drawn[parameter.key] = suggest(parameter)
    return drawn


def settings(space: Space, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """What ``fit`` is given for these draws: choices by name become what they stand for."""
    by_key = {parameter.key: parameter for parameter in space.parameters}
    chosen = {key: by_key[key].choices.get(value, value) for key, value in drawn.items()}
    return {**space.fixed, **chosen}
