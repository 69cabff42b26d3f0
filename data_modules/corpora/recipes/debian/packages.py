"""Pinned packages, and the label of each clip by its path inside them: split, speaker or category, or nothing.

No speaker and no language is in two splits: train hears Russian, English, Spanish, Dutch, Bulgarian, Catalan, Romanian
and Belarusian (and, in the full variant, single words of other languages); valid hears Italian and Greek, test French
and Czech. Noise is split by package. The rules stand in ``speech_rules.csv`` (patterns of the whole path) and
``noise_rules.csv`` (searched in the lower-case path). The first match wins. An empty category drops the file: music,
interface and synthetic sounds. What no rule matches is dropped too, for an unknown game sound is more often synthetic
than not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data_modules.corpora.recipe import csv_rows


@dataclass(frozen=True)
class Pin:
    """One package: where it comes from, what it must hash to, its bytes, and the split its noise goes to.

    `by` is "apt" (Debian bookworm; the SHA256 is the one in Debian's Packages file) or "pip" (a wheel; the SHA256 is
    the one in the package index). `noise_split` is None where a package gives speech
    only: speech is split by speaker, noise by package.
    """

    name: str
    version: str
    sha256: str
    licence: str
    size: int
    noise_split: str | None = None
    light: bool = False
    by: str = "apt"

    @property
    def file_name(self) -> str:
        """Name that the package manager gives the downloaded file."""
        wheel = f"{self.name}-{self.version}-py3-none-any.whl"
        return wheel if self.by == "pip" else f"{self.name}_{self.version.replace(':', '%3a')}_all.deb"

    @property
    def request(self) -> str:
        """How that program is asked for this version."""
        return f"{self.name}{'==' if self.by == 'pip' else '='}{self.version}"

    @property
    def source(self) -> str:
        """How manifests name the package."""
        return f"{self.name} {self.version}"


def _pin(size: str, noise_split: str, light: str, **texts: str) -> Pin:
    return Pin(**texts, size=int(size), noise_split=noise_split or None, light=light == "1")


PINS = tuple(_pin(**row) for row in csv_rows(Path(__file__).with_name("packages.csv")))


def packages_of(variant: str) -> tuple[Pin, ...]:
    """The pins of a variant: "full" is every package, "light" the small ones (about 870 MB)."""
    return tuple(pin for pin in PINS if pin.light or variant == "full")


class Label(NamedTuple):
    """Where a clip goes: split, kind (speech or noise), group (speaker or category), language of speech."""

    split: str
    kind: str
    group: str
    language: str = ""


def _rules(name: str) -> dict[str, list[tuple[re.Pattern[str], dict[str, str]]]]:
    rules = defaultdict(list)
    for row in csv_rows(Path(__file__).with_name(name)):
        rules[row["package"]].append((re.compile(row["pattern"]), row))
    return dict(rules)


SPEECH, NOISE = _rules("speech_rules.csv"), _rules("noise_rules.csv")


def label_of(pin: Pin, member: str) -> Label | None:
    """Label of one file of a package, or None when the corpus does not take it.

    Args:
        pin: the package.
        member: path inside the package, without "./"; for nested archives the path in the inner one.

    >>> pins = {pin.name: pin for pin in PINS}
    >>> label_of(pins["0ad-data"], "audio/ambient/weather/rain_11.ogg")
    Label(split='train', kind='noise', group='rain', language='')
    >>> label_of(pins["fillets-ng-data-nl"], "usr/share/games/fillets-ng/sound/cave/nl/jes-v-tojo.ogg")
    Label(split='train', kind='speech', group='big_fish_nl', language='nl')
    """
    for pattern, rule in SPEECH.get(pin.name, ()):
        if match := pattern.fullmatch(member):
            language = rule["language"] or match["language"]
            return Label(rule["split"], "speech", rule["speaker"].format(language=language), language)
    if pin.noise_split is None:
        return None
    lowered = member.lower()
    if member.startswith("opensfx.cat/"):  # behind the quoted title stand credits, which no rule may hit
        lowered = lowered.split('"')[1] if '"' in lowered else lowered
    for pattern, rule in NOISE.get(pin.name, ()):
        if pattern.search(lowered):
            return Label(pin.noise_split, "noise", rule["category"]) if rule["category"] else None
    return None
