"""Fold what is constant at inference into the convolutions: the same function, fewer passes over memory."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from diffgmm.networks.blocks import ConvBlock, Level
from diffgmm.networks.unet import UNet

Module = TypeVar("Module", bound=nn.Module)

_PLAIN = (nn.Conv1d, nn.Conv2d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def folded(model: Module, time: float | None = None) -> tuple[Module, dict[str, Tensor]]:
    """A copy of ``model`` without batch norms, and the weights that make it the same function.

    Folded are the norms of :class:`diffgmm.networks.blocks.ConvBlock` and :class:`diffgmm.networks.blocks.Level`, and
    the time of a :class:`diffgmm.networks.unet.UNet`; what classes derived from these and other networks do is their
    own, and stays. With y = W x + b and the norm's running mean m, variance v, scale g and shift h:
    W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + h.

    Args:
        model: in evaluation mode.
        time: a process time. The scale and shift that it gives every block are folded too, into the convolution or
            the group norm before them; the copy then ignores the time that it is called with.

    Returns:
        The copy, which shares the parameters that stay as they are with ``model``, and the others by name, as
        differentiable functions of the model's: for ``torch.func.functional_call(copy, weights, inputs)``.
    """
    shared: dict[int, object] = {id(value): value for value in (*model.parameters(), *model.buffers())}
    model = copy.deepcopy(model, memo=shared).eval()
    modulations = {} if time is None else _without_time(model, time)
    names = {id(value): name for name, value in model.named_parameters()}
    weights: dict[str, Tensor] = {}
    for block in model.modules():
        if type(block) not in (ConvBlock, Level):
            continue
        layer, norm = block.conv if isinstance(block, ConvBlock) else block.resample, block.norm
        if not isinstance(layer, _PLAIN + _TRANSPOSED):
            continue
        weight, bias = layer.weight, layer.bias
        assert bias is not None
        if isinstance(norm, _NORMS):
            assert norm.running_var is not None and norm.running_mean is not None
            factor = torch.rsqrt(norm.running_var + norm.eps) * norm.weight
            weight, bias = _scaled(layer, weight, factor), (bias - norm.running_mean) * factor + norm.bias
            block.norm = nn.Identity()
        if block in modulations:
            factor, shift = modulations[block]
            if isinstance(norm, nn.GroupNorm):
                weights |= {names[id(norm.weight)]: norm.weight * factor}
                weights |= {names[id(norm.bias)]: norm.bias * factor + shift}
            else:
                weight, bias = _scaled(layer, weight, factor), bias * factor + shift
        if weight is not layer.weight:
            weights |= {names[id(layer.weight)]: weight, names[id(layer.bias)]: bias}
    return model, weights


def fused(model: Module, time: float | None = None) -> Module:
    """A copy of ``model`` in evaluation mode with everything folded that :func:`folded` folds.

    The copy is for inference: it can't be trained, and its weights don't fit the original's description.

    Example:
        >>> net = UNet([8], [[4, 1]], features=8)
        >>> net.attach(2)
        >>> fused(net).down[0].norm
        Identity()
    """
    with torch.no_grad():
        model, weights = folded(model, time)
        for name, value in weights.items():
            path, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(path), leaf, nn.Parameter(value))
    return copy.deepcopy(model)


def _without_time(model: nn.Module, time: float) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """Take the time embedding and its use out of the U-Nets in ``model``; scale and shift by block."""
    affines: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    for network in model.modules():
        if type(network) is not UNet or network.embed is None:
            continue
        embedded = network.embed(torch.tensor([time]))
        network.embed = None
        for block in network.modules():
            if isinstance(block, ConvBlock) and block.modulation is not None:
                scale, shift = block.modulation(embedded)[0].chunk(2)
                affines[block] = (1.0 + scale, shift)
                block.modulation = None
    return affines


def _scaled(layer: nn.Module, weight: Tensor, factor: Tensor) -> Tensor:
    """``weight`` times ``factor`` per output channel."""
    shape = [1] * weight.dim()
    shape[1 if isinstance(layer, _TRANSPOSED) else 0] = -1
    return weight * factor.reshape(shape)
