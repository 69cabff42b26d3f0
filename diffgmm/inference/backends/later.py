"""A model that PyTorch loads only when something asks for it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from diffgmm.diffusion.pretrained import ModelError

if TYPE_CHECKING:
    from torch import nn


class Later:
    """Stands for the model of a file: what can be told from its description, and :meth:`load`.

    Args:
        path: of the file.
        description: what is in it.
        trust: see :func:`diffgmm.diffusion.saving.load_model`.

    Raises:
        ModelError: the description lacks the sample rate or has an unfit hop.
    """

    def __init__(self, path: Path, description: dict[str, Any], trust: Collection[str] = ()) -> None:
        self._path, self._trust = path, trust
        try:
            self.sample_rate = int(description["sample_rate"])
            settings = dict(description["model"]["init_args"]["representation"]["init_args"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: describes no model") from error
        known = {name: settings[name] for name in ("hop", "window_seconds") if settings.get(name) is not None}
        self.representation = SimpleNamespace(**known)
        window = known.get("window_seconds", 1.0)
        if not isinstance(window, (int, float)) or not 0.1 <= window <= 60.0:
            raise ModelError(f"{path}: window_seconds must be 0.1 to 60, got {window!r:.40}")
        hop = settings.get("hop", 1)
        if type(hop) is not int or not 1 <= hop <= self.sample_rate:
            raise ModelError(f"{path}: hop must be a whole number of samples, got {hop!r:.40}")
        if settings.get("sample_rate", self.sample_rate) != self.sample_rate:
            raise ModelError(
                f"{path}: sample_rate {self.sample_rate}, but its parts have {settings['sample_rate']!r:.40}"
            )

    def load(self) -> nn.Module:
        """The model, ready for inference."""
        from diffgmm.diffusion.saving import load_model
        from diffgmm.networks import fused

        return fused(load_model(self._path, self._trust)[0])
