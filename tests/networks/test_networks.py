"""The U-Net takes any length on one or two axes, and the heads do what their parameterisation says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import tiny

from diffgmm.diffusion.grids import time_grid
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.mixture import GaussianMixture
from diffgmm.diffusion.process import Blend, Bridge, Process
from diffgmm.diffusion.samplers import sample_ancestral
from diffgmm.networks import UNet, fused

STRIDES = [[4, 1], [2, 1], [2, 1]]


def spectral(bottleneck: str = "none", norm_kind: str = "batch", bins: int = 256) -> UNet:
    net = UNet(
        [8, 12, 16],
        STRIDES,
        6,
        bottleneck=bottleneck,
        hidden=16,
        bins=bins,
        norm_kind=norm_kind,
        dilations=[2],
    )
    net.attach(5)
    return net.eval()


@pytest.mark.parametrize("bottleneck", ["none", "gru", "bigru"])
@pytest.mark.parametrize("norm_kind", ["batch", "group", "none"])
def test_two_axes_keep_their_size_and_train(bottleneck: str, norm_kind: str) -> None:
    net = spectral(bottleneck, norm_kind).train()
    x = torch.randn(2, 5, 256, 33, requires_grad=True)
    out = net(x, torch.rand(2))
    assert out.shape == (2, 6, 256, 33)
    out.square().mean().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    without = [name for name, p in net.named_parameters() if p.grad is None]
    assert not without, f"parameters that DDP would wait for: {without}"


@settings(max_examples=20, deadline=None)
@given(frames=st.integers(1, 70), bins=st.integers(1, 70))
def test_any_size_of_spectrogram_goes_in(frames: int, bins: int) -> None:
    net = spectral("gru", bins=bins)
    with torch.no_grad():
        assert net(torch.randn(1, 5, bins, frames), torch.ones(1)).shape == (1, 6, bins, frames)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 3000))
def test_any_length_of_waveform_goes_in(length: int) -> None:
    net = UNet([8, 8, 8], [[4], [3], [2]], 5, kernel=[9], bottleneck="gru", hidden=8)
    net.attach(2)
    with torch.no_grad():
        assert net.eval()(torch.randn(1, 2, length), torch.ones(1)).shape == (1, 5, length)


def test_process_time_changes_the_features_once_trained() -> None:
    net = spectral()
    x = torch.randn(1, 5, 256, 9)
    torch.testing.assert_close(net(x, torch.zeros(1)), net(x, torch.ones(1)))  # modulation starts as identity
    for module in net.modules():
        if isinstance(getattr(module, "modulation", None), torch.nn.Linear):
            torch.nn.init.normal_(module.modulation.weight)
    assert not torch.allclose(net(x, torch.zeros(1)), net(x, torch.ones(1)))


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValueError, match="one stride per level"):
        UNet([8], STRIDES)
    with pytest.raises(ValueError, match="one number per axis"):
        UNet([8], [[4]], kernel=[3, 3])
    with pytest.raises(ValueError, match="odd"):
        UNet([8], [[4, 1]], kernel=[4, 3])
    with pytest.raises(ValueError, match="needs bins"):
        UNet([8], [[4, 1]], bottleneck="gru")
    with pytest.raises(ValueError, match="bottleneck must be one of"):
        UNet([8], [[4, 1]], bottleneck="lstm", bins=256)
    with pytest.raises(ValueError, match="norm must be one of"):
        UNet([8], [[4, 1]], norm_kind="layer")
    with pytest.raises(ValueError, match="means must be one of"):
        MixtureHead(3, means="median")
    with pytest.raises(ValueError, match="at least 1"):
        MixtureHead(0)
    with pytest.raises(ValueError, match="at least 1"):
        UNet([8, 16], [[0, 1], [2, 1]])
    with pytest.raises(ValueError, match="at least 1"):
        UNet([8, 0], [[4, 1], [2, 1]])
    with pytest.raises(ValueError, match=r"fine_kernel is two odd numbers of taps, got \[4, 3\]"):
        UNet([8], [[4, 1]], 8, fine=8, fine_kernel=[4, 3])


def test_complex_masks_are_complex_products() -> None:
    head = MixtureHead(1, means="mask")
    head.attach(4, 2, 2)
    assert isinstance(head.linear, torch.nn.Conv2d) and head.linear.bias is not None
    torch.nn.init.zeros_(head.linear.weight)
    with torch.no_grad():
        head.linear.bias[2:] = torch.tensor([0.3, -0.7])
    y = torch.randn(1, 2, 3, 5)
    q = head(torch.randn(1, 4, 3, 5), y, y)
    product = torch.complex(y[:, 0], y[:, 1]) * complex(0.3, -0.7)
    torch.testing.assert_close(q.mean(), torch.stack([product.real, product.imag], dim=1))


def test_offset_means_contain_what_the_state_has_lost() -> None:
    head = MixtureHead(2, means="offset")
    head.attach(4, 1, 1)
    y, x, f = torch.randn(1, 1, 9), torch.randn(1, 1, 9), torch.randn(1, 4, 9)
    moved = head(f, y, x).means - head(f, x, x).means
    torch.testing.assert_close(moved, (y - x).unsqueeze(1).expand_as(moved))


def test_components_start_apart_and_scales_have_a_floor() -> None:
    head = MixtureHead(3, min_scale=0.01)
    head.attach(4, 1, 1)
    with torch.no_grad():
        head.linear.bias[3:6] = -100.0  # type: ignore[union-attr, index]
    q = head(torch.zeros(1, 4, 2), torch.ones(1, 1, 2), torch.ones(1, 1, 2))
    assert q.means[0, :, 0, 0].diff().min() > 0.1
    assert q.scales.min() >= 0.01


def test_a_tiny_trained_network_comes_within_0_05_nats_of_the_analytic_likelihood() -> None:
    """With s ~ N(0, 0.25) and n from two Gaussians, q(n | x_t, y, t) is known, and so is the best likelihood."""
    torch.manual_seed(0)
    process, weights = Bridge(1.0), torch.tensor([0.7, 0.3])
    means, scales, s_var = torch.tensor([-0.5, 1.0]), torch.tensor([0.2, 0.3]), 0.25
    net = UNet([24], [[1]], 24, kernel=[1], blocks=2, embedding=16, norm_kind="none")
    head = MixtureHead(2, means="free")
    net.attach(2)
    head.attach(24, 1, 1)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], 5e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)

    def draw(batch: int) -> tuple[torch.Tensor, ...]:
        which = torch.multinomial(weights, batch * 64, replacement=True).reshape(batch, 1, 64)
        noise = means[which] + scales[which] * torch.randn(batch, 1, 64)
        clean, time = s_var**0.5 * torch.randn(batch, 1, 64), torch.rand(batch).clamp_min(0.05)
        state = process.state(clean, noise, time, torch.randn(batch, 1, 64))
        return noise, clean + noise, state, time

    def analytic(noisy: torch.Tensor, state: torch.Tensor, time: torch.Tensor) -> GaussianMixture:
        shape = (len(time), 2, 64)
        prior = GaussianMixture(
            weights.log().reshape(1, 2, 1).expand(shape),
            means.reshape(1, 2, 1, 1).expand(len(time), 2, 1, 64),
            scales.log().reshape(1, 2, 1).expand(shape),
        )
        precision, information = process.observation(state, noisy, time)
        return prior.tilt(1 / s_var, noisy / s_var).tilt(precision, information)

    for _ in range(500):
        noise, noisy, state, time = draw(64)
        loss = head(net(torch.cat([state, noisy], 1), time), noisy, state).nll(noise).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    with torch.no_grad():
        noise, noisy, state, time = draw(2000)
        got = head(net(torch.cat([state, noisy], 1), time), noisy, state).nll(noise).mean().item()
        best = analytic(noisy, state, time).nll(noise).mean().item()
    assert best - 0.01 < got < best + 0.05

    with torch.no_grad():  # and its samples have the posterior's moments
        y = torch.full((200, 1, 64), 0.4)
        clean = sample_ancestral(
            lambda x, y, t: head(net(torch.cat([x, y], 1), t), y, x),
            y,
            process,
            time_grid(4),
            estimate="sample",
        )
        truth = analytic(y, y, torch.ones(200))
    found = y - clean
    assert found.mean().item() == pytest.approx(truth.mean().mean().item(), abs=0.05)
    assert found.var().item() == pytest.approx(truth.variance().mean().item(), rel=0.25)


@pytest.mark.parametrize("dims", [1, 2])
def test_folding_batch_norms_keeps_the_function(dims: int) -> None:
    torch.manual_seed(0)
    strides = [[4, 1], [2, 1], [2, 1]] if dims == 2 else [[4], [2], [2]]
    net = UNet([6, 8, 10], strides, features=5, kernel=[3] * dims, bottleneck="gru", hidden=8, bins=32)
    net.attach(3)
    x = torch.randn(4, 3, *((32, 9) if dims == 2 else (64,)))
    for module in net.modules():  # norms that are not the identity
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.normal_(module.bias)
    for _ in range(5):
        net(x + 1.0, torch.rand(4))
    net.eval()
    flat = fused(net)
    assert not any(isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d) for m in flat.modules())
    assert sum(isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d) for m in net.modules()) == 11
    time = torch.tensor([1.0, 0.5, 0.1, 1.0])
    with torch.no_grad():
        torch.testing.assert_close(flat(x, time), net(x, time), rtol=1e-4, atol=1e-5)


def test_relative_scales_follow_the_reference() -> None:
    head = MixtureHead(2, min_scale=1e-6, initial_scale=0.3, scales="relative")
    head.attach(4, 2, 2)
    features = torch.randn(1, 4, 3, 5)
    y = torch.ones(1, 2, 3, 5)
    loud, louder = (head(features, k * y, k * y).scales for k in (10.0, 20.0))
    torch.testing.assert_close(louder, 2.0 * loud, rtol=1e-3, atol=0)
    silent = head(features, 0.0 * y, y).scales
    assert (silent > 1e-4).all() and torch.isfinite(silent).all()
    with torch.no_grad():
        torch.nn.init.zeros_(head.linear.weight)  # type: ignore[arg-type]
    torch.testing.assert_close(head(features, y, y).scales, torch.full((1, 2, 3, 5), 0.3), rtol=2e-3, atol=0)
    with pytest.raises(ValueError, match="scales must be one of absolute, relative"):
        MixtureHead(scales="log")


@pytest.mark.parametrize("shape", [(9,), (7, 9)])
def test_a_scale_is_bounded_by_the_loudest_neighbour_and_the_mean_is_not(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    free, bounded = (MixtureHead(2, initial_scale=5.0, max_scale=limit) for limit in (None, 0.5))
    for head in (free, bounded):
        head.attach(4, 2, len(shape))
    bounded.load_state_dict(free.state_dict())
    features, y = torch.randn(1, 4, *shape), torch.zeros(1, 2, *shape)
    middle = tuple(size // 2 for size in shape)
    y[(0, slice(None), *middle)] = torch.tensor([3.0, 4.0])  # of magnitude 5
    wide, narrow = free(features, y, y), bounded(features, y, y)
    torch.testing.assert_close(narrow.mean(), wide.mean(), rtol=0, atol=0)
    near = torch.zeros(shape, dtype=torch.bool)
    near[tuple(slice(place - 2, place + 3) for place in middle)] = True
    torch.testing.assert_close(narrow.scales[..., near], wide.scales[..., near].clamp_max(2.5))
    assert (wide.scales[..., near] > 2.5).any()
    torch.testing.assert_close(narrow.scales[..., ~near], torch.full_like(narrow.scales[..., ~near], 1e-3))


def test_the_network_runs_in_float64_and_to_its_precision() -> None:
    torch.manual_seed(0)
    net = UNet(
        [6, 8], [[4, 1], [2, 1]], 5, bottleneck="gru", hidden=8, bins=32, embedding=8, fine=8, fine_channels=4,
        dual=1, dual_level=0, dual_hidden=4, dropout=0.1,
    )  # fmt: skip
    net.attach(3)
    net.eval()
    x, time = torch.randn(2, 3, 32, 9), torch.rand(2)
    for module in net.modules():  # what starts without effect has one
        for value in module.parameters(recurse=False):
            if not value.any():
                torch.nn.init.normal_(value, std=0.3)
    with torch.no_grad():
        single = net(x, time)
        double = net.double()(x.double(), time.double())
        again = net(x.double(), time.double() + 1e-12)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single, double.float(), atol=1e-4, rtol=1e-3)
    assert 0 < (again - double).abs().max() < 1e-9  # float32 on the way would round such a difference away


@pytest.mark.parametrize("process", [Blend(), Bridge(0.5)])
def test_a_whole_model_runs_in_float64(process: Process) -> None:
    model = tiny("bigru", process=process, fine=8, dual=1)
    x = 0.1 * torch.randn(1, 1, 2000)
    single = model.enhance(x, nfe=2, step_noise=False).waveform
    double = model.double().enhance(x.double(), nfe=2, step_noise=False).waveform
    assert double.dtype == torch.float64
    torch.testing.assert_close(single, double.float(), atol=1e-4, rtol=0)


def test_a_class_that_derives_from_a_network_keeps_all_arguments() -> None:
    class Wider(UNet):
        def __init__(self, extra: int = 2, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.features += extra

    net = Wider(3, channels=(4, 6), strides=[(4, 1), (2, 1)])
    assert net.init_args == {"extra": 3, "channels": [4, 6], "strides": [[4, 1], [2, 1]]}
    again = Wider(**net.init_args)
    assert again.features == net.features == UNet().features + 3 and again.init_args == net.init_args
    assert UNet([4], [[4, 1]]).init_args["norm_kind"] == "batch"  # defaults included
    with pytest.raises(TypeError, match=r"takes \*args"):

        class Nameless(UNet):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)


def test_a_network_is_built_once_and_for_one_number_of_inputs() -> None:
    net = spectral()
    first = net.down[0].resample  # type: ignore[union-attr]
    net.attach(5)
    assert net.down[0].resample is first  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"UNet was built for \(5,\) channels, it can't take \(4,\)"):
        net.attach(4)
    head = MixtureHead(2)
    head.attach(4, 2, 2)
    with pytest.raises(ValueError, match="can't take"):
        head.attach(4, 1, 2)
