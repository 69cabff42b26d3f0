"""The list that a benchmark set is rendered from, and the WAV files, whose bytes are known in advance.

A list says which stretches of which recordings are put where and how loud, and has the checksums of the result.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from data_modules.benchmarks import integers
from data_modules.errors import DataError
from diffgmm import audio
from diffgmm.utils.files import replacing_folder, sha256_of

SET_FILE = "set.json"
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


class Recordings(dict[int, np.ndarray]):
    """The recordings of a list by their numbers, int64 ``[samples]`` at 16 kHz, read when needed and checked.

    Args:
        pairs: the list.
        corpus: folder of the prepared corpus.
    """

    def __init__(self, pairs: PairList, corpus: Path) -> None:
        super().__init__()
        self.pairs, self.corpus = pairs, corpus

    def __missing__(self, number: int) -> np.ndarray:
        """Read a recording for the first time.

        Raises:
            DataError: the file is missing or holds other samples.
        """
        recording = self.pairs.recordings[number]
        if recording.path == f"{GENERATED}alarm_clock":
            seconds = max((pair.seconds for pair in self.pairs.pairs), default=SECONDS)
            return self.setdefault(number, integers.alarm_clock(16000 * seconds))
        path = self.corpus / recording.path
        again = f"run `diffgmm prepare {self.pairs.corpus}` (the full corpus) again"
        try:
            samples = read_pcm(path)
        except audio.AudioError as error:
            raise DataError(f"{self.pairs.name}: {error}; {again}") from error
        if pcm_sha256(samples) != recording.pcm_sha256:
            raise DataError(
                f"{path}: not the samples that {self.pairs.name} is pinned to; the corpus was made from other "
                f"packages or by other library versions; {again}"
            )
        return self.setdefault(number, samples)

    def check(self) -> None:
        """Name what is missing before anything is rendered.

        Raises:
            DataError: files of the list are not in the corpus.
        """
        listed = [recording.path for recording in self.pairs.recordings]
        files = (path for path in listed if not path.startswith(GENERATED))
        if missing := [path for path in files if not (self.corpus / path).is_file()]:
            raise DataError(
                f"{self.corpus}: {len(missing)} of the {len(listed)} recordings of {self.pairs.name} are not there "
                f"(such as {missing[0]}); it needs the full corpus: run `diffgmm prepare {self.pairs.corpus}`"
            )


def read_pcm(path: Path) -> np.ndarray:
    """The 16-bit samples of a mono file at 16 kHz, int64 ``[samples]``.

    Raises:
        AudioError: missing, damaged, or of another layout.
    """
    x, info = audio.read(path)
    if (info.sample_rate, info.channels, info.subtype) != (16000, 1, "PCM_16"):
        raise audio.AudioError(f"{path}: not 16-bit mono at 16 kHz")
    return np.rint(x[0].astype(np.float64) * 32768.0).astype(np.int64)


def pcm_sha256(samples: np.ndarray) -> str:
    """SHA-256 of 16-bit little-endian samples."""
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()


def layer_signal(
    layer: Layer, recordings: Mapping[int, np.ndarray], band: str, seconds: int = SECONDS
) -> np.ndarray:
    """The sound of a layer at full gain in the pair's band: int64 ``[samples]`` at the pair's rate."""
    fast = layer.fast and band == "48k"
    out = np.zeros(seconds * (48000 if fast else 16000), dtype=np.int64)
    for part in layer.parts:
        piece = integers.faded(recordings[part.recording][part.start : part.start + part.length])
        stop = min(len(out), part.at + len(piece))
        out[part.at : stop] += piece[: stop - part.at]
    if band in ("8k", "telephone"):
        out = integers.to_8k(out)
    if band == "telephone":
        out = integers.telephone(out)
    return integers.to_48k(out) if band == "48k" and not fast else out


def render(pair: ListedPair, recordings: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Clean and noisy, int64 ``[samples]`` in the scale of 16 bits."""
    clean = integers.scaled(layer_signal(pair.speech, recordings, pair.band, pair.seconds), pair.speech.gain)
    noisy = clean.copy()
    for layer in pair.noises:
        noisy += integers.scaled(layer_signal(layer, recordings, pair.band, pair.seconds), layer.gain)
    return clean, noisy


def wav_bytes(samples: np.ndarray, sample_rate: int) -> bytes:
    """A 16-bit mono WAV file, its 44 bytes of header and nothing else beside the samples.

    Raises:
        ValueError: a sample does not fit.
    """
    if len(samples) and not -32768 <= samples.min() <= samples.max() <= 32767:
        raise ValueError("samples beyond 16 bits")
    buffer = io.BytesIO()
    wavfile.write(buffer, sample_rate, samples.astype("<i2"))
    return buffer.getvalue()


def describe(pairs: PairList) -> dict[str, Any]:
    """What ``set.json`` says beside the audio: the pairs with paths, the subsets, every file's checksum."""
    files: dict[str, str] = {}
    entries = []
    for pair in pairs.pairs:
        places = {kind: f"{kind}/{pair.id}.wav" for kind in ("clean", "noisy")}
        files |= {places["clean"]: pair.clean_sha256, places["noisy"]: pair.noisy_sha256}
        about = {"id": pair.id, "sample_rate": pair.sample_rate, "seconds": float(pair.seconds)}
        whose = {"snr": pair.snr, "speaker": pair.speaker, "noise": list(pair.noise)}
        entries.append({**about, **whose, **places})
    facts = {"name": pairs.name, "description": pairs.description, "checksum": pairs.checksum}
    return {**facts, "subsets": pairs.ids(), "pairs": entries, "files": files}


def is_intact(folder: Path, pairs: PairList) -> bool:
    """Whether a folder holds the set to the last byte."""
    wanted = describe(pairs)
    try:
        same = json.loads((folder / SET_FILE).read_text(encoding="utf-8")) == wanted
        return same and all(sha256_of(folder / name) == digest for name, digest in wanted["files"].items())
    except (OSError, ValueError):
        return False


def write_set(folder: Path, pairs: PairList, corpus: Path) -> Path:
    """Render all pairs into ``folder``, which appears whole or not at all and replaces a damaged one.

    Raises:
        DataError: the corpus lacks recordings or has other ones; the result differs from the list.
    """
    recordings = Recordings(pairs, corpus)
    recordings.check()
    with replacing_folder(folder) as part:
        for kind in ("clean", "noisy"):
            (part / kind).mkdir()
        for pair in pairs.pairs:
            sounds = zip(("clean", "noisy"), render(pair, recordings), strict=True)
            for (kind, samples), digest in zip(sounds, (pair.clean_sha256, pair.noisy_sha256), strict=True):
                data = wav_bytes(samples, pair.sample_rate)
                if hashlib.sha256(data).hexdigest() != digest:
                    raise DataError(f"{pairs.name}: {kind}/{pair.id} came out other than listed; report this")
                (part / kind / f"{pair.id}.wav").write_bytes(data)
        text = json.dumps(describe(pairs), indent=1) + "\n"
        (part / SET_FILE).write_text(text, encoding="utf-8")
    return folder
