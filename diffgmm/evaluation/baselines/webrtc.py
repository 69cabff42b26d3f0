"""WebRTC's noise suppressor (Wiener filter) at its third level of four, by two Python packages."""

from __future__ import annotations

import numpy as np

from .base import Baseline, Denoise, from_pcm, in_frames, to_pcm

RATE, _FRAME, _LEVEL = 16000, 160, 2


def _load(threads: int) -> Denoise:
    from pywebrtc_audio import NoiseSuppressor

    def denoise(x: np.ndarray) -> np.ndarray:
        suppressor = NoiseSuppressor(sample_rate=RATE, num_channels=1, level=_LEVEL)
        return in_frames(suppressor.process, x, _FRAME)

    return denoise


def _load_gain(threads: int) -> Denoise:
    from webrtc_noise_gain import AudioProcessor

    def denoise(x: np.ndarray) -> np.ndarray:
        processor = AudioProcessor(0, _LEVEL)  # no automatic gain
        return in_frames(lambda frame: from_pcm(processor.Process10ms(to_pcm(frame)).audio), x, _FRAME)

    return denoise


_ABOUT = "noise suppression of the WebRTC project, level 2"
BASELINES = (
    Baseline("webrtc", ("pywebrtc-audio",), RATE, 96, _load, _ABOUT),
    Baseline(
        "webrtc-noise-gain", ("webrtc-noise-gain",), RATE, 94, _load_gain, f"{_ABOUT}, another packaging"
    ),
)
