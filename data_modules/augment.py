"""The augmentations, under the names that YAML files use (``data_modules.augment.BandLimit``).

Three stages, always in this order: ``voice`` changes the time axis of the voice before it is cut to the
window; ``scene`` filters speech and noise before their levels are set; ``noisy`` damages the finished noisy
signal and nothing else. Within a stage they come in the order of the list. The clean target always stays
aligned with the noisy signal to the sample. A new one is a frozen dataclass derived from `Augmentation`, in
any module.
"""

from data_modules.augment_base import Augmentation, Scene
from data_modules.distortions import Clip, Codec
from data_modules.filters import BandLimit, SpectralTilt, Speed
from data_modules.rooms import Reverb

__all__ = ["Augmentation", "BandLimit", "Clip", "Codec", "Reverb", "Scene", "SpectralTilt", "Speed"]
