"""The augmentations, under the names that YAML files use (``data_modules.augment.BandLimit``).

Four stages, always in this order: ``voice`` and ``noise`` change the time axis or the spectrum of one recorded sound
before it is cut to the window; ``scene`` filters speech and noise before their levels are set; ``noisy`` damages the
finished noisy signal. Within a stage they come in the order of the list. The clean target always stays aligned with
the noisy signal to the sample. A new one is a frozen dataclass derived from `Augmentation`, in any module.
"""

from data_modules.augment.base import Augmentation, Scene
from data_modules.augment.codecs import Codec
from data_modules.augment.distortions import Clip, Offset, Quantise
from data_modules.augment.filters import BandLimit, Formants, NoiseSpeed, NoiseTilt, SpectralTilt, Speed
from data_modules.augment.reverb import Reverb

__all__ = [
    "Augmentation", "BandLimit", "Clip", "Codec", "Formants", "NoiseSpeed", "NoiseTilt", "Offset", "Quantise", "Reverb",
    "Scene", "SpectralTilt", "Speed",
]  # fmt: skip
