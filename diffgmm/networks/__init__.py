"""Networks: a U-Net for one or two axes, its parts, and their fusion for inference."""

from diffgmm.networks.base import Network
from diffgmm.networks.fuse import fused
from diffgmm.networks.unet import UNet

__all__ = ["Network", "UNet", "fused"]
