"""Runtimes that run the default setting of a model (one network call, the mixture's mean) without PyTorch.

What they run is the light graph ``NAME.onnx`` beside ``NAME.safetensors``, which holds its weights
(:func:`diffgmm.inference.export.write_light`). Everything else a model can do is PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.sampler_options import SOLVERS, SamplerConfig
from diffgmm.utils.cores import thread_count
from diffgmm.utils.files import sha256_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from diffgmm.diffusion.model import MixtureDenoiser

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
            other = f"{settings['sample_rate']!r:.40}"
            raise ModelError(f"{path}: sample_rate {self.sample_rate}, but its parts have {other}")

    def load(self) -> nn.Module:
        """The model, ready for inference."""
        from diffgmm.diffusion.saving import load_model
        from diffgmm.networks import fused

        return fused(load_model(self._path, self._trust)[0])


def open_torch(
    path: Path, device: str | torch.device, trust: Collection[str] = ()
) -> tuple[MixtureDenoiser, dict[str, Any], Rows | None]:
    """Model and description of a file, and what computes the default setting where the model has such a graph."""
    import torch

    from diffgmm.diffusion.one_step import UnsupportedModel, one_step
    from diffgmm.diffusion.saving import load_model
    from diffgmm.networks import fused

    model, description = load_model(path, trust)
    try:
        step = one_step(model).to(device)
    except UnsupportedModel:
        return fused(model), description, None

    def run(noisy: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            clean: np.ndarray = step(torch.from_numpy(noisy[:, None]).to(device))[:, 0].cpu().numpy()
        return clean

    return fused(model), description, run


class OnnxRuntime:
    """A light graph in onnxruntime on the CPU; see :data:`diffgmm.inference.backends.Rows`.

    Args:
        graph: the .onnx file.
        threads: ``None`` for what ``OMP_NUM_THREADS`` says, or all cores.
    """

    def __init__(self, graph: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or thread_count()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.load_model_format", "ONNX")
        self._graph = graph
        try:
            cpu = ["CPUExecutionProvider"]
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=cpu)
        except Exception as error:  # its exceptions have no base of their own
            raise _unusable(graph, error) from error
        facts = self._session.get_modelmeta().custom_metadata_map
        self.weights_sha256, self.sample_rate = facts.get("weights_sha256"), facts.get("sample_rate")

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        windows = np.ascontiguousarray(noisy[:, None], np.float32)
        try:
            (clean,) = self._session.run(["clean"], {"noisy": windows})
        except Exception as error:  # its exceptions have no base of their own
            raise _unusable(self._graph, error) from error
        if clean.shape != (len(noisy), 1, noisy.shape[1]):
            shapes = f"gives {list(clean.shape)} for {list(noisy.shape)}"
            raise ModelError(f"{self._graph}: {shapes}; delete it to use PyTorch")
        return np.asarray(clean[:, 0])


def _unusable(graph: Path, error: Exception) -> ModelError:
    why = " ".join(str(error).split())[:160]
    return ModelError(f"{graph}: onnxruntime can't use this graph: {why}; delete it to use PyTorch")


_LARGEST = 64 * 2**20  # bytes of a light graph, which holds no weights

# Fields of ONNX's messages that hold other messages, down to the tensors (onnx.proto, version 1).
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


def check_external(graph: Path, weights: Path) -> None:
    """Refuse a graph that reads any file but the weights beside it.

    Raises:
        ModelError: it does, or its bytes are no graph.
    """
    size = graph.stat().st_size
    if size > _LARGEST:
        raise ModelError(f"{graph}: {size / 2**20:.0f} MiB, a graph beside its weights has at most 64")
    try:
        names = set(_locations(memoryview(graph.read_bytes()), "model", 0))
    except (ValueError, IndexError, RecursionError) as error:
        raise ModelError(f"{graph}: damaged, not an ONNX graph; delete it to use PyTorch") from error
    if foreign := sorted(names - {weights.name.encode()}):
        raise ModelError(
            f"{graph}: reads tensors from {foreign[0].decode(errors='replace')!r:.80}, "
            f"not from {weights.name} beside it; delete the graph to use PyTorch"
        )


def _locations(data: memoryview, kind: str, depth: int) -> Iterator[bytes]:
    """File names in the external data of every tensor of a message."""
    if depth > 40:
        raise ValueError("nested too deeply")
    if kind == "entry":
        # Of a field that is there twice, the last counts.
        entry = {1: b"", 2: b"", **{field: bytes(value) for field, value in _fields(data)}}
        if entry[1] == b"location":
            yield entry[2]
        return
    for field, value in _fields(data):
        if (inner := _INSIDE[kind].get(field)) is not None:
            yield from _locations(value, inner, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of the fields of a message that have a length."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        wire = tag & 7
        if wire == 0:
            _, place = _varint(data, place)
        elif wire in (1, 5):
            place += 8 if wire == 1 else 4
        elif wire == 2:
            length, place = _varint(data, place)
            if place + length > len(data):
                raise ValueError("cut off")
            yield tag >> 3, data[place : place + length]
            place += length
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(data[place : place + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value & (2**64 - 1), place + i + 1
    raise ValueError("a number that is cut off or has more than ten bytes")
