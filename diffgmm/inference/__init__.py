"""Denoising of arrays, files and streams with a trained model.

Names are looked up when they are used: importing this package loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffgmm.inference.arrays import denoise, load
    from diffgmm.inference.denoiser import Denoiser
    from diffgmm.inference.files import Denoised, denoise_file, denoise_folder
    from diffgmm.inference.streaming import StreamingDenoiser

__all__ = ["Denoised", "Denoiser", "StreamingDenoiser", "denoise", "denoise_file", "denoise_folder", "load"]

_MODULES = {
    "Denoised": "files",
    "Denoiser": "denoiser",
    "StreamingDenoiser": "streaming",
    "denoise": "arrays",
    "denoise_file": "files",
    "denoise_folder": "files",
    "load": "arrays",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
