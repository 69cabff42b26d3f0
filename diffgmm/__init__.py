"""Denoise speech by modelling the noise with a Gaussian mixture inside a diffusion process.

Example:
    >>> import diffgmm, numpy
    >>> diffgmm.denoise(numpy.zeros(16000, "float32"), 16000).shape
    (16000,)
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from diffgmm.utils.version import __version__

if TYPE_CHECKING:
    from diffgmm.inference.denoiser import Denoiser, denoise, load
    from diffgmm.inference.files import denoise_file, denoise_folder

# From 1.29 on, onnxruntime reports its use to its maker as soon as it is loaded, unless this is set before: its
# function disable_telemetry_events comes too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Denoiser", "__version__", "denoise", "denoise_file", "denoise_folder", "load"]


def __getattr__(name: str) -> Any:
    """Names of ``diffgmm.inference``, looked up when they are used: `import diffgmm` loads nothing heavy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.inference"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
