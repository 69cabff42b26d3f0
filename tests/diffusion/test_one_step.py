"""The one-step graph is the model at its default setting, folded."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tiny_model import tiny

from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.one_step import FromParameters, UnsupportedModel, one_step
from diffgmm.diffusion.process import Blend
from diffgmm.diffusion.representation import Magnitude
from diffgmm.networks import UNet, fused


def db(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return 10 * float(np.log10(float((found - wanted).square().mean() / wanted.square().mean())))


@pytest.mark.parametrize(
    "model",
    [
        tiny("gru"),
        tiny("bigru", fine=9),
        tiny("gru", dual=2),
        tiny("bigru", norm="group"),
        tiny("none", norm="none", means="free"),
        tiny("none", means="offset", hop=20, window="hann", alpha=0.7, beta=0.3),
        tiny("gru", process=Blend(), alpha=1.0, n_fft=61),
    ],
    ids=["gru", "bigru and fine band", "dual path", "group norm", "free", "offset", "blend"],
)
def test_the_graph_is_the_model_at_any_length(model: MixtureDenoiser, speech: np.ndarray) -> None:
    step = one_step(model)
    for samples in (1, 100, 4000, 4001):
        x = torch.from_numpy(np.stack([speech[:samples], 0.01 * speech[-samples:]]))[:, None]
        x[1, 0, : samples // 2] = 0.0
        with torch.no_grad():
            wanted = model.enhance(x).waveform
            assert db(step(x), wanted) < -100
            assert db(FromParameters(model)(x), wanted) < -100
    assert not step(torch.zeros(1, 1, 500)).any()


def test_time_is_folded_and_the_original_is_left_alone() -> None:
    model = tiny("gru")
    before = copy.deepcopy(model.state_dict())
    for t in (1.0, 0.3):
        flat = fused(model.network, time=t)
        assert flat.embed is None
        x = torch.randn(2, 6 - 1, 32, 9)
        with torch.no_grad():
            torch.testing.assert_close(flat(x, torch.rand(2)), model.network(x, torch.full((2,), t)))
    one_step(model)
    FromParameters(model)(torch.randn(1, 1, 400))
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


def test_other_representations_are_refused_by_name() -> None:
    network = UNet([4], [[4, 1]], 4)
    with pytest.raises(UnsupportedModel, match=r"complex spectrograms.*Magnitude"):
        one_step(MixtureDenoiser(Magnitude(8000, 255, 63), network, MixtureHead(2)))
