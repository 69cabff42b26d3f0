"""From a package and a path inside it to the label of a clip, or to nothing."""

from __future__ import annotations

from dataclasses import dataclass

from data_modules.corpora.recipes.debian.noise_rules import noise_category
from data_modules.corpora.recipes.debian.pins import Pin
from data_modules.corpora.recipes.debian.speech_rules import speaker_of


@dataclass(frozen=True)
class Label:
    """Where a clip goes: split, kind (speech or noise), group (speaker or category), language of speech."""

    split: str
    kind: str
    group: str
    language: str = ""


def label_of(pin: Pin, member: str) -> Label | None:
    """Label of one file of a package, or None when the corpus does not take it.

    Args:
        pin: the package.
        member: path inside the package, without "./"; for nested archives the path in the inner one.

    >>> from data_modules.corpora.recipes.debian.pins import PINS
    >>> pins = {pin.name: pin for pin in PINS}
    >>> label_of(pins["0ad-data"], "audio/ambient/weather/rain_11.ogg")
    Label(split='train', kind='noise', group='rain', language='')
    """
    speaker = speaker_of(pin.name, member)
    if speaker is not None:
        return Label(speaker.split, "speech", speaker.name, speaker.language)
    if pin.noise_split is None:
        return None
    category = noise_category(pin.name, member)
    return None if category is None else Label(pin.noise_split, "noise", category)
