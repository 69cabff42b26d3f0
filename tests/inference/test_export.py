"""Exported models are the model: each format against PyTorch on real sound, and what happens where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_model import tiny

from diffgmm.cli.main import main
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.one_step import one_step
from diffgmm.diffusion.representation import Magnitude
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.inference.export import FORMATS, TOLERANCE, WEIGHTS, ExportError, export, write_light
from diffgmm.networks import UNet

Pair = tuple[np.ndarray, np.ndarray]


class Attention(torch.nn.Module):
    """Along time in every band, as a network of one's own may have it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, bands, frames = x.shape
        sequence = x.permute(0, 2, 3, 1).reshape(batch * bands, frames, channels)
        changed = self.layer(sequence, sequence, sequence, need_weights=False)[0]
        return x + changed.reshape(batch, bands, frames, channels).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("form", "bottleneck"),
    [
        ("onnx", "gru"),
        ("onnx", "bigru"),
        ("torchscript", "bigru"),
        pytest.param("torch_export", "bigru", marks=pytest.mark.slow),  # tracing takes half a minute
        ("safetensors", "gru"),
    ],
)
def test_every_format_is_the_model(form: str, bottleneck: str, tmp_path: Path, pair: Pair) -> None:
    model = tiny(bottleneck)
    samples = 310 if form == "torch_export" else None
    done = export(
        model, {"card": {"name": "t"}}, tmp_path / f"t{FORMATS[form]}", form, pair[1], samples=samples
    )
    assert done.deviation.max_abs <= TOLERANCE and done.deviation.snr_db > 80
    assert sorted(tmp_path.iterdir()) == sorted(done.files)
    with pytest.raises(ExportError, match="exists already"):
        export(model, {}, tmp_path / f"t{FORMATS[form]}", form, pair[1])


def test_onnx_takes_rows_and_lengths_and_says_what_it_is(tmp_path: Path, pair: Pair) -> None:
    model = tiny("gru", norm="group")
    export(model, {}, tmp_path / "t.onnx", "onnx", pair[1], facts={"licence": "MIT"})
    session = onnxruntime.InferenceSession(str(tmp_path / "t.onnx"))
    assert session.get_modelmeta().custom_metadata_map == {"sample_rate": "16000", "licence": "MIT"}
    for rows, samples in ((1, 1), (3, 777), (2, 9000)):
        noisy = np.resize(pair[1], (rows, 1, samples)).astype(np.float32)
        (clean,) = session.run(None, {"noisy": noisy})
        wanted = model.enhance(torch.from_numpy(noisy)).waveform.numpy()
        assert clean.shape == noisy.shape and np.abs(clean - wanted).max() < 1e-5
    export(model, {}, tmp_path / "fixed.onnx", "onnx", pair[1], samples=3100)
    assert onnxruntime.InferenceSession(str(tmp_path / "fixed.onnx")).get_inputs()[0].shape == [1, 1, 3100]
    attentive = tiny("none")
    attentive.network.bottleneck = Attention()
    with pytest.raises(ExportError, match="fixed length"):  # the trace of attention knows one length
        export(attentive, {}, tmp_path / "a.onnx", "onnx", pair[1])
    export(attentive, {}, tmp_path / "a.onnx", "onnx", pair[1], samples=3100)


def test_a_light_graph_reads_the_weights_beside_it(tmp_path: Path, pair: Pair) -> None:
    model = tiny("bigru")
    save_model(tmp_path / "t", model, {}, {})
    write_light(model, tmp_path / "t.safetensors", tmp_path / "t.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "t.onnx"))
    noisy = pair[1][None, None, :8000]
    (clean,) = session.run(None, {"noisy": noisy})
    assert np.abs(clean - model.enhance(torch.from_numpy(noisy)).waveform.numpy()).max() < 1e-5
    assert len(session.get_modelmeta().custom_metadata_map[WEIGHTS]) == 64
    with torch.no_grad():
        model.network.bottleneck.out.bias += 1.0  # what lies in the graph itself would not notice
    save_model(tmp_path / "t", model, {}, {})
    (other,) = onnxruntime.InferenceSession(str(tmp_path / "t.onnx")).run(None, {"noisy": noisy})
    assert np.abs(other - model.enhance(torch.from_numpy(noisy)).waveform.numpy()).max() < 1e-5
    assert np.abs(other - clean).max() > 1e-3


def test_a_file_that_differs_is_not_kept(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    other = one_step(tiny("none"))
    monkeypatch.setattr("diffgmm.inference.export.one_step", lambda model: other)
    (tmp_path / "t.onnx").write_bytes(b"older")
    with pytest.raises(ExportError, match=r"differs from PyTorch by .* not kept"):
        export(tiny("gru"), {}, tmp_path / "t.onnx", "onnx", pair[1], overwrite=True)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"older"]


def test_models_without_a_graph_are_told_the_way_out(tmp_path: Path, pair: Pair) -> None:
    model = MixtureDenoiser(Magnitude(8000, 255, 63), UNet([4], [[4, 1]], 4), MixtureHead(2)).eval()
    with pytest.raises(ExportError, match=r"Magnitude; --format safetensors takes every model"):
        export(model, {}, tmp_path / "t.onnx", "onnx", pair[1])
    export(model, {"sampler": {"nfe": 2}}, tmp_path / "t.safetensors", "safetensors", pair[1][::2])
    assert load_model(tmp_path / "t")[1]["sampler"] == {"nfe": 2}


def test_the_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model("mine", tiny("gru"), {"licence": "MIT"}, {"nfe": 1})
    assert main(["export", "--model", "mine.json", "--format", "onnx", "--streaming", "-o", "live.onnx"]) == 0
    assert "differs from PyTorch by at most" in capsys.readouterr().out
    session = onnxruntime.InferenceSession("live.onnx")
    sizes = json.loads(session.get_modelmeta().custom_metadata_map["streaming"])
    length = sizes["context"] + sizes["step"] + sizes["ahead"]
    assert session.get_inputs()[0].shape == [1, 1, length] and sizes["step"] % 31 == 0
    assert main(["export", "--model", "mine.json", "--format", "torchscript"]) == 0
    assert torch.jit.load("mine.pt")(torch.zeros(1, 1, 500)).shape == (1, 1, 500)
    for wrong, told in (
        (["--format", "onnx", "-o", "live.onnx"], "exists already"),
        (["--format", "onnx", "-o", "no/live.onnx"], "no such folder"),
    ):
        assert main(["export", "--model", "mine.json", *wrong]) == 1
        assert told in capsys.readouterr().err
    for wrong, told in (
        (["--format", "onnx", "-o", "live.pt"], "ends in .onnx"),
        (["--format", "safetensors", "--streaming"], "weights of any length"),
        (["--format", "onnx", "--samples", "3"], "from 1000"),
        (["--format", "onnx", "--model", "none"], "unknown model"),
    ):
        assert main(["export", "--model", "mine.json", *wrong]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.slow
def test_the_shipped_model_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for form, suffix in FORMATS.items():
        assert main(["export", "--format", form, "-o", f"{form}{suffix}"]) == 0
