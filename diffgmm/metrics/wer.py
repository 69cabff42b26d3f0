"""Word error rate: what a recogniser that no loss here knows still understands."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np

from diffgmm.metrics.base import NoScore, installed, metric


@metric(higher_is_better=False, rates=(16000,), seconds=0.5)
def wer_moonshine_tiny(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Word error rate of the recogniser Moonshine Tiny on English speech, against what it hears in the clean speech.

    Substitutions, deletions and insertions over the number of words in the reference (by ``jiwer``), both in lower
    case without punctuation. The reference is the recogniser's own transcript of the clean speech, so its errors on
    clean speech do not count (for true transcripts use :func:`transcript`). Moonshine Tiny (Jeffries et al., arXiv
    2410.15608, 27 M parameters, English) comes with the package ``moonshine-voice`` with its weights: nothing is
    fetched. It hears at most 30 s at once and no voice activity detector before it.

    Args:
        estimate: processed speech, float ``[samples]``, full scale ±1.
        reference: clean speech of the same length.
        sample_rate: 16000 Hz.

    Returns:
        0 (the same words) upwards, over 1 when words are invented; NaN for silence, NaN, under 0.5 s, a reference
        without words, or when ``diffgmm[wer]`` is not installed.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    spoken = _spoken(reference.tobytes(), sample_rate)
    if not spoken:
        raise NoScore("the recogniser hears no word in the reference")
    import jiwer

    return float(jiwer.wer(spoken, transcript(estimate, sample_rate)))


def available() -> bool:
    """Whether what the recogniser needs is installed (``pip install diffgmm[wer]``)."""
    return installed("moonshine_voice", "jiwer")


def transcript(waveform: np.ndarray, sample_rate: int) -> str:
    """Words that Moonshine Tiny hears, in lower case without punctuation.

    Args:
        waveform: float ``[samples]``, full scale ±1.
        sample_rate: 16000 Hz.

    Raises:
        NoScore: ``diffgmm[wer]`` is not installed.
    """
    samples = waveform.astype(np.float32).tolist()
    lines = _recogniser().transcribe_without_streaming(samples, sample_rate).lines
    return " ".join(re.findall(r"[\w']+", " ".join(line.text for line in lines).lower()))


@functools.lru_cache(maxsize=4)
def _spoken(reference: bytes, sample_rate: int) -> str:
    """The transcript of float64 samples, kept for the next system that is compared with them."""
    return transcript(np.frombuffer(reference), sample_rate)


@functools.lru_cache(maxsize=1)
def _recogniser() -> Any:
    if not available():
        raise NoScore("the recogniser is not installed: pip install diffgmm[wer]")
    import moonshine_voice
    from moonshine_voice.transcriber import Transcriber

    weights = Path(moonshine_voice.__file__).parent / "assets" / "tiny-en"
    # A threshold of 0 leaves out the voice activity detector, which cuts sentences and invents words at the cuts.
    options = {"vad_threshold": "0", "vad_max_segment_duration": "30"}
    return Transcriber(str(weights), moonshine_voice.ModelArch.TINY, options=options)
