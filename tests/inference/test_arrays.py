"""`diffgmm.load` and `diffgmm.denoise`: an array gives an array, a tensor a tensor."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import diffgmm
from diffgmm.diffusion.pretrained import PRETRAINED, ModelError
from diffgmm.inference import Denoiser

RATE = 16000


def recording(*shape: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


@pytest.fixture(scope="module")
def small() -> Denoiser:
    return diffgmm.load("small")


def test_load_gives_a_denoiser_and_denoise_does_what_it_does(small: Denoiser) -> None:
    assert isinstance(small, Denoiser)
    x = recording(2, RATE)
    np.testing.assert_array_equal(diffgmm.denoise(x, RATE, model="small"), small.denoise(x, RATE))
    np.testing.assert_array_equal(diffgmm.denoise(x, RATE, model=small, strength=0.0), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(RATE,), (1, RATE), (2, RATE // 2), (0,)])
def test_a_tensor_keeps_shape_type_and_device(
    small: Denoiser, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    x = torch.from_numpy(recording(*shape)).to(dtype).requires_grad_()
    y = diffgmm.denoise(x, RATE, model=small)
    assert (y.shape, y.dtype, y.device, y.requires_grad) == (x.shape, x.dtype, x.device, False)
    expected = small.denoise(x.detach().float().numpy(), RATE)
    np.testing.assert_allclose(y.float().numpy(), expected, rtol=2**-7, atol=1e-3)


def test_a_named_model_is_loaded_once_and_again_when_its_file_changes(tmp_path: Path) -> None:
    from diffgmm.inference import denoiser

    for ending in (".json", ".safetensors"):
        shutil.copy(PRETRAINED / f"small{ending}", tmp_path / f"[mine]{ending}")
    path, x = tmp_path / "[mine].json", recording(RATE)
    before = diffgmm.denoise(x, RATE, model=path)
    first = denoiser._denoiser(path, "cpu")
    assert denoiser._denoiser(str(path), "cpu") is first
    for ending in (".json", ".safetensors"):
        shutil.copy(PRETRAINED / f"base{ending}", tmp_path / f"[mine]{ending}")
    assert not np.array_equal(diffgmm.denoise(x, RATE, model=path), before)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ModelError, match="unknown model 'big'"):
        diffgmm.load("big")
    with pytest.raises(ValueError, match="transpose"):
        diffgmm.denoise(recording(RATE, 2), RATE, model="small")
    with pytest.raises(ValueError, match="NaN"):
        diffgmm.denoise(torch.full((RATE,), torch.nan), RATE, model="small")
    with pytest.raises(ValueError, match="float"):
        diffgmm.denoise(torch.zeros(RATE, dtype=torch.int16), RATE, model="small")
    with pytest.raises(AttributeError, match="no attribute 'denoize'"):
        diffgmm.denoize  # noqa: B018


def test_arrays_need_no_pytorch() -> None:
    code = (
        "import sys, numpy, diffgmm\n"
        "assert {'denoise', 'load'} <= set(dir(diffgmm)) and 'numpy' in sys.modules\n"
        "y = diffgmm.denoise(numpy.ones(8000, 'float32') * 0.1, 8000, model='small')\n"
        "assert y.shape == (8000,) and 'torch' not in sys.modules, 'torch was loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
