"""Models in a folder laid out like a repository of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_model import tiny

import diffgmm
from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.saving import save_model

hub = pytest.importorskip("diffgmm.report.hub", reason="needs huggingface_hub: pip install 'diffgmm[hub]'")


def test_a_shipped_model_goes_out_and_comes_back(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> None:
    hub.HubModel("small").save_pretrained(tmp_path / "there")
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        "README.md", "small.json", "small.onnx", "small.safetensors",
    ]  # fmt: skip
    back = hub.HubModel.from_pretrained(tmp_path / "there").denoiser()
    x = pair[1]
    np.testing.assert_array_equal(back.denoise(x, 16000), diffgmm.denoise(x, 16000, model="small"))
    card = (tmp_path / "there" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: diffgmm\nlicense: mit\n") and "\n# small\n" in card
    assert "More Information Needed" not in card


def test_a_model_of_ones_own_takes_no_path_of_this_machine_along(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    save_model(tmp_path / "mine" / "tiny", tiny(), {}, {"nfe": 1})
    hub.HubModel(tmp_path / "mine" / "tiny.safetensors").save_pretrained(tmp_path / "there")
    texts = [path.read_bytes() for path in (tmp_path / "there").iterdir()]
    assert len(texts) == 3 and not any(str(tmp_path).encode() in text for text in texts)
    back = hub.HubModel.from_pretrained(tmp_path / "there").denoiser(backend="torch")
    assert back.denoise(np.zeros(800, np.float32), 16000).shape == (800,)


def test_what_is_no_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds 0 \.safetensors files"):
        hub.HubModel.from_pretrained(tmp_path)
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(ModelError, match="a checkpoint; `diffgmm export"):
        hub.HubModel(tmp_path / "last.ckpt")
