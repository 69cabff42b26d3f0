"""Windows per second: mixing from pools, and the same with files read for every item. For `experiments.bench.data`."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_modules.mixing.mixer import Mixer, Mixing
from data_modules.noisy_speech import NoisySpeech
from data_modules.pools.collection import resolve_corpus
from data_modules.pools.sources import corpus_items, select
from diffgmm.audio.levels import at_snr
from diffgmm.utils.random import window_rng

RATE = 16000
WINDOW = 16384  # 1.024 s
PLAIN = Mixing(noises=(1.0,), babble=0.0, coloured=0.0, envelope=0.0)


@dataclass(frozen=True)
class Rate:
    """How fast windows come.

    Args:
        per_core: windows per second of processor time; holds beside other work on the machine.
        per_second: windows per second of wall time.
    """

    per_core: float
    per_second: float


def measure(make: Callable[[int], object], seconds: float, repeats: int = 5) -> Rate:
    """Medians over repeats of how often `make` (given a number) can be called."""
    for number in range(3):
        make(number)
    cores, walls = [], []
    number = 3
    for _ in range(repeats):
        start, busy, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < seconds / repeats or count < 3:
            make(number)
            number, count = number + 1, count + 1
        cores.append(count / max(1e-9, time.process_time() - busy))
        walls.append(count / (time.perf_counter() - start))
    return Rate(statistics.median(cores), statistics.median(walls))


def mixing_rates(data: NoisySpeech, seconds: float) -> Iterator[tuple[str, Rate]]:
    """Plain mixing, default mixing and an experiment's full chain, from the pools of `data`."""
    chains: list[tuple[str, Mixing, Any]] = [
        ("plain mixing: one noise", PLAIN, ()),
        ("default mixing: up to 3 noises, babble, generated", Mixing(), ()),
        ("full chain of base_16k.yaml", data.mixing, data.augmentations),
    ]
    for name, mixing, augmentations in chains:
        mixer = Mixer(*data.pools["train"], mixing, augmentations)
        yield name, measure(lambda number, mixer=mixer: mixer.draw(window_rng(1, number), WINDOW), seconds)  # type: ignore[misc]


Read = Callable[[str, int, int], np.ndarray]
"""Path, first sample and count at 16 kHz to float32 [samples], shorter at the end of the file."""


def _soundfile() -> Read:
    import soundfile
    import soxr

    def read(path: str, start: int, count: int) -> np.ndarray:
        with soundfile.SoundFile(path) as file:
            ratio = file.samplerate / RATE
            file.seek(int(start * ratio))
            samples = file.read(int(count * ratio), dtype="float32", always_2d=True).mean(1)
            return samples if ratio == 1.0 else soxr.resample(samples, file.samplerate, RATE)

    return read


def _librosa() -> Read:
    import librosa

    return lambda path, start, count: librosa.load(path, sr=RATE, offset=start / RATE, duration=count / RATE)[
        0
    ]


def _torchaudio() -> Read:
    torchaudio = importlib.import_module("torchaudio")

    def read(path: str, start: int, count: int) -> np.ndarray:
        ratio = _FACTS[path][1] / RATE
        samples, rate = torchaudio.load(path, frame_offset=int(start * ratio), num_frames=int(count * ratio))
        return torchaudio.functional.resample(samples, rate, RATE).mean(0).numpy()

    return read


_FACTS: dict[
    str, tuple[int, int]
] = {}  # file to its samples at 16 kHz and its rate: what a manifest would tell


