"""Model files of strangers: damaged, oversized or hostile ones are refused in one line, and run no code."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import resource
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save
from tiny_model import tiny

from diffgmm.cli.main import main
from diffgmm.diffusion import saving
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser, ModelError
from diffgmm.diffusion.process import Bridge
from diffgmm.diffusion.representation import Complex
from diffgmm.diffusion.saving import build, load_model, save_model
from diffgmm.inference import Denoiser
from diffgmm.training.callbacks.nonfinite import replay
from diffgmm.training.module import DiffGMM

FOREIGN = Path(__file__).parents[1] / "foreign"
BILLION = 10**9


class Files:
    """A sound model in a folder, as description, weights and checkpoint, to be damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, tiny()
        save_model(folder / "m", self.model, {}, {"nfe": 1, "estimate": "mean"})
        self.description: dict[str, Any] = json.loads(self.json.read_text())
        self.weights = {name: value.clone() for name, value in self.model.state_dict().items()}

    json = property(lambda self: self.folder / "m.json")
    safetensors = property(lambda self: self.folder / "m.safetensors")
    ckpt = property(lambda self: self.folder / "m.ckpt")

    def checkpoint(self) -> dict[str, Any]:
        training = {"losses": {"nll": 1.0}, "states": {}}
        state = {f"model.{name}": value for name, value in self.weights.items()}
        return {"diffgmm": {**self.description, **training}, "state_dict": state, "global_step": 3}


def entry(*place: str, value: Any) -> Callable[[Files], Path]:
    """A description with another value at a place."""

    def damage(files: Files) -> Path:
        at = files.description
        for name in place[:-1]:
            at = at[name]
        at[place[-1]] = value
        files.json.write_text(json.dumps(files.description))
        return files.json

    return damage


def argument(part: str, name: str, value: Any) -> Callable[[Files], Path]:
    return entry("model", "init_args", part, "init_args", name, value=value)


def part(slot: str, path: Any, /, **args: Any) -> Callable[[Files], Path]:
    return entry("model", "init_args", slot, value={"class_path": path, "init_args": args})


def text(content: bytes | Callable[[bytes], bytes]) -> Callable[[Files], Path]:
    def damage(files: Files) -> Path:
        files.json.write_bytes(content if isinstance(content, bytes) else content(files.json.read_bytes()))
        return files.json

    return damage


def weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Files], Path]:
    def damage(files: Files) -> Path:
        change(files.weights)
        files.safetensors.write_bytes(save({k: v.contiguous() for k, v in files.weights.items()}))
        return files.safetensors

    return damage


def raw_weights(change: Callable[[bytes], bytes]) -> Callable[[Files], Path]:
    def damage(files: Files) -> Path:
        files.safetensors.write_bytes(change(files.safetensors.read_bytes()))
        return files.safetensors

    return damage


def checkpoint(change: Callable[[dict[str, Any]], Any]) -> Callable[[Files], Path]:
    """A checkpoint changed in place, or what ``change`` returns instead."""

    def damage(files: Files) -> Path:
        content = files.checkpoint()
        torch.save(content if (other := change(content)) is None else other, files.ckpt)
        return files.ckpt

    return damage


def raw_checkpoint(change: Callable[[Path], Any]) -> Callable[[Files], Path]:
    def damage(files: Files) -> Path:
        torch.save(files.checkpoint(), files.ckpt)
        change(files.ckpt)
        return files.ckpt

    return damage


