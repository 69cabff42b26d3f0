"""Classes that a model file may name, and the arguments that it may give them.

A model file comes from anywhere, so nothing that it names is called because it can be found: a class is one of
:data:`PARTS`, or of a package that the caller trusts, and its arguments are compared with its signature and with
bounds before anything is made.
"""

from __future__ import annotations

import collections.abc
import inspect
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from diffgmm.diffusion.head import Head, MixtureHead
from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.process import Blend, Bridge, Process
from diffgmm.diffusion.representation import Complex, Magnitude, Representation, Waveform
from diffgmm.diffusion.sampler_options import foreign
from diffgmm.networks import BelzUNet, Network, UNet
from diffgmm.utils import renames
from diffgmm.utils.errors import UserError

PARTS: dict[str, tuple[type, ...]] = {
    "representation": (Waveform, Complex, Magnitude),
    "network": (UNet, BelzUNet),
    "head": (MixtureHead,),
    "process": (Blend, Bridge),
}
"""Classes by the argument of :class:`diffgmm.diffusion.model.MixtureDenoiser` that they are for."""

BASES: dict[str, type] = {
    "representation": Representation, "network": Network, "head": Head, "process": Process,
}  # fmt: skip
"""What a class of another package must derive from, by the same argument."""

BOUNDS: dict[str, tuple[float, float]] = json.loads(
    Path(__file__).with_name("bounds.json").read_text("utf-8")
)
"""Smallest and largest number, or number in a list, by the name of an argument; wide, against sizes beyond any use."""

REFUSALS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a constructor may raise where arguments contradict each other."""

LONGEST = 64
"""Entries of a list in the arguments at most."""

LARGEST = 2**28
"""Values of one tensor, for a window of four seconds, at most: 1 GiB."""


@dataclass(frozen=True)
class Plan:
    """A part before it is made: its class and the arguments, both checked."""

    cls: type
    args: dict[str, Any]
    ours: bool

    def make(self) -> Any:
        """The object.

        Raises:
            ModelError: the arguments contradict each other.
        """
        try:
            return self.cls(**self.args)
        except REFUSALS as error:
            raise ModelError(f"{self.cls.__name__} can't be made as described: {brief(error)}") from error


def class_path(cls: type) -> str:
    """``MODULE.NAME`` of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def brief(value: object, length: int = 160) -> str:
    """Any value as one short line for a message."""
    text = " ".join((str(value) if isinstance(value, (str, BaseException)) else repr(value)).split())
    return text if len(text) <= length else text[: length - 3] + "..."


def plan(spec: Any, slot: str, trust: Collection[str] = ()) -> Plan:
    """Read ``{"class_path", "init_args"}`` of a part without making anything.

    Args:
        spec: from a file.
        slot: of :data:`PARTS`.
        trust: top packages whose classes are imported, beside this one's.

    Raises:
        ModelError: no description of such a part, a class that may not be named, or arguments that it doesn't take.
    """
    if not isinstance(spec, dict) or not isinstance(spec.get("class_path"), str):
        raise ModelError(f"the {slot} is not described by a class_path and init_args")
    given = spec.get("init_args", {})
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise ModelError(f"the {slot}'s init_args are not arguments by name")
    path = renames.current(spec["class_path"])
    if slot == "network":
        try:
            path, given = renames.network(path, given)
        except ValueError as error:
            raise ModelError(brief(error, 400)) from error
    ours = {class_path(cls): cls for cls in PARTS[slot]}
    cls = ours.get(path) or foreign_class(path, slot, BASES[slot], trust)
    _check(cls, given, bounded=path in ours)
    return Plan(cls, dict(given), path in ours)


def foreign_class(path: str, kind: str, base: type, trust: Collection[str]) -> type:
    """A class of another package, if that is trusted; it is imported, with all that doing so runs.

    Args:
        path: of the class.
        kind: what it is for, for messages: ``network``, ``loss``...
        base: what it must derive from.
        trust: top packages that may be imported.

    Raises:
        ModelError: the package is not trusted or can't be imported, or has no such class.
    """
    package, _, rest = path.partition(".")
    if package == "diffgmm" or not rest or not all(name.isidentifier() for name in path.split(".")):
        known = f" ({', '.join(cls.__name__ for cls in PARTS[kind])})" if kind in PARTS else ""
        raise ModelError(f"{brief(path, 80)!r} is not a {kind} that a model file may name{known}")
    try:
        cls = foreign(path, kind, trust)
    except UserError as error:
        raise ModelError(str(error)) from error
    if not isinstance(cls, type) or not issubclass(cls, base):
        plural = f"{kind}es" if kind.endswith("s") else f"{kind}s"
        raise ModelError(f"{path!r} is not a class of {plural}: it must derive from {class_path(base)}")
    return cls


