"""ONNX graphs: whole ones, and light ones that read the weights of the model file beside them.

The graph is :class:`diffgmm.diffusion.one_step.OneStep`: float32 ``noisy`` ``[batch, 1, samples]`` to ``clean`` of
that shape.
"""

from __future__ import annotations

import json
import struct
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.one_step import FromParameters, one_step
from diffgmm.utils.errors import UserError
from diffgmm.utils.files import replacing, sha256_of

OPSET = 17
TRACED = 20011  # samples of the traced input: no multiple of a hop
WEIGHTS = "weights_sha256"
"""Metadata of a light graph: checksum of the file that its weights lie in."""


class ExportError(UserError):
    """A model that can't be written in a format; one line."""


def write_onnx(
    model: MixtureDenoiser, path: Path, samples: int | None = None, facts: Mapping[str, str] = {}
) -> None:
    """Write a graph that needs no other file.

    Args:
        model: of complex spectrograms.
        path: to write.
        samples: fixed length of the input, for runtimes that want one; ``None`` for any.
        facts: metadata.

    Raises:
        ExportError: the package onnx is missing.
    """
    graph = _traced(one_step(model), samples, folding=True)
    _write(graph, path, {"sample_rate": str(model.sample_rate), **facts})


def write_light(model: MixtureDenoiser, weights: Path, path: Path) -> None:
    """Write a graph of about a tenth of a megabyte whose weights are those in ``weights``, a file in the same folder.

    Batch norms, process time and transforms are computed in the graph from the stored parameters; runtimes do that
    once, when they load it.

    Raises:
        ExportError: the package onnx is missing.
    """
    graph = _traced(FromParameters(model).eval(), None, folding=False)
    names = {tensor.name for tensor in graph.graph.initializer}
    inputs = [entry for entry in graph.graph.input if entry.name not in names]
    # Weights among the inputs could be replaced, so runtimes would compute nothing ahead.
    del graph.graph.input[:]
    graph.graph.input.extend(inputs)
    stored = _offsets(weights)
    data = weights.read_bytes()
    for tensor in graph.graph.initializer:
        place = stored.get(tensor.name.removeprefix("model."))
        if place is None or data[place[0] : place[0] + place[1]] != tensor.raw_data:
            continue
        tensor.ClearField("raw_data")
        tensor.data_location = _onnx().TensorProto.EXTERNAL
        for key, value in (("location", weights.name), ("offset", place[0]), ("length", place[1])):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
    with replacing(path) as part:
        _write(graph, part, {"sample_rate": str(model.sample_rate), WEIGHTS: sha256_of(weights)})


def _traced(module: nn.Module, samples: int | None, folding: bool) -> Any:
    onnx = _onnx()
    names: dict[str, Any] = {"input_names": ["noisy"], "output_names": ["clean"]}
    axes = {0: "batch", 2: "samples"}
    fixed: dict[str, Any] = {"dynamic_axes": {"noisy": axes, "clean": axes}} if samples is None else {}
    example = torch.randn(1, 1, samples or TRACED, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # On deprecation, and on Python values in the trace: what is written is run at other lengths afterwards. The
        # newer exporter's graphs fail in onnxruntime at other lengths than the traced one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (example,), f"{folder}/graph.onnx", dynamo=False, opset_version=OPSET, do_constant_folding=folding,
            keep_initializers_as_inputs=not folding,  # else equal weights become one, under one of their names
            **names, **fixed,
        )  # fmt: skip
        return onnx.load(f"{folder}/graph.onnx")


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ExportError("writing ONNX needs the package onnx; install it: pip install onnx") from error
    return onnx


def _write(graph: Any, path: Path, facts: Mapping[str, str]) -> None:
    graph.producer_name = "diffgmm"
    for key, value in facts.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    path.write_bytes(graph.SerializeToString())


def _offsets(weights: Path) -> dict[str, tuple[int, int]]:
    """Where each tensor of a safetensors file lies: first byte in the file, and how many."""
    with weights.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    return {
        name: (8 + size + tensor["data_offsets"][0], tensor["data_offsets"][1] - tensor["data_offsets"][0])
        for name, tensor in header.items()
        if name != "__metadata__" and tensor["dtype"] == "F32"
    }
