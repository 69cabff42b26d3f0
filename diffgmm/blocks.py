"""What goes in and comes out in pieces: blocks of audio, checked and mixed back."""

from __future__ import annotations

from typing import Any

import numpy as np


def recording(x: Any) -> np.ndarray:
    """``x`` as an array.

    Raises:
        ValueError: not float ``[channels, samples]`` or ``[samples]``.
    """
    x = np.asarray(x)
    if x.ndim not in (1, 2) or not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"expected float [channels, samples] or [samples], got {x.dtype} {list(x.shape)}")
    return x


def check_settings(sample_rate: int, channels: int, strength: float) -> None:
    """Raise ``ValueError`` for a rate, a number of channels or a strength that can't be."""
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength must be in 0..1, got {strength}")
    if sample_rate <= 0 or channels <= 0:
        raise ValueError(f"need rate > 0 and channels > 0, got {sample_rate} and {channels}")


def checked(block: np.ndarray, channels: int) -> np.ndarray:
    """``block`` as float32.

    Raises:
        ValueError: not ``[channels, n]``, or NaN or Inf in it.
    """
    if block.ndim != 2 or block.shape[0] != channels:
        raise ValueError(f"expected blocks of [{channels}, samples], got {list(block.shape)}")
    if not np.isfinite(block).all():
        raise ValueError("audio holds NaN or Inf")
    return block.astype(np.float32, copy=False)


def mixed_back(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Between the input ``x`` (strength 0) and the output ``y`` (strength 1)."""
    return y if strength == 1.0 else x + np.float32(strength) * (y - x)
