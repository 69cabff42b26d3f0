"""The list that a benchmark set is rendered from: which stretches of which recordings, how loud, and the checksums."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GENERATED = "generated/"
"""Prefix of what is no recording: ``generated/alarm_clock``."""
SECONDS = 4
"""Length of a pair for which the list names no other."""


@dataclass(frozen=True)
class Recording:
    """A file of the corpus: path in it, SHA-256 of the FLAC file, and of its samples (16-bit little-endian)."""

    path: str
    sha256: str = ""
    pcm_sha256: str = ""


@dataclass(frozen=True)
class Part:
    """A stretch of a recording: its number in the list, first sample, samples, and where it is put."""

    recording: int
    start: int
    length: int
    at: int


@dataclass(frozen=True)
class Layer:
    """Parts that make one voice or one noise.

    Args:
        gain: in 1/65536.
        parts: in order.
        fast: the 16 kHz samples are played at 48 kHz, so that a recording fills the band up to 24 kHz.
    """

    gain: int
    parts: tuple[Part, ...]
    fast: bool = False


@dataclass(frozen=True)
class ListedPair:
    """What a pair is made of.

    Args:
        id: unique in the list.
        band: ``full`` (16 kHz), ``8k``, ``telephone`` (8 kHz) or ``48k``.
        snr: ratio of active levels in dB; None without noise.
        speaker: group in the corpus.
        noise: categories, or ``alarm_clock``.
        subsets: that it belongs to.
        speech: the voice.
        noises: in the order of ``noise``.
        clean_sha256, noisy_sha256: of the WAV files.
        seconds: length.
    """

    id: str
    band: str
    snr: float | None
    speaker: str
    noise: tuple[str, ...]
    subsets: tuple[str, ...]
    speech: Layer
    noises: tuple[Layer, ...]
    clean_sha256: str = ""
    noisy_sha256: str = ""
    seconds: int = SECONDS

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return {"full": 16000, "48k": 48000}.get(self.band, 8000)


@dataclass(frozen=True)
class PairList:
    """A whole list, as its JSON file has it."""

    name: str
    description: str
    corpus: str
    recordings: tuple[Recording, ...] = ()
    pairs: tuple[ListedPair, ...] = ()
    subsets: dict[str, str] = field(default_factory=dict)  # what each is about

    @property
    def checksum(self) -> str:
        """SHA-256 over ids and checksums of all WAV files."""
        lines = (f"{pair.id} {pair.clean_sha256} {pair.noisy_sha256}\n" for pair in self.pairs)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def ids(self) -> dict[str, list[str]]:
        """Ids by subset, in order."""
        return {name: [pair.id for pair in self.pairs if name in pair.subsets] for name in self.subsets}


def read_list(path: Path) -> PairList:
    """The list in a file of this folder."""
    data = json.loads(path.read_text(encoding="utf-8"))

    def layer(entry: dict[str, Any]) -> Layer:
        return Layer(entry["gain"], tuple(Part(*part) for part in entry["parts"]), entry["fast"])

    def pair(entry: dict[str, Any]) -> ListedPair:
        tuples = {name: tuple(entry[name]) for name in ("noise", "subsets")}
        layers = {"speech": layer(entry["speech"]), "noises": tuple(map(layer, entry["noises"]))}
        return ListedPair(**(entry | tuples | layers))

    recordings = tuple(Recording(**entry) for entry in data["recordings"])
    return PairList(**(data | {"recordings": recordings, "pairs": tuple(map(pair, data["pairs"]))}))
