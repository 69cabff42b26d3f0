"""Hush: a DeepFilterNet-like network at 16 kHz, by the model class of its package."""

from __future__ import annotations

import numpy as np

from .base import Baseline, Denoise, folder_of, import_part, in_frames

_FRAME = 160


def _load(threads: int) -> Denoise:
    module = import_part(folder_of("livekit-plugins-hush", "livekit.plugins.hush"), "_hush_model")
    model = module.HushModel()

    def denoise(x: np.ndarray) -> np.ndarray:
        return in_frames(module.HushSession(model).process_frame, x, _FRAME)

    return denoise


BASELINES = (
    Baseline(
        "hush",
        ("livekit-plugins-hush", "onnxruntime"),
        16000,
        160,
        _load,
        "deep filtering at 16 kHz, ONNX; Pulp Vision, Hush",
    ),
)
