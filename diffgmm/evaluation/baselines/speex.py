"""The preprocessor of Speex (Valin): minimum statistics and a gain rule, no network."""

from __future__ import annotations

import numpy as np

from .base import Denoise, from_pcm, in_frames, to_pcm

RATE, _FRAME = 16000, 256


def load(name: str, threads: int) -> Denoise:
    """The denoiser."""
    from speexdsp_ns import NoiseSuppression

    def denoise(x: np.ndarray) -> np.ndarray:
        suppressor = NoiseSuppression.create(_FRAME, RATE)
        return in_frames(lambda frame: from_pcm(suppressor.process(to_pcm(frame))), x, _FRAME)

    return denoise
