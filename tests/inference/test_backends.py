"""Back ends give what PyTorch gives, are chosen without failing, and leave PyTorch alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import tiny

from diffgmm.cli.main import main
from diffgmm.diffusion.pretrained import PRETRAINED, ModelError
from diffgmm.diffusion.sampler_options import SamplerConfig
from diffgmm.diffusion.saving import load_model, save_model
from diffgmm.inference import Denoiser, backends
from diffgmm.inference.backends import is_default, open_backend
from diffgmm.inference.export import export
from diffgmm.inference.streaming import StreamingDenoiser

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with its graph, as ``diffgmm export --format safetensors`` writes them."""
    stem = tmp_path_factory.mktemp("model") / "mine"
    sampler = {"nfe": 1, "estimate": "mean", "temperature": 1.5}
    noise = np.random.default_rng(0).standard_normal(20000).astype(np.float32) * 0.1
    model = tiny("bigru", n_fft=510, hop=255)
    done = export(model, {"sampler": sampler}, stem.with_suffix(".safetensors"), "safetensors", noise)
    assert {file.suffix for file in done.files} == {".safetensors", ".json", ".onnx"}
    return stem


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_every_back_end_gives_what_the_model_gives(
    backend: str, stem: Path, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    pytest.importorskip(backend)
    x = np.stack([np.resize(pair[1], 5 * 16000), np.zeros(5 * 16000, np.float32)])
    path = stem.with_suffix(".safetensors")
    wanted = Denoiser(*load_model(path)).denoise(x, 16000)
    denoiser = Denoiser.from_pretrained(path, backend=backend, threads=1)
    found = denoiser.denoise(x, 16000)
    assert np.abs(found - wanted).max() < 1e-4 and not found[1].any()
    assert 10 * np.log10(np.square(found - wanted).sum() / np.square(wanted).sum()) < -80
    for quiet in (1e-20, 1e20):  # the level never reaches the graph
        np.testing.assert_allclose(denoiser.denoise(x * quiet, 16000) / quiet, found, atol=1e-5)
    drawn = denoiser.denoise(x[:, :16000], 16000, nfe=2, estimate="sample", seed=3)  # PyTorch's
    again = Denoiser(*load_model(path)).denoise(x[:, :16000], 16000, nfe=2, estimate="sample", seed=3)
    np.testing.assert_allclose(drawn, again, rtol=1e-4, atol=1e-4)


def test_what_is_the_default_setting() -> None:
    assert is_default(SamplerConfig()) and is_default(SamplerConfig(temperature=2.0, solver="flow"))
    others: list[dict] = [
        {"nfe": 2},
        {"estimate": "mode"},
        {"samples": 4},
        {"substeps": 3},
        {"solver": "a.b:c"},
    ]
    for other in others:
        assert not is_default(SamplerConfig(**other))


def test_auto_never_fails_and_a_name_tells_what_is_missing(
    stem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = stem.with_suffix(".safetensors")
    assert type(open_backend(weights)).__name__ == "OnnxRuntime"
    assert open_backend(weights, "torch") is None
    with pytest.raises(ValueError, match="one of auto, torch"):
        open_backend(weights, "tflite")
    for suffix in (".json", ".safetensors"):  # no graph
        (tmp_path / f"other{suffix}").write_bytes(stem.with_suffix(suffix).read_bytes())
    assert open_backend(tmp_path / "other.safetensors") is None
    with pytest.raises(ModelError, match="no graph of these weights"):
        open_backend(tmp_path / "other.safetensors", "onnxruntime")
    # A graph of other weights
    save_model(tmp_path / "other", tiny("bigru", n_fft=510, hop=255, means="free"), {}, {})
    graph = stem.with_suffix(".onnx").read_bytes().replace(b"mine.safetensors", b"othe.safetensors")
    (tmp_path / "othe.safetensors").write_bytes((tmp_path / "other.safetensors").read_bytes() + b"\0")
    (tmp_path / "othe.onnx").write_bytes(graph)
    assert open_backend(tmp_path / "othe.safetensors") is None
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert open_backend(weights) is None
    with pytest.raises(ModelError, match="pip install onnxruntime"):
        open_backend(weights, "onnxruntime")
    assert open_backend(tmp_path / "last.ckpt") is None


@pytest.mark.parametrize("name", ["base", "small"])
def test_the_shipped_models_of_one_call_have_a_graph_of_their_weights(name: str) -> None:
    assert open_backend(PRETRAINED / f"{name}.safetensors", "onnxruntime", 1) is not None


def test_the_command_does_without_pytorch(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    from diffgmm import audio

    audio.write(tmp_path / "noisy.wav", pair[1], 16000)
    line = "import sys; from diffgmm.cli.main import main; code = main(sys.argv[1:]); print(*sys.modules); exit(code)"
    arguments = ["denoise", str(tmp_path / "noisy.wav"), "--device", "cpu", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", line, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "onnxruntime" in loaded and not loaded & {"torch", "scipy", "lightning", "matplotlib", "librosa"}
    assert main(["denoise", *arguments[1:], "-o", str(tmp_path / "torch.wav"), "--backend", "torch"]) == 0
    fast, slow = (audio.read(tmp_path / n)[0] for n in ("noisy.denoised.wav", "torch.wav"))
    assert np.abs(fast - slow).max() <= 1e-4


def test_wrong_wishes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from diffgmm import audio

    audio.write(tmp_path / "noisy.wav", np.zeros(100, np.float32), 16000)
    line = ["denoise", str(tmp_path / "noisy.wav"), "--backend", "onnxruntime"]
    assert main([*line, "--device", "cuda"]) == 2
    assert "runs on the cpu" in capsys.readouterr().err


def test_live_sound_from_the_graph_alone(stem: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """The lines of docs/speed.md that run an exported graph on live sound give what StreamingDenoiser gives."""
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    assert "torch" not in code and "diffgmm" not in code
    from diffgmm.inference.streaming import window_sizes

    names: dict = {"sizes": window_sizes(16000, 255)}
    exec(
        code.replace('json.loads(facts["streaming"])', "sizes").replace(
            '"live.onnx"', repr(str(stem) + ".onnx")
        ),
        names,
    )
    x = np.resize(pair[1], 4 * 16000)
    stream = StreamingDenoiser(Denoiser.from_pretrained(stem.with_suffix(".json")), 16000)
    wanted = np.concatenate([stream.process(x), stream.flush()])[stream.latency :]
    sizes = names["sizes"]
    found = np.concatenate(list(names["live"](x[i : i + 1000] for i in range(0, len(x), 1000))))
    start = sizes["context"] + sizes["step"]  # from here on every window is whole
    assert len(found) >= len(x) - sizes["step"] - sizes["ahead"]
    error = found[start:] - wanted[start : len(found)]
    assert np.square(error).sum() < 1e-6 * np.square(wanted[start:]).sum()  # -60 dB
    assert json.dumps(sizes)


def test_nothing_is_reported_to_the_maker_of_onnxruntime(tmp_path: Path) -> None:
    """What would report writes a mark of its session, ``.ses``, into the temporary folder when it is loaded."""
    suppressing = ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "PYTEST_CURRENT_TEST")
    environment = {name: value for name, value in os.environ.items() if name not in suppressing}
    done = subprocess.run(
        [sys.executable, "-c", "import diffgmm; diffgmm.load('small', backend='onnxruntime')"],
        cwd=ROOT, env=environment | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
