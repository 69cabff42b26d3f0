"""Pairs written to disk, for a look (and a listen) at the data and for other networks: Belz's "data creation".

A finished folder holds, for each split of the corpus:

- ``clean.npy``, ``noise.npy``, ``noisy.npy``: time series, float32 [pairs, samples]
- ``clean_db.npy``, ``noise_db.npy``, ``noisy_db.npy``: spectrograms, float32 [pairs, bins, frames] in dB relative to
  the largest bin of the noisy one, as a network on `diffgmm.diffusion.representation.Magnitude` gets them
- ``clean/NAME.wav``, ``noisy/NAME.wav``: sound, 16 bit
- ``pairs.csv``: a line for each row of the arrays: name, speaker, noise, ratio

and ``pairs.json`` says how it was made. The arrays open without being read: ``np.load(path, mmap_mode="r")``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy import fft

from data_modules.errors import DataError
from data_modules.mixing.mixer import BABBLE, COLOURED, TONES, Mixer, Mixing, Mixture, belz_blend
from data_modules.pools.pool import Pool
from diffgmm import audio
from diffgmm.utils.files import replacing
from diffgmm.utils.random import window_rng

__all__ = ["PRESETS", "Block", "Preset", "make_arrays", "spectrogram_db", "write_block"]

SIGNALS = ("clean", "noise", "noisy")
TOP_DB = 80.0
COLUMNS = ("row", "name", "speaker", "noise", "snr_db", "level_dbfs")
_GENERATED = {BABBLE: "babble", COLOURED: "coloured", TONES: "tones"}
_SILENT_PEAK = 1e-6


@dataclass(frozen=True)
class Preset:
    """What pairs look like.

    Args:
        sample_rate: in Hz.
        samples: length of a pair.
        n_fft, hop: of the spectrograms, in samples.
        mixing: levels, ratios and kinds of noise.
    """

    sample_rate: int
    samples: int
    n_fft: int
    hop: int
    mixing: Mixing

    def lasting(self, seconds: float | None) -> Preset:
        """The same with another length, or itself for None.

        Raises:
            DataError: the length is shorter than a spectrum.
        """
        if seconds is None:
            return self
        samples = round(seconds * self.sample_rate) if math.isfinite(seconds) else 0
        if samples < self.n_fft:
            raise DataError(
                f"pairs of {seconds} s are too short for a spectrum of {self.n_fft} samples; "
                f"needs {self.n_fft / self.sample_rate:.3f} s or more"
            )
        return replace(self, samples=samples)

    @property
    def frames(self) -> int:
        """Frames of a spectrogram."""
        return (
            1 + (self.samples + (-self.samples % self.hop) + 2 * (self.n_fft // 2) - self.n_fft) // self.hop
        )

    def shapes(self, pairs: int) -> dict[str, tuple[int, ...]]:
        """File name of each array to its shape."""
        spectrogram = (pairs, self.n_fft // 2 + 1, self.frames)
        series = {f"{signal}.npy": (pairs, self.samples) for signal in SIGNALS}
        return series | {f"{signal}_db.npy": spectrogram for signal in SIGNALS}

    def bytes_for(self, pairs: int) -> int:
        """What so many pairs take on disk."""
        values = sum(math.prod(shape) for shape in self.shapes(pairs).values())
        return 4 * values + 2 * pairs * (2 * self.samples + 4096)  # sounds come in whole blocks of the disk

    def facts(self) -> dict[str, object]:
        """Plain data for ``pairs.json``."""
        return {**asdict(self), "frames": self.frames, "top_db": TOP_DB}


PRESETS = {
    "belz": Preset(sample_rate=8000, samples=8064, n_fft=255, hop=63, mixing=belz_blend()),
    "plain": Preset(sample_rate=16000, samples=16384, n_fft=510, hop=128, mixing=Mixing()),
}
"""``belz``: 128 x 128 spectrograms of voice + 0.2 to 0.8 times noise at 8 kHz; ``plain``: the framework's own mixing
at 16 kHz, 256 x 129."""


def _spectrum(samples: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Magnitudes of centred frames under a periodic Hann window, white noise kept at its level, [..., bins, frames]."""
    length = samples.shape[-1]
    side = n_fft // 2
    padded = np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(side, side - length % -hop)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)[..., ::hop, :]
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)
    window = (window / np.sqrt(np.sum(window**2))).astype(np.float32)
    return np.swapaxes(np.abs(fft.rfft(frames * window, axis=-1)), -1, -2)


