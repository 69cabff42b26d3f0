"""Fold batch norms into the convolutions before them: the same function, fewer passes over memory."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Module = TypeVar("Module", bound=nn.Module)

_PLAIN = (nn.Conv1d, nn.Conv2d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)


def fused(model: Module) -> Module:
    """A copy of ``model`` in evaluation mode with every batch norm folded into its convolution.

    Layers are found by their names in :class:`diffgmm.networks.blocks.ConvBlock` (``conv``, ``norm``) and the
    levels of :class:`diffgmm.networks.unet.UNet` (``resample``, ``norm``). With y = W x + b and the norm's running
    mean m, variance v, scale g and shift h: W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + h. The copy is
    for inference: it can't be trained, and its weights don't fit the original's description.

    Example:
        >>> net = UNet([8], [[4, 1]], features=8)
        >>> net.attach(2)
        >>> fused(net).down[0].norm
        Identity()
    """
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        norm = getattr(module, "norm", None)
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        for name in ("conv", "resample"):
            layer = getattr(module, name, None)
            if isinstance(layer, _PLAIN + _TRANSPOSED):
                setattr(
                    module, name, fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, _TRANSPOSED))
                )
                module.norm = nn.Identity()
                break
    return model