def recompressed(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in content.items():
            archive.writestr(name, value + bytes(10**7) if name.endswith("data.pkl") else value)


def replaced(make: Callable[[Path], Any], name: str) -> Callable[[Files], Path]:
    def damage(files: Files) -> Path:
        path = files.folder / name
        path.unlink(missing_ok=True)
        make(path)
        return path

    return damage


def loop(content: dict[str, Any]) -> None:
    content["diffgmm"]["card"]["self"] = content["diffgmm"]["card"]


def laughs(content: dict[str, Any]) -> None:
    value: Any = ["ha"] * 10
    for _ in range(12):
        value = [value] * 10
    content["diffgmm"]["card"]["x"] = value


def header(tensors: dict[str, Any], data: bytes = b"") -> Callable[[bytes], bytes]:
    head = json.dumps(tensors).encode()
    return lambda _: struct.pack("<Q", len(head)) + head + data


HOSTILE: dict[str, Callable[[Files], Path]] = {
    # sizes
    "channels of 10^9": argument("network", "channels", [BILLION, 8]),
    "channels within bounds that no weights fill": argument("network", "channels", [8192, 8192]),
    "features of 10^9": argument("network", "features", BILLION),
    "blocks of 10^9": argument("network", "blocks", BILLION),
    "kernel of 10^9 + 1": argument("network", "kernel", [BILLION + 1, 3]),
    "a thousand levels": argument("network", "channels", [4] * 1000),
    "strides of 10^9": argument("network", "strides", [[BILLION, 1], [2, 1]]),
    "strides whose product is large": argument("network", "strides", [[1024, 1024], [1024, 1024]]),
    "hidden of 10^9": argument("network", "hidden", BILLION),
    "embedding of 10^9": argument("network", "embedding", BILLION),
    "dilations of 10^9": argument("network", "dilations", [BILLION]),
    "a million dilations": argument("network", "dilations", [1] * 10**6),
    "bins of 10^9": argument("network", "bins", BILLION),
    "components of 10^9": argument("head", "components", BILLION),
    "n_fft of 10^9": argument("representation", "n_fft", BILLION),
    "hop of 0": argument("representation", "hop", 0),
    "a number of 400 digits": argument("representation", "n_fft", 10**400),
    "negative channels": argument("network", "channels", [-6, 8]),
    "no channels": argument("network", "channels", []),
    # types
    "channels as text": argument("network", "channels", "68"),
    "channels as truth values": argument("network", "channels", [True, True]),
    "features as a fraction": argument("network", "features", 5.5),
    "features as a list": argument("network", "features", [5]),
    "a norm that is no name": argument("network", "norm_kind", {"a": 1}),
    "a bottleneck of another name": argument("network", "bottleneck", "__class__"),
    "an unknown argument": argument("network", "forward_hook", "os.system"),
    "a process with text": argument("process", "c", "0.5"),
    "a process of zero": argument("process", "c", 0),
    "init_args that are a list": entry("model", "init_args", "network", "init_args", value=[1, 2]),
    "a part that is a number": entry("model", "init_args", "network", value=3),
    "a part that is missing": entry("model", "init_args", value={}),
    "a model that is a list": entry("model", value=[]),
    "a class_path that is a list": part("network", ["diffgmm"]),
    # code
    "pathlib.PosixPath": part("network", "pathlib.PosixPath"),
    "os.system": part("process", "os.system", command="true"),
    "a lambda": part("network", "lambda: 0"),
    "the command line": part("network", "diffgmm.cli.main.main", argv=["benchmark"]),
    "the command line as the model": entry(
        "model", value={"class_path": "diffgmm.cli.main.main", "init_args": {"argv": ["info"]}}
    ),
    "a loader as a part": part("network", "diffgmm.diffusion.saving.load_model", path="m"),
    "a process as the network": part("network", "diffgmm.diffusion.process.Bridge", c=0.5),
    "a path without a module": part("network", "UNet"),
    "a module of the working directory": part("network", "..evil.Net"),
    # description
    "sampler as text": entry("sampler", value="nfe"),
    "nfe of 10^9": entry("sampler", "nfe", value=BILLION),
    "nfe as text": entry("sampler", "nfe", value="1"),
    "an unknown estimate": entry("sampler", "estimate", value="best"),
    "an estimate that is a list": entry("sampler", "estimate", value=["mean"]),
    "temperature of NaN": entry("sampler", "temperature", value=float("nan")),
    "temperature of zero": entry("sampler", "temperature", value=0),
    "card as a list": entry("card", value=[1]),
    "infinity in the card": entry("card", "x", value=float("inf")),
    "another sample rate": entry("sample_rate", value=8000),
    "a sample rate of 10^9": entry("sample_rate", value=BILLION),
    "a sample rate as text": entry("sample_rate", value="16000"),
    "another format": entry("format", value=[1]),
    # text
    "not UTF-8": text(b'{"format": 1, "model": "\xff\xfe"}'),
    "nested a hundred thousand deep": text(b"[" * 100_000),
    "nested in the card": text(lambda t: t.replace(b'"card": {', b'"card": {"x": ' + b"[" * 50 + b"]" * 50 + b",", 1)),
    "a key twice": text(lambda t: t.replace(b'"format"', b'"format": 1, "format"', 1)),
    "a number of 10,000 digits": text(b'{"format": ' + b"1" * 10_000 + b"}"),
    "20 MiB of JSON": text(lambda t: t + b" " * (20 * 2**20)),
    "an empty description": text(b""),
    "cut off": text(lambda t: t[: len(t) // 2]),
    # weights
    "no weights in the file": weights(lambda w: w.clear()),
    "one tensor too many": weights(lambda w: w.update(extra=torch.zeros(3))),
    "another shape": weights(lambda w: w.update({next(iter(w)): torch.zeros(1, 2, 3)})),
    "whole numbers": weights(lambda w: w.update({k: v.int() for k, v in w.items()})),
    "complex numbers": weights(lambda w: w.update({k: v.to(torch.complex64) for k, v in w.items()})),
    "cut off weights": raw_weights(lambda b: b[:-100]),
    "weights of eight bytes": raw_weights(lambda b: b[:8]),
    "a header of 2^63 bytes": raw_weights(lambda b: struct.pack("<Q", 2**63) + b[8:]),
    "a tensor beyond the file": raw_weights(
        header({"x": {"dtype": "F32", "shape": [BILLION], "data_offsets": [0, 4 * BILLION]}})
    ),
    "an unknown type of number": raw_weights(
        header({"x": {"dtype": "F7", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
    ),
    # checkpoints
    "a tensor": checkpoint(lambda c: torch.zeros(3)),
    "a number": checkpoint(lambda c: 3),
    "a list": checkpoint(lambda c: [c]),
    "no state_dict": checkpoint(lambda c: c.pop("state_dict") and None),
    "a state_dict that is a list": checkpoint(lambda c: c.update(state_dict=[])),
    "a state_dict of texts": checkpoint(lambda c: c.update(state_dict=dict.fromkeys(c["state_dict"], "x"))),
    "no description": checkpoint(lambda c: c.pop("diffgmm") and None),
    "a description that is a tensor": checkpoint(lambda c: c.update(diffgmm=torch.zeros(2))),
    "a tensor in the description": checkpoint(lambda c: c["diffgmm"].update(sample_rate=torch.tensor(16000))),
    "a description within itself": checkpoint(loop),
    "ten to the twelfth entries": checkpoint(laughs),
    "steps that are a text": checkpoint(lambda c: c.update(global_step="x")),
    "one number a billion times": checkpoint(
        lambda c: c["state_dict"].update({"model.x": torch.zeros(1).expand(BILLION)})
    ),
    "tensors without memory": checkpoint(
        lambda c: c.update(state_dict={k: v.to("meta") for k, v in c["state_dict"].items()})
    ),
    "sparse tensors": checkpoint(
        lambda c: c["state_dict"].update({k: v.to_sparse() for k, v in list(c["state_dict"].items())[:1]})
    ),
    "an object": checkpoint(lambda c: c.update(callbacks=pathlib.PurePosixPath("x"))),
    "compressed": raw_checkpoint(recompressed),
    "a checkpoint cut off": raw_checkpoint(lambda p: p.write_bytes(p.read_bytes()[:-300])),
    "an empty checkpoint": raw_checkpoint(lambda p: p.write_bytes(b"")),
    "a checkpoint of the old kind": raw_checkpoint(
        lambda p: torch.save({"diffgmm": {}}, p, _use_new_zipfile_serialization=False)
    ),
    # not files
    "a folder": replaced(lambda p: p.mkdir(), "m.ckpt"),
    "a link to itself": replaced(lambda p: p.symlink_to(p.name), "m.ckpt"),
    "a link to nothing": replaced(lambda p: p.symlink_to("none"), "m.safetensors"),
    "a pipe as a checkpoint": replaced(lambda p: os.mkfifo(p), "m.ckpt"),
    "a pipe as weights": replaced(lambda p: os.mkfifo(p), "m.safetensors"),
    "a pipe as a description": replaced(lambda p: os.mkfifo(p), "m.json"),
    "a folder as weights": replaced(lambda p: p.mkdir(), "m.safetensors"),
    "an endless device": replaced(lambda p: p.symlink_to("/dev/zero"), "m.json"),
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("noisy") / "noisy.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(4000), 16000)
    return path


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 55


def test_undamaged_files_load(files: Files, noisy: Path) -> None:
    torch.save(files.checkpoint(), files.ckpt)
    for path in (files.json, files.safetensors, files.ckpt):
        load_model(path)
        assert main(["denoise", str(noisy), "--model", str(path), "-o", str(path) + ".wav"]) == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_one_line(
    name: str, files: Files, noisy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = HOSTILE[name](files)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(ModelError):
        load_model(path)
    code = main(["denoise", str(noisy), "--model", str(path), "-o", str(files.folder / "out.wav")])
    lines = capsys.readouterr().err.splitlines()
    assert code in (1, 2) and len(lines) == 1 and lines[0].startswith("diffgmm: error: "), lines
    assert len(lines[0]) < 600 and path.stem in lines[0]
    assert not (files.folder / "out.wav").exists()
    assert time.perf_counter() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024  # KiB


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


ROUTES: dict[str, Callable[[Path, Path, Path], Any]] = {
    "load_model": lambda ckpt, noisy, out: load_model(ckpt),
    "load_weights": lambda ckpt, noisy, out: saving.load_weights(ckpt, tiny()),
    "from_checkpoint": lambda ckpt, noisy, out: DiffGMM.from_checkpoint(ckpt),
    "replay": lambda ckpt, noisy, out: replay(ckpt),
    "from_pretrained": lambda ckpt, noisy, out: Denoiser.from_pretrained(ckpt),
    "denoise": lambda ckpt, noisy, out: main(["denoise", str(noisy), "--model", str(ckpt), "-o", f"{out}/x.wav"]),
    "calibrate": lambda ckpt, noisy, out: main(
        ["calibrate", "--model", str(ckpt), "--data", "mini", "--pairs", "1", "-o", f"{out}/c"]
    ),
    "export": lambda ckpt, noisy, out: main(
        ["export", "--model", str(ckpt), "--format", "safetensors", "-o", f"{out}/e.safetensors"]
    ),
    "info": lambda ckpt, noisy, out: main(["info", "--model", str(ckpt)]),
    "fit --model.weights": lambda ckpt, noisy, out: main(
        ["fit", "--config", "experiments/mini.yaml", "--model.weights", str(ckpt), "--trainer.max_steps", "1",
         "--trainer.default_root_dir", str(out)]
    ),
    "fit --ckpt_path": lambda ckpt, noisy, out: main(
        ["fit", "--config", "experiments/mini.yaml", "--ckpt_path", str(ckpt), "--trainer.max_steps", "1",
         "--trainer.default_root_dir", str(out)]
    ),
    "validate --ckpt_path": lambda ckpt, noisy, out: main(
        ["validate", "--config", "experiments/mini.yaml", "--ckpt_path", str(ckpt),
         "--trainer.default_root_dir", str(out)]
    ),
    "benchmark": lambda ckpt, noisy, out: main(
        ["benchmark", "--set", str(out / "set"), "--models", str(ckpt), "--baselines", "none", "--metrics", "si_sdr",
         "-o", f"{out}/b", "--jobs", "1", "--timing", "skip"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ["pickle", "class path"])
@pytest.mark.parametrize("route", ROUTES)
def test_no_route_runs_what_a_checkpoint_names(
    route: str, attack: str, files: Files, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path / "home"))
    for side in ("clean", "noisy"):
        (tmp_path / "set" / side).mkdir(parents=True)
        (tmp_path / "set" / side / "a.wav").write_bytes(noisy.read_bytes())
    marker = tmp_path / "it-ran"
    content = {**files.checkpoint(), "precision": "32-true", "batches": [], "places": []}
    if attack == "pickle":
        content["callbacks"] = Payload(marker)
    else:  # a function of this package that writes a file, in the place of a network
        arguments = {"path": str(marker), "text": "x"}
        network = {"class_path": "diffgmm.utils.files.write_text", "init_args": arguments}
        content["diffgmm"]["model"]["init_args"]["network"] = network
    torch.save(content, files.ckpt)
    try:
        code = ROUTES[route](files.ckpt, noisy, tmp_path)
    except ModelError:
        code = 1
    assert not marker.exists()
    weights_alone = route == "load_weights" and attack == "class path"
    assert code is None if weights_alone else code in (1, 2)


def test_the_payload_works(files: Files, tmp_path: Path) -> None:
    torch.save({"x": Payload(tmp_path / "it-ran")}, files.ckpt)
    torch.load(files.ckpt, weights_only=False)
    assert (tmp_path / "it-ran").exists()


def test_a_class_of_another_package_takes_trust(
    tmp_path: Path, noisy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(FOREIGN))
    from foreign_networks import OneLayer

    model = MixtureDenoiser(
        Complex(n_fft=62, hop=31, window="sqrt_hann"), OneLayer(), MixtureHead(2), Bridge()
    )  # type: ignore[arg-type]
    save_model(tmp_path / "m", model.eval(), {}, {})
    del sys.modules["foreign_networks"]
    arguments = ["denoise", str(noisy), "--model", str(tmp_path / "m.json"), "-o", str(tmp_path / "out.wav")]
    assert main(arguments) == 1
    assert "type --trust foreign_networks" in capsys.readouterr().err
    assert "foreign_networks" not in sys.modules
    assert main([*arguments, "--trust", "another"]) == 1 and "foreign_networks" not in sys.modules
    assert main([*arguments, "--trust", "foreign_networks"]) == 0 and (tmp_path / "out.wav").exists()
    again, _ = load_model(tmp_path / "m", trust=("foreign_networks",))
    x = 0.1 * torch.randn(1, 1, 4000)
    assert torch.equal(again.enhance(x).waveform, model.enhance(x).waveform)
    description = json.loads((tmp_path / "m.json").read_text())
    for path in ("foreign_networks.not_a_class", "foreign_networks.Missing", "foreign_networks.sub.Net"):
        other = copy.deepcopy(description)
        other["model"]["init_args"]["network"]["class_path"] = path
        (tmp_path / "m.json").write_text(json.dumps(other))
        with pytest.raises(ModelError, match=r"not a class of networks|can't be imported"):
            load_model(tmp_path / "m", trust=("foreign_networks",))


def test_trust_never_opens_this_package() -> None:
    spec = saving.describe(tiny())
    spec["init_args"]["network"] = {"class_path": "diffgmm.cli.main.main", "init_args": {"argv": ["info"]}}
    with pytest.raises(ModelError, match="not a network that a model file may name"):
        build(spec, trust=("diffgmm",))


def graph_reading(location: str, twice: bool = False) -> bytes:
    """A graph whose only weight lies in another file."""
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    ports = [
        onnx.helper.make_tensor_value_info(name, 1, ["batch", 1, "samples"]) for name in ("noisy", "clean")
    ]
    node = onnx.helper.make_node("Mul", ["noisy", "w"], ["clean"])
    graph = onnx.helper.make_graph([node], "g", ports[:1], ports[1:], [tensor])
    content: bytes = onnx.helper.make_model(graph).SerializeToString()
    return content


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "link.bin", "m.json"])
def test_a_graph_reads_no_file_but_its_weights(files: Files, location: str) -> None:
    files.json.with_suffix(".onnx").write_bytes(graph_reading(location))
    with pytest.raises(ModelError, match=r"reads tensors from .*, not from m\.safetensors beside it"):
        Denoiser.from_pretrained(files.json)


@pytest.mark.parametrize(
    "content", [b"\x00" * 50, b"\x3a\xff\xff\xff\xff\x7f", b"\x08" + b"\xff" * 30, b"PK\x03\x04"]
)
def test_a_damaged_graph_is_named(files: Files, content: bytes) -> None:
    files.json.with_suffix(".onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx: (damaged|onnxruntime can't use)"):
        Denoiser.from_pretrained(files.json)


def test_a_shipped_graph_beside_another_rate_is_refused(tmp_path: Path) -> None:
    from diffgmm.diffusion.pretrained import PRETRAINED

    for suffix in (".safetensors", ".onnx", ".json"):
        (tmp_path / f"small{suffix}").write_bytes((PRETRAINED / f"small{suffix}").read_bytes())
    description = (tmp_path / "small.json").read_text()
    assert Denoiser.from_pretrained(tmp_path / "small.json").sample_rate == 16000
    (tmp_path / "small.json").write_text(description.replace("16000", "48000"))
    with pytest.raises(ModelError, match="has 48000 Hz, the graph beside it 16000 Hz"):
        Denoiser.from_pretrained(tmp_path / "small.json")
