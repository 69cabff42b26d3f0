"""Arrays and tensors through a model in one call: what ``diffgmm.load`` and ``diffgmm.denoise`` are."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from diffgmm.diffusion.pretrained import model_path
from diffgmm.inference.denoiser import Denoiser

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from diffgmm.diffusion.sampler_options import Sampling

    Audio = TypeVar("Audio", np.ndarray, torch.Tensor)


load = Denoiser.from_pretrained
"""The denoiser of a shipped model by name, or of a saved model or Lightning checkpoint by path.

Arguments and errors are those of :meth:`diffgmm.inference.denoiser.Denoiser.from_pretrained`.

Example:
    >>> import diffgmm
    >>> diffgmm.load("base").sample_rate
    16000
"""


def denoise(
    x: Audio,
    sample_rate: int,
    *,
    model: Denoiser | str | os.PathLike[str] = "base",
    seed: int = 0,
    strength: float = 1.0,
    **sampling: Unpack[Sampling],
) -> Audio:
    """Denoise a recording; an array gives an array, a tensor a tensor.

    Args:
        x: float array or tensor ``[channels, samples]`` or ``[samples]`` in -1..1, of any length, level and device.
        sample_rate: of ``x`` in Hz, any.
        model: a denoiser, or what :func:`load` takes. A model that is named is loaded once and then kept; a tensor on a
            GPU is denoised there.
        seed, strength, sampling: as in :meth:`diffgmm.inference.denoiser.Denoiser.denoise`.

    Returns:
        ``x`` without its noise, of the same shape and rate; a tensor has the device and the dtype of ``x``, an array is
        float32. No gradient flows through it.

    Raises:
        ModelError: the model can't be used.
        ValueError: a setting out of range, ``x`` of another shape, or NaN or Inf in it.

    Example:
        >>> import diffgmm, numpy
        >>> diffgmm.denoise(numpy.zeros((2, 44100), "float32"), 44100).shape
        (2, 44100)
    """
    # A tensor can only be one of a PyTorch that is loaded already: arrays need none.
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        array: Any = x
        cleaned: Any = _denoiser(model, "cpu").denoise(
            array, sample_rate, seed=seed, strength=strength, **sampling
        )
        return cleaned
    samples = x.detach().cpu()
    if samples.dtype in (torch.float16, torch.bfloat16):  # NumPy knows no bfloat16
        samples = samples.float()
    denoiser = _denoiser(model, str(x.device))
    y = denoiser.denoise(samples.numpy(), sample_rate, seed=seed, strength=strength, **sampling)
    return torch.from_numpy(y).to(device=x.device, dtype=x.dtype)


def _denoiser(model: Denoiser | str | os.PathLike[str], device: str) -> Denoiser:
    if isinstance(model, Denoiser):
        return model
    path = model_path(model)
    files = [
        file
        for ending in (".json", ".safetensors", ".ckpt", ".onnx")
        if (file := path.with_suffix(ending)).is_file()
    ]
    return _kept(os.path.abspath(path), device, tuple(file.stat().st_mtime_ns for file in files))


@lru_cache(maxsize=4)
def _kept(path: str, device: str, _changed: tuple[int, ...]) -> Denoiser:
    """The denoiser of a file, loaded again only once the file has changed."""
    return Denoiser.from_pretrained(path, device)
