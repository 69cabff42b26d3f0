"""Runtimes that run the default setting of a model (one network call, the mixture's mean) without PyTorch.

What they run is the light graph ``NAME.onnx`` beside ``NAME.safetensors``, which holds its weights
(:func:`diffgmm.inference.export.onnx.write_light`). Everything else a model can do is PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.sampler_options import SOLVERS, SamplerConfig

if TYPE_CHECKING:
    from torch import nn

Rows = Callable[[np.ndarray], np.ndarray]
"""Noisy float32 ``[B, T]`` at the model's rate to clean ``[B, T]``."""

BACKENDS = ("auto", "torch", "onnxruntime")


def open_backend(weights: Path, backend: str = "auto", threads: int | None = None) -> Rows | None:
    """The runtime for a model, or ``None`` for PyTorch.

    Args:
        weights: ``NAME.safetensors``; anything else (a checkpoint) has no graph.
        backend: of :data:`BACKENDS`. ``auto`` takes onnxruntime where it is installed and the graph fits the weights.
        threads: ``None`` for what ``OMP_NUM_THREADS`` says, or all cores.

    Raises:
        ModelError: a runtime was asked for that is not installed, or there is no graph for it.
        ValueError: unknown name.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "torch":
        return None
    graph = weights.with_suffix(".onnx")
    installed = find_spec("onnxruntime") is not None
    if installed and weights.suffix == ".safetensors" and graph.is_file() and weights.is_file():
        from diffgmm.inference.backends.onnx import OnnxRuntime, check_external
        from diffgmm.utils.files import sha256_of

        check_external(graph, weights)
        runtime = OnnxRuntime(graph, threads)
        if runtime.weights_sha256 == sha256_of(weights):
            return runtime
    if backend == "auto":
        return None
    if not installed:
        raise ModelError(f"back end {backend}: not installed; pip install {backend}, or choose another")
    raise ModelError(
        f"back end {backend}: no graph of these weights at {graph}; `diffgmm export --model {weights} "
        "--format safetensors` writes weights with a graph"
    )


def is_default(config: SamplerConfig) -> bool:
    """Whether the settings ask for what the graph computes: the mean after one call, whatever the temperature."""
    mean = config.nfe == config.samples == config.substeps == 1 and config.estimate == "mean"
    return mean and config.solver in SOLVERS


class Later:
    """Stands for the model of a file: what its description states, and :meth:`load`.

    Args:
        path: of the file.
        description: what is in it.
        trust: see :func:`diffgmm.diffusion.saving.load_model`.

    Raises:
        ModelError: the description lacks the sample rate or has an unfit hop.
    """

    def __init__(self, path: Path, description: dict[str, Any], trust: Collection[str] = ()) -> None:
        self._path, self._trust = path, trust
        try:
            self.sample_rate = int(description["sample_rate"])
            settings = dict(description["model"]["init_args"]["representation"]["init_args"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: describes no model") from error
        known = {name: settings[name] for name in ("hop", "window_seconds") if settings.get(name) is not None}
        self.representation = SimpleNamespace(**known)
        window = known.get("window_seconds", 1.0)
        if not isinstance(window, (int, float)) or not 0.1 <= window <= 60.0:
            raise ModelError(f"{path}: window_seconds must be 0.1 to 60, got {window!r:.40}")
        hop = settings.get("hop", 1)
        if type(hop) is not int or not 1 <= hop <= self.sample_rate:
            raise ModelError(f"{path}: hop must be a whole number of samples, got {hop!r:.40}")
        if settings.get("sample_rate", self.sample_rate) != self.sample_rate:
            raise ModelError(
                f"{path}: sample_rate {self.sample_rate}, but its parts have {settings['sample_rate']!r:.40}"
            )

    def load(self) -> nn.Module:
        """The model, ready for inference."""
        from diffgmm.diffusion.saving import load_model
        from diffgmm.networks import fused

        return fused(load_model(self._path, self._trust)[0])
