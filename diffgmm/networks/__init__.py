"""Networks: a U-Net for one or two axes, and the heads that turn its features into a mixture."""

from diffgmm.networks.fuse import fused
from diffgmm.networks.heads import MixtureHead
from diffgmm.networks.unet import UNet

__all__ = ["MixtureHead", "UNet", "fused"]
