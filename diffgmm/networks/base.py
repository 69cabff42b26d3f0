"""What a model needs of a network, and parts that remember the arguments they were made with."""

from __future__ import annotations

import copy
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32 where it has fewer bits; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Part(nn.Module):
    """A module that keeps its constructor's arguments in ``init_args``: that is how a saved model describes it.

    Arguments are numbers, texts, truth values, ``None``, and lists of them: what a file can hold.

    Attributes:
        init_args: by name, defaults included, tuples as lists.

    Example:
        >>> class Gain(Part):
        ...     def __init__(self, factor: float = 1.0, bands: tuple[int, ...] = (1, 2)) -> None:
        ...         super().__init__()
        >>> Gain(2.0).init_args
        {'factor': 2.0, 'bands': [1, 2]}
    """

    init_args: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        self.init_args = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Remember the arguments of the subclass's own constructor.

        Raises:
            TypeError: it takes ``*args``, which have no names.
        """
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            setattr(cls, "__init__", _remembering(cls.__init__))  # noqa: B010 (mypy has it for a method)


def _remembering(init: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(init)
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
    if inspect.Parameter.VAR_POSITIONAL in kinds.values():
        raise TypeError(f"{init.__qualname__} takes *args: a file names arguments, so a part's need names")

    @functools.wraps(init)
    def remembering(self: Part, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            given |= _plain(value if kinds[name] is inspect.Parameter.VAR_KEYWORD else {name: value})
        init(self, *args, **kwargs)
        self.init_args = given  # after those of the class that it derives from, whose constructor it called

    return remembering


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value if isinstance(value, nn.Module) else copy.copy(value)


class Sized(Part):
    """A part whose layers depend on its neighbours; the model makes them once it knows these."""

    def attach(self, *sizes: int) -> None:
        """Build the layers for ``sizes``, the arguments of :meth:`build`, unless they are there.

        Raises:
            ValueError: they were built for other sizes.
        """
        built = getattr(self, "_built", None)
        if built is None:
            self.build(*sizes)
            self._built = sizes
        elif built != sizes:
            raise ValueError(f"{type(self).__name__} was built for {built} channels, it can't take {sizes}")

    def build(self, *sizes: Any, **named: Any) -> None:
        """Make the layers; called once. Subclasses name the sizes."""


class Network(Sized, ABC):
    """Features from what a diffusion process knows: state, noisy signal and time.

    A network of your own derives from this class, sets ``dims`` and ``features`` in its constructor, makes what
    depends on the number of input channels in :meth:`build`, and computes in :meth:`forward`. Every length goes in.

    Attributes:
        dims: axes of a signal: 1 for waveforms, 2 (frequency, time) for spectrograms.
        features: channels of the output.
    """

    dims: int
    features: int

    def build(self, inputs: int) -> None:
        """Make the layers that depend on the number of input channels; called once, by the model."""

    @abstractmethod
    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Input ``[B, inputs, *S]`` and process time ``[B]`` in [0, 1] to features ``[B, features, *S]``."""
