"""Windows as training would mix them: a few to listen to, many to see how loud the noise is in them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_modules.augment import Augmentation
from data_modules.corpora.records import Record, sample
from data_modules.mixing.mixer import Mixer, Mixture
from data_modules.mixing.options import Mixing
from data_modules.pools.build import open_pool
from data_modules.pools.pool import Pool
from data_modules.pools.sources import SPLITS

_CLIPS = 200  # of each kind that the windows are drawn from


@dataclass(frozen=True)
class Drawn:
    """Mixtures of one split.

    Args:
        split: where they come from: ``train`` if it has voices and noises.
        sample_rate: in Hz.
        snrs: ratios in dB of all windows, NaN where there is no speech or no noise.
        examples: longer ones to listen to.
        speakers: of the examples, "" without speech.
    """

    split: str
    sample_rate: int
    snrs: list[float]
    examples: list[Mixture]
    speakers: list[str]


def draw(
    parts: Mapping[tuple[str, str], Sequence[Record]],
    *,
    mixing: Mixing,
    augmentations: Sequence[Augmentation],
    sample_rate: int,
    window: int,
    windows: int,
    examples: int,
    seconds: float,
    seed: int = 0,
) -> Drawn | None:
    """Mixes voices and noises of the training split, or of the first that has both.

    The clips are a sample of at most 200 of each kind, so that a look at a large corpus need not build its pools.

    Args:
        parts: the clips by split and kind.
        mixing, augmentations: as in training.
        sample_rate: in Hz.
        window: samples of a training window.
        windows: how many of those, for the ratios.
        examples: how many examples.
        seconds: length of an example.
        seed: another seed, other mixtures.

    Returns:
        None if no split has both voices and noises.
    """
    from diffgmm.utils.random import window_rng

    split = next(
        (split for split in SPLITS if (split, "speech") in parts and (split, "noise") in parts), None
    )
    if split is None:
        return None
    with tempfile.TemporaryDirectory(prefix="diffgmm-") as cache:
        speech, noise = (
            _pool(parts[split, kind], sample_rate, Path(cache), split) for kind in ("speech", "noise")
        )
        mixer = Mixer(speech, noise, mixing, augmentations)
        snrs = [mixer.draw(window_rng(seed, 0, number), window).snr for number in range(windows)]
        mixtures = [
            mixer.draw(window_rng(seed, 1, number), round(seconds * sample_rate))
            for number in range(examples)
        ]
        speakers = [speech.groups[mixture.group] if mixture.group >= 0 else "" for mixture in mixtures]
    return Drawn(split, sample_rate, snrs, mixtures, speakers)


def _pool(clips: Sequence[Record], sample_rate: int, cache: Path, split: str) -> Pool:
    items = [record.item for record in sample(clips, _CLIPS)]
    return open_pool(items, sample_rate, cache, title=f"{split} {items[0].kind}", quiet=True)
