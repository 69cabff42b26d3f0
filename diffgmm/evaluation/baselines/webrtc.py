"""WebRTC's noise suppressor (Wiener filter) at its third level of four, by two Python packages."""

from __future__ import annotations

import numpy as np

from .base import Denoise, from_pcm, in_frames, to_pcm

RATE, _FRAME, _LEVEL = 16000, 160, 2


def load(name: str, threads: int) -> Denoise:
    """The denoiser, of the package ``pywebrtc-audio`` or, as ``webrtc-noise-gain``, of that one."""
    if name == "webrtc-noise-gain":
        from webrtc_noise_gain import AudioProcessor

        def denoise_pcm(x: np.ndarray) -> np.ndarray:
            processor = AudioProcessor(0, _LEVEL)  # no automatic gain
            return in_frames(lambda frame: from_pcm(processor.Process10ms(to_pcm(frame)).audio), x, _FRAME)

        return denoise_pcm
    from pywebrtc_audio import NoiseSuppressor

    def denoise(x: np.ndarray) -> np.ndarray:
        suppressor = NoiseSuppressor(sample_rate=RATE, num_channels=1, level=_LEVEL)
        return in_frames(suppressor.process, x, _FRAME)

    return denoise
