"""Which files an ONNX graph reads its tensors from, read out of its bytes: runtimes open whatever a graph names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from diffgmm.diffusion.pretrained import ModelError

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
