"""PyTorch: the one-step graph for the default setting, and the model for everything else."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.one_step import UnsupportedModel, one_step
from diffgmm.diffusion.saving import load_model
from diffgmm.inference.backends import Rows
from diffgmm.networks import fused


def load(
    path: Path, device: str | torch.device, trust: Collection[str] = ()
) -> tuple[MixtureDenoiser, dict[str, Any], Rows | None]:
    """Model and description of a file, and what computes the default setting where the model has such a graph."""
    model, description = load_model(path, trust)
    try:
        step = one_step(model).to(device)
    except UnsupportedModel:
        return fused(model), description, None

    def run(noisy: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            clean: np.ndarray = step(torch.from_numpy(noisy[:, None]).to(device))[:, 0].cpu().numpy()
        return clean

    return fused(model), description, run
