"""On-the-fly mixing of speech and noise."""

from data_modules.mixing.mixer import Mixer, Mixture
from data_modules.mixing.options import Mixing, belz_blend

__all__ = ["Mixer", "Mixing", "Mixture", "belz_blend"]
