"""Common parts of the baselines: description, frames, 16-bit samples, location of a package's files.

Nothing here needs more than numpy: the package also runs in an interpreter that has a baseline but not diffgmm.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

Denoise = Callable[[np.ndarray], np.ndarray]
"""Float32 ``[samples]`` in [-1, 1] at the baseline's rate to float32 of at least that length."""


@dataclass(frozen=True)
class Baseline:
    """Another denoiser.

    Args:
        name: in tables and on the command line.
        module: beside this one, with a function ``load(name, threads)`` that returns the denoiser.
        packages: distributions it needs, its own one first.
        sample_rate: that it works at, in Hz.
        lag: samples at that rate by which its output comes late.
        about: one line with the source.
    """

    name: str
    module: str
    packages: Sequence[str]
    sample_rate: int
    lag: int
    about: str

    def load(self, threads: int) -> Denoise:
        """The denoiser, which takes no state from one recording to the next."""
        module = importlib.import_module(f".{self.module}", __package__)
        denoise: Denoise = module.load(self.name, threads)
        return denoise

    def versions(self) -> dict[str, str] | None:
        """Versions of its packages, None if one is not installed."""
        try:
            return {name: metadata.version(name) for name in self.packages}
        except metadata.PackageNotFoundError:
            return None

    def fingerprint(self) -> str:
        """SHA-256 of the package's list of files, which holds their checksums, weights included."""
        record = metadata.distribution(self.packages[0]).read_text("RECORD") or ""
        installed = sorted(line for line in record.splitlines() if "__pycache__" not in line)
        return hashlib.sha256("\n".join(installed).encode()).hexdigest()

    def aligned(self, denoise: Denoise, x: np.ndarray) -> np.ndarray:
        """The output for ``x`` moved to where the input is, in its length: float32 ``[samples]``."""
        padded = np.concatenate([x, np.zeros(self.lag, np.float32)]).astype(np.float32)
        y = np.asarray(denoise(padded), dtype=np.float32)
        if len(y) < len(padded):
            raise ValueError(f"{self.name} returned {len(y)} samples for {len(padded)}")
        return y[self.lag : self.lag + len(x)]


def in_frames(step: Callable[[np.ndarray], np.ndarray], x: np.ndarray, size: int) -> np.ndarray:
    """Feed ``x`` frame by frame, the last one filled up with zeros, and join what comes back."""
    filled = np.pad(x, (0, -len(x) % size)).astype(np.float32)
    frames = [np.asarray(step(frame)).reshape(-1) for frame in filled.reshape(-1, size)]
    return np.concatenate(frames).astype(np.float32)


def to_pcm(x: np.ndarray) -> bytes:
    """16-bit samples, clipped rather than wrapped around."""
    return np.clip(np.rint(x * 32768.0), -32768, 32767).astype("<i2").tobytes()


def from_pcm(data: bytes) -> np.ndarray:
    """Float32 in [-1, 1] from 16-bit samples."""
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768.0)


def spectra(x: np.ndarray, size: int, window: np.ndarray) -> np.ndarray:
    """Centred frames, half overlapping, of a signal with zeros around it: complex ``[frames, size / 2 + 1]``."""
    hop = size // 2
    padded = np.pad(x, (hop, hop + -len(x) % hop + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return np.fft.rfft(frames * window, axis=1)


def waveform(spectrum: np.ndarray, size: int, window: np.ndarray, samples: int) -> np.ndarray:
    """The inverse of :func:`spectra` for a window whose squares, half overlapping, add up to one."""
    hop = size // 2
    frames = np.fft.irfft(spectrum, size, axis=1) * window
    out = np.zeros(hop * (len(frames) + 1))
    for i, frame in enumerate(frames):
        out[i * hop : i * hop + size] += frame
    return out[hop : hop + samples].astype(np.float32)


def root_hann(size: int) -> np.ndarray:
    """Square root of the periodic Hann window, ``[size]``."""
    return np.sqrt(np.hanning(size + 1)[:-1])


def folder_of(distribution: str, package: str) -> Path:
    """Where an installed distribution has a package, without importing it."""
    return Path(str(metadata.distribution(distribution).locate_file(package.replace(".", "/"))))


def import_part(folder: Path, module: str) -> Any:
    """A module of a package whose own ``__init__`` would import what is not needed here."""
    alias = f"_part_of_{folder.name}"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_loader(alias, loader=None, is_package=True)
        if spec is None:
            raise ImportError(f"cannot look into {folder}")
        package = importlib.util.module_from_spec(spec)
        package.__path__ = [str(folder)]
        sys.modules[alias] = package
    return importlib.import_module(f"{alias}.{module}")


def onnx_session(path: Path, threads: int) -> Any:
    """An ONNX Runtime session on the CPU that keeps to its threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
