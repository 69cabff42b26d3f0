"""onnxruntime, and which files a graph reads its tensors from: runtimes open whatever a graph names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from diffgmm.diffusion.pretrained import ModelError
from diffgmm.utils.cores import thread_count


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
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no base of their own
            raise _unusable(graph, error) from error
        facts = self._session.get_modelmeta().custom_metadata_map
        self.weights_sha256, self.sample_rate = facts.get("weights_sha256"), facts.get("sample_rate")

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        try:
            (clean,) = self._session.run(
                ["clean"], {"noisy": np.ascontiguousarray(noisy[:, None], np.float32)}
            )
        except Exception as error:  # its exceptions have no base of their own
            raise _unusable(self._graph, error) from error
        if clean.shape != (len(noisy), 1, noisy.shape[1]):
            raise ModelError(
                f"{self._graph}: gives {list(clean.shape)} for {list(noisy.shape)}; delete it to use PyTorch"
            )
        return np.asarray(clean[:, 0])


def _unusable(graph: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{graph}: onnxruntime can't use this graph: {' '.join(str(error).split())[:160]}; delete it to use PyTorch"
    )


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
        entry = {1: b"", 2: b""}
        for field, value in _fields(data):
            entry[field] = bytes(value)  # of a field that is there twice, the last counts
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
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value & (2**64 - 1), place
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
