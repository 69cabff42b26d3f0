"""Models for other runtimes: each is written, run on real sound, and kept only if it is the model.

ONNX graphs are whole ones, or light ones that read the weights of the model file beside them. The graph is
:class:`diffgmm.diffusion.one_step.OneStep`: float32 ``noisy`` ``[batch, 1, samples]`` to ``clean`` of that shape.
"""

from __future__ import annotations

import json
import struct
import tempfile
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.one_step import FromParameters, UnsupportedModel, one_step
from diffgmm.diffusion.parts import PARTS, brief
from diffgmm.diffusion.sampler_options import SOLVERS
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.utils.errors import UserError
from diffgmm.utils.files import replacing, sha256_of

FORMATS = {"onnx": ".onnx", "torchscript": ".pt", "torch_export": ".pt2", "safetensors": ".safetensors"}
OPSET = 17
TRACED = 20011  # samples of the traced input: no multiple of a hop
WEIGHTS = "weights_sha256"  # metadata of a light graph: checksum of the file that its weights lie in
TOLERANCE = 1e-4  # largest difference to PyTorch at full scale: -80 dB

Run = Callable[[np.ndarray], np.ndarray]  # [1, 1, T] to [1, 1, T]


class ExportError(UserError):
    """A model that can't be written in a format; one line."""


class Deviation(NamedTuple):
    """How far an exported model is from PyTorch on real sound: full scale is 1."""

    max_abs: float
    snr_db: float
    seconds: float


class Exported(NamedTuple):
    """The files written and how far they are from the model."""

    files: tuple[Path, ...]
    deviation: Deviation


def export(
    model: MixtureDenoiser,
    description: Mapping[str, Any],
    path: Path,
    form: str,
    sound: np.ndarray,
    *,
    samples: int | None = None,
    facts: Mapping[str, str] = {},
    overwrite: bool = False,
    trust: Collection[str] = (),
) -> Exported:
    """Write ``model`` to ``path`` and compare it with PyTorch on ``sound``.

    Args:
        model: what :func:`diffgmm.diffusion.saving.load_model` gave, with ``description``.
        path: file to write; for ``safetensors`` a .json of the same name comes beside it, and a light graph that back
            ends run (.onnx), if the package onnx is installed and the model has one.
        form: of :data:`FORMATS`. ``onnx`` and ``torchscript`` take any number of rows and, without ``samples``, any
            length. ``torch_export`` has a fixed length and one row.
        sound: real noisy speech at the model's rate, float32 ``[samples]``, 2 s or more.
        samples: fixed length of the input.
        facts: metadata of an ONNX file.
        overwrite: replace existing files.
        trust: packages that the model names classes of; ``safetensors`` reads what it wrote.

    Raises:
        ExportError: the model has no such graph, a network that can't be traced or a solver of another package, a
            package is missing, a file exists, or the written file differs from PyTorch by more than :data:`TOLERANCE`;
            then nothing is left of it.
    """
    if form not in FORMATS:
        raise ExportError(f"unknown format {form!r}; there are {', '.join(FORMATS)}")
    files = [path]
    if form == "safetensors":
        files = [path.with_suffix(suffix) for suffix in (".safetensors", ".json", ".onnx")]
    for file in files:
        if file.exists() and not overwrite:
            raise ExportError(f"{file}: exists already; choose another name or --overwrite it")
    if not path.parent.is_dir():
        raise ExportError(f"{path.parent}: no such folder to write into")
    if form == "torch_export" and samples is None:
        samples = model.sample_rate
    try:
        if form == "safetensors":
            deviation = _safetensors(model, description, path, sound, trust)
            return Exported(tuple(filter(Path.exists, files)), deviation)
        _check_solver(description)
        with replacing(path) as part:
            onnx = form == "onnx"
            run = _onnx(model, part, samples, facts) if onnx else _program(model, part, samples, form)
            deviation = compare(model, run, sound, samples, path)
    except UnsupportedModel as error:
        raise ExportError(f"{path}: {error}; --format safetensors takes every model") from error
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, ExportError) or type(model.network) in PARTS["network"]:
            raise
        first, name = (str(error).splitlines() or [type(error).__name__])[0], type(model.network).__name__
        raise ExportError(f"{path}: the network {name} does not go into a graph: {brief(first)}") from error
    return Exported(tuple(files), deviation)


