"""Models of listeners through which a gradient flows: PESQ, STOI, DNSMOS, for losses on the decoded waveform."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from diffgmm.utils.cores import computes_bfloat16

#: What each loss of this name imports from its extra.
NEEDED = {"pesq": ("torch_pesq",), "stoi": ("torch_stoi",), "dnsmos": ("speechmos", "onnx")}


@contextmanager
def _extra(loss: str) -> Iterator[None]:
    """Says what to install where the package of a loss, or the torchaudio that it needs, can't be imported."""
    try:
        yield
    except (ImportError, OSError) as error:
        needed = f"torch-{loss} and a torchaudio that loads: pip install 'diffgmm[{loss}-loss]'"
        raise RuntimeError(f"the {loss} loss needs {needed}") from error


@lru_cache(maxsize=4)
def pesq(sample_rate: int, device: str) -> nn.Module:
    """Differentiable PESQ of the package ``torch-pesq`` (ITU-T P.862's perceptual model).

    Returns:
        A module of reference and degraded ``[B, T]`` that gives the disturbance ``[B]``, lower is better.

    Raises:
        RuntimeError: without the extra ``pesq-loss``.
    """
    with _extra("pesq"):
        from torch_pesq import PesqLoss
    return PesqLoss(1.0, sample_rate=sample_rate).to(device)


_STOI_RATE = 10000  # Hz: what STOI is defined at


@lru_cache(maxsize=4)
def stoi(extended: bool, device: str) -> nn.Module:
    """Differentiable STOI, or ESTOI (``extended``), of the package ``torch-stoi``.

    Returns:
        A module of estimate and reference ``[B, T]``, both from :func:`at_stoi_rate`, that gives the negative score
        ``[B]``.

    Raises:
        RuntimeError: without the extra ``stoi-loss``.
    """
    with _extra("stoi"):
        from torch_stoi import NegSTOILoss
    # Its own resampler asks for a method by a name that torchaudio no longer knows.
    return NegSTOILoss(_STOI_RATE, extended=extended, do_resample=False).to(device)


def at_stoi_rate(wave: Tensor, sample_rate: int) -> Tensor:
    """``[B, T]`` at the rate that STOI is defined at: its Fourier transform cut off or filled up with zeros.

    The last samples, fewer than 20 ms at the usual rates, are left out so that both lengths are whole.
    """
    common = math.gcd(sample_rate, _STOI_RATE)
    before = wave.shape[-1] // (sample_rate // common) * (sample_rate // common)
    after = before * _STOI_RATE // sample_rate
    spectrum = torch.fft.rfft(wave[..., :before])[..., : after // 2 + 1]
    return torch.fft.irfft(spectrum, n=after) * (after / before)


class Dnsmos(nn.Module):
    """The network of DNSMOS P.835 in PyTorch, with the weights that the package ``speechmos`` holds.

    Reddy, Gopal and Cutler, "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric to evaluate
    noise suppressors", ICASSP 2022: a log-power spectrum (20 ms frames, 10 ms apart), seven convolutions, the largest
    value of each channel, three layers. It judges speech of any length at once, where
    :func:`diffgmm.metrics.dnsmos_ovrl` averages windows of 9.01 s; given one of these, it gives the same figures.
    Weights are constants: they get no gradient.

    Args:
        floor: powers below this count as this; the original has 1e-12. The rounding to 16 bits leaves about 1e-8.
        reduced: convolutions in bfloat16, within 0.05 of full precision.

    Raises:
        RuntimeError: without the extra ``dnsmos-loss``.
    """

    basis: Tensor
    scales: Tensor

    #: From the network's outputs to MOS: square, factor, offset of SIG, BAK and OVRL, as ``speechmos`` has them.
    SCALES = (
        (-0.08397278, 1.22083953, 0.0052439),
        (-0.13166888, 1.60915514, -0.39604546),
        (-0.06766283, 1.11546468, 0.04602535),
    )

    def __init__(self, floor: float = 1e-12, reduced: bool = False) -> None:
        super().__init__()
        weights = _packaged_weights()
        self.floor, self.reduced = floor, reduced
        self.convolutions, self.dense = nn.ModuleList(), nn.ModuleList()
        for name in ("conv2d", *(f"conv2d_{i}" for i in range(1, 7))):
            kernel, bias = weights[f"{name}/kernel:0"], weights[f"{name}/bias:0"]
            self.convolutions.append(nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1))
            self.convolutions[-1].load_state_dict({"weight": kernel, "bias": bias})
        for name in ("dense", "dense_1", "dense_3"):
            prefix, suffix = f"mos_estimator_logpow/{name}", "ReadVariableOp/resource:0"
            kernel, bias = weights[f"{prefix}/MatMul/{suffix}"], weights[f"{prefix}/BiasAdd/{suffix}"]
            self.dense.append(nn.Linear(*kernel.shape))
            self.dense[-1].load_state_dict({"weight": kernel.T, "bias": bias})
        parts = [weights[f"time2freq/stft-{part}/kernel:0"].squeeze(2) for part in ("real", "imag")]
        self.register_buffer("basis", torch.cat(parts).T.contiguous())  # [320, 322]
        self.register_buffer("scales", torch.tensor(self.SCALES))
        self.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, wave: Tensor) -> Tensor:
        """MOS of each recording.

        Args:
            wave: ``[B, T]`` at 16 kHz, full scale one; its level counts. At least 0.2 s.

        Returns:
            ``[B, 3]``: SIG, BAK, OVRL, about 1 to 5.
        """
        parts = wave.float().unfold(1, 320, 160) @ self.basis  # [B, N, 322]
        power = parts[..., :161].square() + parts[..., 161:].square()
        x = power.clamp_min(self.floor).log10().unsqueeze(1)
        with torch.autocast(wave.device.type, torch.bfloat16, enabled=self.reduced):
            for i, layer in enumerate(self.convolutions):
                x = torch.relu(layer(x))
                if 3 <= i <= 5:
                    x = nn.functional.max_pool2d(x, 2)
        x = x.amax(dim=(2, 3)).float()
        x = torch.relu(self.dense[1](torch.relu(self.dense[0](x))))
        raw = self.dense[2](x)
        square, factor, offset = self.scales.unbind(1)
        return square * raw.square() + factor * raw + offset


@lru_cache(maxsize=4)
def dnsmos(device: str) -> nn.Module:
    """The network as the loss has it: its floor is what rounding to 16 bits leaves.

    A processor that has no arithmetic in bfloat16 computes in float32.
    """
    return Dnsmos(floor=1e-8, reduced=computes_bfloat16(device)).to(device)


def _packaged_weights() -> dict[str, Tensor]:
    try:
        import onnx
        import speechmos
    except ImportError as error:
        needed = "speechmos and onnx: pip install 'diffgmm[dnsmos-loss]'"
        raise RuntimeError(f"the dnsmos loss needs {needed}") from error
    graph = onnx.load(str(Path(speechmos.__file__).parent / "dnsmos_models" / "sig_bak_ovr.onnx")).graph
    return {w.name: torch.from_numpy(onnx.numpy_helper.to_array(w).copy()) for w in graph.initializer}
