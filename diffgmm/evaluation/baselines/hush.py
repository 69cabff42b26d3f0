"""Hush: a DeepFilterNet-like network at 16 kHz, by the model class of its package."""

from __future__ import annotations

import numpy as np

from .base import Denoise, folder_of, import_part, in_frames

_FRAME = 160


def load(name: str, threads: int) -> Denoise:
    """The denoiser."""
    module = import_part(folder_of("livekit-plugins-hush", "livekit.plugins.hush"), "_hush_model")
    model = module.HushModel()

    def denoise(x: np.ndarray) -> np.ndarray:
        return in_frames(module.HushSession(model).process_frame, x, _FRAME)

    return denoise