def compare(
    model: MixtureDenoiser, run: Run, sound: np.ndarray, samples: int | None, path: Path
) -> Deviation:
    """Deviation of ``run`` from the model over ``sound``: whole and in two odd lengths, or in pieces of ``samples``.

    Raises:
        ExportError: beyond :data:`TOLERANCE`.
    """
    if samples is None:
        pieces = [sound, sound[: len(sound) // 2 + 7], sound[-len(sound) // 3 :]]
    else:
        count = -(-len(sound) // samples)
        pieces = list(np.pad(sound, (0, count * samples - len(sound))).reshape(count, samples))
    worst, error, energy = 0.0, 0.0, 0.0
    for piece in pieces:
        noisy = np.ascontiguousarray(piece, np.float32)[None, None]
        with torch.inference_mode():
            wanted = model.enhance(torch.from_numpy(noisy)).waveform.numpy().astype(np.float64)
        written = run(noisy).astype(np.float64)
        if written.shape != wanted.shape or not np.isfinite(written).all():
            raise ExportError(f"{path}: the written file gives {list(written.shape)} or NaN; it was not kept")
        worst = max(worst, float(np.abs(written - wanted).max()))
        error += float(np.square(written - wanted).sum())
        energy += float(np.square(wanted).sum())
    if worst > TOLERANCE:
        raise ExportError(f"{path}: the written file differs from PyTorch by {worst:.1e}; it was not kept")
    snr = 10 * np.log10(max(energy, 1e-30) / max(error, 1e-30))
    return Deviation(worst, float(snr), sum(map(len, pieces)) / model.sample_rate)


def _onnx(model: MixtureDenoiser, part: Path, samples: int | None, facts: Mapping[str, str]) -> Run:
    """Write a graph that needs no other file."""
    import onnxruntime

    graph = _traced(one_step(model), samples, folding=True)
    _write(graph, part, {"sample_rate": str(model.sample_rate), **facts})
    session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])

    def run(noisy: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(session.run(["clean"], {"noisy": noisy})[0])
        except Exception as error:  # onnxruntime's errors have no common base of their own
            what = f"this model's graph fails in onnxruntime at {noisy.shape[-1]} samples, other than traced"
            raise ExportError(f"{part.name}: {what}; give it a fixed length (--samples)") from error

    return run


def _program(model: MixtureDenoiser, part: Path, samples: int | None, form: str) -> Run:
    # Recurrent layers keep torch.export from leaving the length open: it counts their steps.
    example = torch.randn(1, 1, samples or TRACED, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        # On deprecation, attributes of recurrent layers, and Python values, whose effect compare() would see.
        warnings.simplefilter("ignore")
        if form == "torchscript":
            traced = torch.jit.trace(one_step(model), (example,), check_trace=False)
            torch.jit.save(torch.jit.freeze(traced), str(part))
            return _runs(torch.jit.load(str(part)))
        program = torch.export.export(one_step(model), (example,))
        with part.open("wb") as file:
            torch.export.save(program, file)
        with part.open("rb") as file:
            return _runs(torch.export.load(file).module())


def _runs(module: Any) -> Run:
    def run(noisy: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            clean: np.ndarray = module(torch.from_numpy(noisy)).numpy()
        return clean

    return run


def _check_solver(description: Mapping[str, Any]) -> None:
    """Refuse a graph of a model whose own setting runs code that no graph holds."""
    solver = (description.get("sampler") or {}).get("solver", SOLVERS[0])
    if solver not in SOLVERS:
        foreign = f"the solver {solver} is code of another package"
        raise UnsupportedModel(f"{foreign}, and a graph has one step alone")


def _safetensors(
    model: MixtureDenoiser,
    description: Mapping[str, Any],
    path: Path,
    sound: np.ndarray,
    trust: Collection[str],
) -> Deviation:
    """The project's own format, checked in a folder aside, then moved: weights first, description last."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export") as folder:
        stem = Path(folder) / path.stem
        save_model(stem, model, dict(description.get("card") or {}), dict(description.get("sampler") or {}))
        again, _ = load_model(stem, trust)
        run = _runs(lambda noisy: again.enhance(noisy).waveform)
        deviation = compare(model, run, sound, None, path.with_suffix(".safetensors"))
        with suppress(ExportError, UnsupportedModel):  # weights are of use without a graph
            _check_solver(description)
            _light(model, stem, sound)
        path.with_suffix(".onnx").unlink(missing_ok=True)  # one of other weights would be of no use
        for suffix in (".safetensors", ".onnx", ".json"):
            with suppress(FileNotFoundError):
                stem.with_name(stem.name + suffix).replace(path.with_suffix(suffix))
    return deviation


def _light(model: MixtureDenoiser, stem: Path, sound: np.ndarray) -> None:
    from diffgmm.inference.backends import OnnxRuntime

    graph = stem.with_name(stem.name + ".onnx")
    write_light(model, stem.with_name(stem.name + ".safetensors"), graph)
    rows = OnnxRuntime(graph)
    try:
        compare(model, lambda noisy: rows(noisy[:, 0])[:, None], sound, None, graph)
    except BaseException:
        graph.unlink()
        raise


def write_light(model: MixtureDenoiser, weights: Path, path: Path) -> None:
    """Write a graph of about a tenth of a megabyte whose weights are those in ``weights``, a file in the same folder.

    Batch norms, process time and transforms are computed in the graph from the stored parameters; runtimes do that
    once, when they load it.

    Raises:
        ExportError: the package onnx is missing.
    """
    graph = _traced(FromParameters(model).eval(), None, folding=False)
    from onnx.external_data_helper import set_external_data

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
        set_external_data(tensor, weights.name, *place)
        tensor.ClearField("raw_data")
    with replacing(path) as part:
        _write(graph, part, {"sample_rate": str(model.sample_rate), WEIGHTS: sha256_of(weights)})


def _traced(module: nn.Module, samples: int | None, folding: bool) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ExportError("writing ONNX needs the package onnx; install it: pip install onnx") from error
    axes = {0: "batch", 2: "samples"}
    example = torch.randn(1, 1, samples or TRACED, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # On deprecation, and on Python values in the trace: what is written is run at other lengths afterwards. The
        # newer exporter's graphs fail in onnxruntime at other lengths than the traced one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (example,), f"{folder}/graph.onnx", dynamo=False, opset_version=OPSET, do_constant_folding=folding,
            keep_initializers_as_inputs=not folding,  # else equal weights become one, under one of their names
            input_names=["noisy"], output_names=["clean"],
            dynamic_axes={"noisy": axes, "clean": axes} if samples is None else None,
        )  # fmt: skip
        return onnx.load(f"{folder}/graph.onnx")


def _write(graph: Any, path: Path, facts: Mapping[str, str]) -> None:
    from onnx.helper import set_model_props

    graph.producer_name = "diffgmm"
    set_model_props(graph, dict(facts))
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
