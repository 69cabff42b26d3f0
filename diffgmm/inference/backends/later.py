"""A model that PyTorch loads only when something asks for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from diffgmm.diffusion.pretrained import ModelError

if TYPE_CHECKING:
    from torch import nn


class Later:
    """Stands for the model of a file: what can be told from its description, and :meth:`load`.

    Raises:
        ModelError: the description lacks the sample rate.
    """

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self._path = path
        try:
            self.sample_rate = int(description["sample_rate"])
            told = description["model"]["init_args"]["representation"]["init_args"]
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: describes no model") from error
        self.representation = SimpleNamespace(hop=told["hop"]) if "hop" in told else SimpleNamespace()

    def load(self) -> nn.Module:
        """The model, ready for inference."""
        from diffgmm.diffusion.saving import load_model
        from diffgmm.networks import fused

        return fused(load_model(self._path)[0])
