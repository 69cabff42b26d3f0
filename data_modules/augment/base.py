"""Base class of augmentations, and the windows that they change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.random import Generator

from data_modules.errors import DataError

Both = tuple[np.ndarray, np.ndarray]
"""A noisy signal and its clean target."""
Range = tuple[float, float]
"""The lowest and the highest."""


@dataclass
class Scene:
    """The parts of a window before they are added up; augmentations replace them.

    Args:
        sample_rate: in Hz.
        speech: what will be the clean target, float32 [samples].
        noise: the background, float32 [samples].
        late: late reverberation of the speech, float32 [samples], or None.
    """

    sample_rate: int
    speech: np.ndarray
    noise: np.ndarray
    late: np.ndarray | None = None


class Augmentation:
    """Base of all augmentations. A subclass names its stage and overrides the method of that stage.

    Attributes:
        probability: how often it is applied, in [0, 1].
        stage: ``voice`` or ``noise`` (`reshape`), ``scene`` (`apply`) or ``noisy`` (`damage`).
        stretch: for ``voice`` and ``noise``: how many times as many samples it may consume as it returns.
    """

    stage: ClassVar[str]
    probability: float

    @property
    def stretch(self) -> float:
        return 1.0

    def reshape(self, sound: np.ndarray, sample_rate: int, rng: Generator) -> np.ndarray:
        """Returns the changed voice or noise: at least as long as the input divided by `stretch`."""
        raise self._of_another_stage("voice or noise")

    def apply(self, scene: Scene, rng: Generator) -> None:
        """Changes the scene in place."""
        raise self._of_another_stage("scene")

    def damage(self, noisy: np.ndarray, clean: np.ndarray, sample_rate: int, rng: Generator) -> Both:
        """Returns the damaged noisy signal and the target, float32 [samples] each.

        The target changes only where the damage takes a band away that no denoiser should invent.
        """
        raise self._of_another_stage("noisy")

    def _of_another_stage(self, stage: str) -> TypeError:
        return TypeError(f"{type(self).__name__} is an augmentation of the stage {self.stage}, not {stage}")

    def _check(self, *ranges: str, between: Range = (-1e6, 1e6)) -> None:
        me = type(self).__name__
        if not 0.0 <= self.probability <= 1.0:
            raise DataError(f"{me}: probability is {self.probability}, must lie between 0 and 1")
        for name in ranges:
            low, high = getattr(self, name)
            if not between[0] <= low <= high <= between[1]:
                limits = f"between {between[0]:g} and {between[1]:g}, the lower number first"
                raise DataError(f"{me}: {name} is ({low}, {high}), must lie {limits}")
