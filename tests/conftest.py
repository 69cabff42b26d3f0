"""Real sounds for the tests: excerpts of the mini corpus that comes with the repository."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

import data_modules
from diffgmm import audio

RATE = 16000
collect_ignore_glob = ["foreign/*", "helpers/*"]  # hold no tests, and examples need not run there

# A shell that starts the tests in the background has them, and every process they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mini() -> Path:
    """The mini corpus, ``{train,valid,test}/{speech,noise}/GROUP/*.flac``."""
    return Path(data_modules.__file__).parent / "mini"


def excerpt(folder: Path, seconds: float, skip: int = 0) -> np.ndarray:
    """The loudest ``seconds`` of a file that is long enough, the ``skip``-th such; float32 ``[samples]``."""
    for path in sorted(folder.rglob("*.flac")):
        x = audio.read(path, RATE, mono=True)[0][0]
        samples = round(seconds * RATE)
        if x.size >= samples and (skip := skip - 1) < 0:
            power = np.cumsum(np.square(x, dtype=np.float64))
            start = int(np.argmax(power[samples - 1 :] - np.r_[0.0, power[: x.size - samples]]))
            return x[start : start + samples].copy()
    raise LookupError(f"no file of {seconds} s left in {folder}")


@pytest.fixture(scope="session")
def speech(mini: Path) -> np.ndarray:
    """Three seconds of real speech, float32 ``[samples]`` at 16 kHz."""
    return excerpt(mini / "test" / "speech", 3.0)


@pytest.fixture(scope="session")
def noise(mini: Path) -> np.ndarray:
    """Three seconds of real noise, float32 ``[samples]`` at 16 kHz."""
    sounds = (mini / "test" / "noise").rglob("*.flac")
    x = np.concatenate([audio.read(path, RATE, mono=True)[0][0] for path in sorted(sounds)[:8]])
    return np.resize(x, 3 * RATE)


@pytest.fixture(scope="session")
def pair(speech: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(clean, noisy)`` at 5 dB SNR, float32 ``[samples]`` at 16 kHz."""
    ratio = np.float32(10 ** (5 / 10))  # float32 throughout, also by the rules of NumPy 1
    gain = np.sqrt(np.square(speech).mean() / np.square(noise).mean() / ratio)
    return speech, (speech + gain * noise).astype(np.float32)
