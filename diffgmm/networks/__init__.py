"""Networks: U-Nets for one or two axes, their parts, and their fusion for inference."""

from diffgmm.networks.base import Network
from diffgmm.networks.belz_unet import BelzUNet
from diffgmm.networks.fuse import fused
from diffgmm.networks.unet import UNet

__all__ = ["BelzUNet", "Network", "UNet", "fused"]