def spectrogram_db(
    samples: np.ndarray, noisy: np.ndarray, n_fft: int, hop: int, top_db: float = TOP_DB
) -> np.ndarray:
    """Magnitude in dB relative to the largest bin of the noisy signal, no lower than ``-top_db``.

    The same as `diffgmm.diffusion.representation.Magnitude` with ``scaling="db"`` gives.

    Args:
        samples, noisy: float32 [..., samples] of one length.
        n_fft, hop: in samples.
        top_db: range kept, in dB.

    Returns:
        float32 [..., n_fft // 2 + 1, frames]
    """
    peak = _spectrum(noisy, n_fft, hop).max(axis=(-2, -1), keepdims=True)
    peak = np.where(peak > _SILENT_PEAK, peak, np.float32(1.0))
    magnitude = np.maximum(_spectrum(samples, n_fft, hop) / peak, np.float32(10.0 ** (-top_db / 20.0)))
    return (20.0 * np.log10(magnitude)).astype(np.float32)


@dataclass(frozen=True)
class Block:
    """Some consecutive pairs of a split: what a process writes at once.

    Args:
        folder: of the split.
        speech, noise: pools of the split.
        preset: what pairs look like.
        key: of the random generators, before the number of the pair.
        split: name.
        first, stop: numbers of the pairs.
        done: file that appears, with the pairs' lines of ``pairs.csv``, when everything else is written.
    """

    folder: Path
    speech: Pool
    noise: Pool
    preset: Preset
    key: tuple[int, ...]
    split: str
    first: int
    stop: int
    done: Path


def make_arrays(folder: Path, preset: Preset, pairs: int) -> None:
    """Lays out a split: arrays of their final size, not yet filled, and folders for sounds."""
    for kind in ("clean", "noisy"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name, shape in preset.shapes(pairs).items():
        if not (folder / name).exists():
            with replacing(folder / name) as part:
                np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape).flush()


def _name_of(noise: Pool, paths: list[str]) -> Callable[[int], str]:
    def name(clip: int) -> str:
        if clip < 0:
            return _GENERATED[clip]
        return f"{noise.groups[int(noise.group[clip])]}/{os.path.basename(paths[clip])}"

    return name


def write_block(block: Block) -> int:
    """Mixes and writes the pairs of a block, and returns how many. What is there of it already is written over."""
    preset, rate = block.preset, block.preset.sample_rate
    mixer = Mixer(block.speech, block.noise, preset.mixing)
    numbers = range(block.first, block.stop)
    mixtures = [mixer.draw(window_rng(*block.key, number), preset.samples) for number in numbers]
    stacks = {signal: np.stack([getattr(mixture, signal) for mixture in mixtures]) for signal in SIGNALS}
    for signal, stack in stacks.items():
        spectra = spectrogram_db(stack, stacks["noisy"], preset.n_fft, preset.hop)
        for name, values in ((f"{signal}.npy", stack), (f"{signal}_db.npy", spectra)):
            array = np.load(block.folder / name, mmap_mode="r+")
            array[block.first : block.stop] = values
            array.flush()
    noise_name = _name_of(block.noise, block.noise.names())
    lines = io.StringIO(newline="")
    table = csv.writer(lines, lineterminator="\n")
    for number, mixture in zip(numbers, mixtures, strict=True):
        name = f"{block.split}-{number:06d}"
        for kind in ("clean", "noisy"):
            wave = getattr(mixture, kind)[None]
            audio.write(block.folder / kind / f"{name}.wav", wave, rate, subtype="PCM_16", overwrite=True)
        table.writerow((number, name, *_described(block, mixture, noise_name)))
    with replacing(block.done) as part:
        part.write_text(lines.getvalue(), encoding="utf-8", errors="surrogateescape")
    return len(mixtures)


def _described(block: Block, mixture: Mixture, noise_name: Callable[[int], str]) -> tuple[str, ...]:
    """Speaker, noise, ratio in dB and level of the speech in dBFS; empty where there is none."""
    level = audio.active_level_db(mixture.clean, block.preset.sample_rate)
    return (
        block.speech.groups[mixture.group] if mixture.group >= 0 else "",
        "+".join(noise_name(clip) for clip in mixture.noises),
        "" if math.isnan(mixture.snr) else f"{mixture.snr:.2f}",
        f"{level:.2f}" if math.isfinite(level) else "",
    )


def settings_text(preset_name: str, preset: Preset, pairs: dict[str, int], seed: int, corpus: object) -> str:
    """Contents of ``pairs.json``: everything that decides what is in the folder."""
    facts = {"preset": preset_name, **preset.facts(), "pairs": pairs, "seed": seed, "corpus": corpus}
    return json.dumps(facts, indent=2) + "\n"