def file_rates(corpus: str, seconds: float) -> Iterator[tuple[str, Rate | str]]:
    """Plain mixing with a speech and a noise file opened for each window; a reason where a library can't."""
    import soundfile

    items = corpus_items(resolve_corpus(corpus))
    paths: dict[str, list[str]] = {
        kind: [item.path for item in select(items, "train", kind)][:500] for kind in ("speech", "noise")
    }
    for path in (path for kind in paths.values() for path in kind):
        info = soundfile.info(path)
        _FACTS[path] = (int(info.frames * RATE / info.samplerate), info.samplerate)

    def window(read: Read, number: int) -> np.ndarray:
        rng = window_rng(2, number)
        parts = []
        for kind in ("speech", "noise"):
            path = paths[kind][int(rng.integers(len(paths[kind])))]
            start = int(rng.integers(max(1, _FACTS[path][0] - WINDOW)))
            parts.append(np.resize(read(path, start, WINDOW), WINDOW))
        snr, level = rng.uniform(-5.0, 20.0), rng.uniform(-45.0, -5.0)
        clean, noise, _ = at_snr(parts[0], parts[1], RATE, snr, level)
        return clean + noise

    for name, make in (
        ("soundfile + soxr", _soundfile),
        ("librosa.load", _librosa),
        ("torchaudio.load", _torchaudio),
    ):
        try:
            read = make()
            window(read, 0)
        except (ImportError, OSError) as error:
            yield f"per item: {name}", f"can't: {' '.join(str(error).split())[:60]}"
        else:
            yield f"per item: {name}", measure(lambda number, read=read: window(read, number), seconds)  # type: ignore[misc]


def library_rates(seconds: float) -> Iterator[tuple[str, Rate | str]]:
    """The parts of the chain that audiomentations and pyroomacoustics have too, beside our own, a window each."""
    from data_modules.augment import BandLimit, Clip, Codec, Reverb, Scene, SpectralTilt

    voice = 0.1 * np.random.default_rng(0).standard_normal(WINDOW).astype(np.float32)

    def scene(one: Any) -> Callable[[int], object]:
        return lambda number: one.apply(Scene(RATE, voice, voice), window_rng(number))

    def noisy(one: Any) -> Callable[[int], object]:
        return lambda number: one.damage(voice, voice, RATE, window_rng(number))

    ours: list[tuple[str, Callable[[int], object]]] = [
        ("Reverb", scene(Reverb(1.0))),
        ("BandLimit", scene(BandLimit(1.0))),
        ("SpectralTilt", scene(SpectralTilt(1.0))),
        ("Clip", noisy(Clip(1.0))),
        ("Codec mp3", noisy(Codec(1.0, {"mp3": 1.0}))),
    ]
    for name, make in ours:
        yield f"ours: {name}", measure(make, seconds)
    for library, build in (("audiomentations", _audiomentations), ("pyroomacoustics", _pyroomacoustics)):
        try:
            theirs = build(voice)
        except ImportError:
            yield library, "not installed"
            continue
        for name, make in theirs:
            yield f"{library}: {name}", measure(make, seconds)


def _audiomentations(voice: np.ndarray) -> list[tuple[str, Callable[[int], object]]]:
    library = importlib.import_module("audiomentations")
    effects = {
        "SevenBandParametricEQ": library.SevenBandParametricEQ(p=1.0),
        "BandPassFilter": library.BandPassFilter(p=1.0),
        "ClippingDistortion": library.ClippingDistortion(p=1.0),
        "AddColorNoise": library.AddColorNoise(p=1.0),
    }

    def apply(effect: Any) -> Callable[[int], object]:
        return lambda number: effect(voice, sample_rate=RATE)

    return [(name, apply(effect)) for name, effect in effects.items()]


def _pyroomacoustics(voice: np.ndarray) -> list[tuple[str, Callable[[int], object]]]:
    library = importlib.import_module("pyroomacoustics")

    def room(number: int) -> object:
        box = library.ShoeBox([5.0, 4.0, 2.6], fs=RATE, materials=library.Material(0.25), max_order=12)
        box.add_source([1.0, 1.5, 1.4], signal=voice)
        box.add_microphone([3.5, 2.5, 1.4])
        return box.simulate()

    return [("ShoeBox, order 12, simulated for each window", room)]