def _check(cls: type, given: Mapping[str, Any], bounded: bool) -> None:
    """Refuse arguments that a class doesn't take, of other types, or out of bounds.

    Raises:
        ModelError: names the argument.
    """
    try:
        inspect.signature(cls).bind(**given)
    except TypeError as error:
        raise ModelError(f"{cls.__name__} of this version: {brief(error)}") from error
    try:
        hints = get_type_hints(inspect.unwrap(getattr(cls, "__init__")))  # noqa: B009 (a class, not an instance)
    except NameError:  # of another package, with names that only type checkers import
        hints = {}
    for name, value in given.items():
        hint = hints.get(name, Any)
        if not _fits(value, hint):
            kind = getattr(hint, "__name__", str(hint).replace("collections.abc.", ""))
            raise ModelError(f"{cls.__name__}: {name} must be {kind}, got {brief(value, 60)}")
        low, high = BOUNDS.get(name, (-1e6, 1e6)) if bounded else (-math.inf, math.inf)
        for number in _numbers(value):
            if not low <= number <= high:
                limits = f"{low:g} to {high:g}"
                raise ModelError(f"{cls.__name__}: {name} must be {limits}, got {brief(number, 60)}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of an annotated type; ``True`` for annotations that only code can fill."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    if origin is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if origin in (list, tuple, collections.abc.Sequence):
        inner = get_args(hint)[0] if get_args(hint) else Any
        short = isinstance(value, (list, tuple)) and len(value) <= LONGEST
        return short and all(_fits(item, inner) for item in value)
    if hint is float:
        return type(value) in (int, float) and abs(value) <= 1e300
    if hint in (int, bool, str, NoneType):
        return type(value) is hint
    return True


def _numbers(value: Any) -> list[float]:
    """The numbers in a value or list, not those that are truth values."""
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _numbers(item)]
    return [value] if type(value) in (int, float) else []


def check_sizes(representation: Representation, network: Plan, head: Plan, seconds: float = 4.0) -> None:
    """Refuse a U-Net whose largest tensor for one window would take more than :data:`LARGEST` values.

    Its numbers may each be within bounds and multiply to more memory than there is.

    Args:
        representation: what gives the network its input.
        network, head: plans; those of other packages are left to those who trust them.
        seconds: of a window.

    Raises:
        ModelError: too large.
    """
    if not (network.ours and head.ours):
        return
    samples, channels = seconds * representation.sample_rate, representation.channels
    hop, bins = getattr(representation, "hop", 1), getattr(representation, "bins", None)
    axes = [samples] if bins is None else [float(bins), math.ceil(samples / hop) + 1.0]
    args, heads = _usual(network) | network.args, _usual(head) | head.args
    strides = args["strides"]
    if any(len(stride) != len(axes) for stride in strides) or len(strides) != len(args["channels"]):
        return  # the constructors say so
    totals = [math.prod(stride[axis] for stride in strides) for axis in range(len(axes))]
    axes = [math.ceil(size / total) * total for size, total in zip(axes, totals, strict=True)]
    positions = math.prod(axes)
    widths = [args["features"], 2 * channels + 2, heads["components"] * (2 + channels)]
    sizes = [max(widths) * positions]
    if args.get("fine"):
        sizes.append(args["fine_channels"] * min(args["fine"], axes[0]) * axes[-1])
    # Whether a level has its width before it is divided.
    early = network.cls is BelzUNet or args["input_layers"]
    for width, stride in zip(args["channels"], strides, strict=True):
        sizes.append(width * (positions if early else 1))
        positions /= math.prod(stride)
        sizes.append(width * positions)
    if max(sizes) > LARGEST:
        size, limit = (f"{4 * values / 2**30:.1f} GiB" for values in (max(sizes), LARGEST))
        raise ModelError(f"a window of {seconds:g} s would take tensors of {size}; at most {limit} is made")


def _usual(part: Plan) -> dict[str, Any]:
    """Default arguments of a part's class."""
    return {name: parameter.default for name, parameter in inspect.signature(part.cls).parameters.items()}
