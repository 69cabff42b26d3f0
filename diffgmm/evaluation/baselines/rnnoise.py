"""RNNoise: recurrent band gains at 48 kHz (Valin, 2018), by the shared library in ``pyrnnoise``."""

from __future__ import annotations

import ctypes
import sys

import numpy as np

from .base import Denoise, folder_of, in_frames

_SCALE = np.float32(32768.0)  # the library wants floats in the range of 16-bit samples


def load(name: str, threads: int) -> Denoise:
    """The denoiser."""
    file = {"darwin": "librnnoise.dylib", "win32": "rnnoise.dll"}.get(sys.platform, "librnnoise.so")
    library = ctypes.CDLL(str(folder_of("pyrnnoise", "pyrnnoise") / file))
    floats = ctypes.POINTER(ctypes.c_float)
    library.rnnoise_create.argtypes, library.rnnoise_create.restype = [ctypes.c_void_p], ctypes.c_void_p
    library.rnnoise_destroy.argtypes, library.rnnoise_destroy.restype = [ctypes.c_void_p], None
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, floats, floats]
    library.rnnoise_process_frame.restype = ctypes.c_float
    library.rnnoise_get_frame_size.restype = ctypes.c_int
    size = library.rnnoise_get_frame_size()

    def denoise(x: np.ndarray) -> np.ndarray:
        state = library.rnnoise_create(None)

        def step(frame: np.ndarray) -> np.ndarray:
            given = np.ascontiguousarray(frame * _SCALE)
            out = np.empty_like(given)
            library.rnnoise_process_frame(state, out.ctypes.data_as(floats), given.ctypes.data_as(floats))
            return out / _SCALE

        try:
            return in_frames(step, x, size)
        finally:
            library.rnnoise_destroy(state)

    return denoise
