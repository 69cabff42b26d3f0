"""Lossy coding as augmentation: the noisy signal goes through a real encoder and decoder and comes back aligned.

The encoders are libsndfile's own (G.711, ADPCM, GSM 06.10, Vorbis, Opus, MP3), in memory. How much they delay a signal
and which band they keep is measured once per process with white noise, so that the target can be aligned and limited
to the same band.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import soundfile
from numpy.random import Generator
from scipy import fft

from data_modules.augment.base import Augmentation, Both
from data_modules.augment.filters import low_pass
from data_modules.errors import DataError
from diffgmm.audio import fit_length, resample


class _Kind(NamedTuple):
    """How libsndfile is asked for a codec; `levels` of compression: 0 best quality, 1 smallest file."""

    container: str
    subtype: str
    often: float  # relative, by default
    rates: tuple[int, ...] = ()  # the codec's own, in Hz; none: any
    levels: tuple[float, ...] = ()


_SPEECH_RATES = (8000, 12000, 16000, 24000, 48000)
_MUSIC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
KINDS = {
    "mu_law": _Kind("WAV", "ULAW", 2.0, (8000,)),
    "a_law": _Kind("WAV", "ALAW", 1.0, (8000,)),
    "adpcm": _Kind("WAV", "IMA_ADPCM", 2.0),
    "gsm": _Kind("WAV", "GSM610", 2.0, (8000,)),
    "vorbis": _Kind("OGG", "VORBIS", 1.0, (), (0.5, 0.8, 1.0)),
    "mp3": _Kind("MP3", "MPEG_LAYER_III", 2.0, _MUSIC_RATES, (0.4, 0.7, 0.9)),
    "opus": _Kind("OGG", "OPUS", 0.5, _SPEECH_RATES, (0.93, 0.96, 0.98)),
}


@dataclass(frozen=True)
class Codec(Augmentation):
    """Sends the noisy signal through a lossy codec: telephone (G.711, GSM), ADPCM, Vorbis, MP3 or Opus.

    Where the codec takes a band away (telephones above 4 kHz, strong compression), the target loses it too: the model
    shall clean such speech, not invent the missing band.

    Args:
        probability: how often.
        kinds: relative frequency of ``mu_law``, ``a_law``, ``adpcm``, ``gsm``, ``vorbis``, ``mp3`` and ``opus``. They
            cost about 1, 1, 2, 5, 10, 15 and 50 to 100 ms for a window of 1.5 s.
    """

    stage: ClassVar[str] = "noisy"
    probability: float = 0.06
    kinds: dict[str, float] = field(default_factory=lambda: {key: kind.often for key, kind in KINDS.items()})

    def __post_init__(self) -> None:
        self._check()
        if unknown := sorted(self.kinds.keys() - KINDS.keys()):
            raise DataError(f"Codec: no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
        if not self.kinds or min(self.kinds.values()) < 0.0 or sum(self.kinds.values()) <= 0.0:
            raise DataError(f"Codec: kinds are {self.kinds}, needs frequencies of which one is above 0")
        for name in self.kinds:
            if KINDS[name].subtype not in soundfile.available_subtypes(KINDS[name].container):
                raise DataError(f"Codec: libsndfile {soundfile.__libsndfile_version__} can't write {name}")

    def damage(self, noisy: np.ndarray, clean: np.ndarray, sample_rate: int, rng: Generator) -> Both:
        names = list(self.kinds)
        ends = np.cumsum([self.kinds[name] for name in names])
        kind = names[int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))]
        levels = KINDS[kind].levels
        level = levels[int(rng.integers(len(levels)))] if levels else None
        delay, top = character(kind, level, sample_rate)
        coded = transcode(noisy, sample_rate, kind, level, delay)
        return coded, low_pass(clean, sample_rate, top) if top < 0.49 * sample_rate else clean


def transcode(
    samples: np.ndarray, sample_rate: int, kind: str, level: float | None = None, delay: int = 0
) -> np.ndarray:
    """Encoded and decoded.

    Args:
        samples: float32 [samples] in [-1, 1].
        sample_rate: in Hz.
        kind: one of `KINDS`.
        level: of compression, for kinds that have levels.
        delay: what the codec puts in front, in samples; it is taken away.

    Returns:
        float32 [samples]
    """
    codec = KINDS[kind]
    rate = sample_rate
    if codec.rates and rate not in codec.rates:
        rate = max((rate for rate in codec.rates if rate <= sample_rate), default=codec.rates[0])
    options: dict[str, Any] = {} if level is None else {"compression_level": level}
    if codec.container == "MP3":
        options["bitrate_mode"] = "CONSTANT"
    file = io.BytesIO()
    sound = np.clip(resample(samples, sample_rate, rate), -1.0, 1.0)
    soundfile.write(file, sound, rate, format=codec.container, subtype=codec.subtype, **options)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    decoded = resample(decoded, rate, sample_rate)
    decoded = decoded[delay:] if delay >= 0 else np.pad(decoded, (-delay, 0))
    return fit_length(decoded, len(samples))


@lru_cache(maxsize=64)
def character(kind: str, level: float | None, sample_rate: int) -> tuple[int, float]:
    """Delay of a codec in samples, and the frequency in Hz above which less than a tenth of the power is left."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(sample_rate).astype(np.float32)
    coded = transcode(noise, sample_rate, kind, level)
    size = 2 * len(noise)
    before, after = fft.rfft(noise, size), fft.rfft(coded, size)
    peak = int(np.argmax(fft.irfft(after * np.conj(before), size)))
    width = 200 * size // sample_rate  # bins in bands of 200 Hz
    bands = len(before) // width
    power = [np.square(np.abs(x[: bands * width])).reshape(bands, width).sum(1) for x in (before, after)]
    kept = np.flatnonzero(power[1] > 0.1 * power[0])
    return (peak if peak < len(noise) else peak - size), float((kept[-1] + 1) * 200) if len(kept) else 0.0
