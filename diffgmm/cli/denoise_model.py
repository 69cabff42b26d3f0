"""Which model, device, runtime and threads ``diffgmm denoise`` uses; PyTorch is loaded only if it is needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from diffgmm.cli.errors import UsageError
from diffgmm.cli.options import model_file

if TYPE_CHECKING:
    from diffgmm.inference import Denoiser

_DRIVERS = (
    "/dev/nvidia0",
    "/dev/nvidiactl",
    "/dev/kfd",
    "/dev/dxg",
)  # of NVIDIA and AMD, and of Windows' Linux


def open_denoiser(
    name: str, device: str = "auto", backend: str = "auto", threads: int | None = None, at_a_time: int = 1
) -> Denoiser:
    """The denoiser that the options ask for.

    Args:
        name: of a shipped model, or a file.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        backend: of :data:`diffgmm.backends.BACKENDS`.
        threads: in all; ``None`` for ``OMP_NUM_THREADS`` or every core.
        at_a_time: files that share the threads.

    Raises:
        UsageError: no such model or device, or a back end that does not run on it.
        ModelError: the model or the back end can't be used.
    """
    from diffgmm.inference import Denoiser

    path = model_file(name)
    device = _device(device, backend)
    share = None
    if threads or at_a_time > 1:
        from diffgmm.backends import cores

        share = max(1, (threads or cores()) // at_a_time)
    denoiser = Denoiser.from_pretrained(path, device, backend, share)
    if share:
        denoiser.limit_threads(share)
    return denoiser


def _device(device: str, backend: str) -> str:
    kind, _, number = device.partition(":")
    if device != "auto" and (kind not in ("cpu", "cuda") or (number and not number.isdigit())):
        raise UsageError(f"unknown device {device!r}; use cpu, cuda, cuda:N or auto")
    if backend in ("onnxruntime", "openvino"):
        if kind == "cuda":
            raise UsageError(f"back end {backend} runs on the cpu, not on {device}")
        return "cpu"
    # Asking PyTorch for GPUs means to load it, for seconds; without a driver there is none.
    if kind == "cpu" or (device == "auto" and not any(map(os.path.exists, _DRIVERS))):
        return "cpu"
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if gpus else "cpu"
    if int(number or 0) >= gpus:
        raise UsageError(f"device {device!r}: torch sees {gpus} GPU(s) here; use --device cpu")
    return device
