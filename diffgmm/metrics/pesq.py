"""PESQ: perceptual evaluation of speech quality (MOS-LQO) by the ``pesq`` package, ITU-T's own code wrapped.

Two different metrics carry this name and must not be mixed up: the narrow-band one (P.862 with the mapping of
P.862.1) and the wide-band one (P.862.2). The field quotes the wide-band one for 16 kHz speech.
"""

from __future__ import annotations

import numpy as np

from diffgmm.metrics.base import NoScore, metric, remembering

# The P.862 code keeps utterances in arrays of 50 and writes past their end without a check, which corrupts
# scores or ends the process. An utterance and its pause last at least 0.404 s (101 windows of 4 ms): shorter
# signals are always safe.
_SAFE_SECONDS = 20.0
_SAFE_UTTERANCES = 40  # of 50: they are counted here without the exact filters of P.862
_SPEECH_BAND = (250.0, 3400.0)


@metric(unit="MOS", rates=(16000,), seconds=0.25)
def pesq_wb(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Wide-band PESQ (ITU-T P.862.2) as MOS-LQO.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: 16000 Hz.

    Returns:
        1.04 (bad) to 4.64 (no audible difference). NaN when there is no score: under 0.25 s, silence, NaN, no
        speech found in the reference, or more than 20 s with too many separate utterances for the algorithm.

    Raises:
        ValueError: another rate, or signals of unequal length.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> round(pesq_wb(noise, noise, 16000), 2)
    4.64
    """
    return mos_lqo(estimate, reference, sample_rate, "wb")


@metric(unit="MOS", rates=(16000, 8000), seconds=0.25)
def pesq_nb(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Narrow-band PESQ (ITU-T P.862, mapped by P.862.1) as MOS-LQO.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``.
        sample_rate: 8000 or 16000 Hz.

    Returns:
        1.02 (bad) to 4.55 (no audible difference), NaN as for :func:`pesq_wb`.

    Raises:
        ValueError: another rate, or signals of unequal length.
    """
    return mos_lqo(estimate, reference, sample_rate, "nb")


@remembering
def mos_lqo(estimate: np.ndarray, reference: np.ndarray, sample_rate: int, mode: str) -> float:
    """PESQ of checked signals, wide-band (``wb``) or narrow-band (``nb``).

    Raises:
        NoScore: there is none.
    """
    from pesq import PesqError, pesq

    long = reference.size > _SAFE_SECONDS * sample_rate
    if long and _utterances(reference, sample_rate) > _SAFE_UTTERANCES:
        raise NoScore(f"over {_SAFE_UTTERANCES} utterances, more than PESQ can hold: score pieces up to 20 s")
    try:
        return float(pesq(sample_rate, reference, estimate, mode))
    except (PesqError, ValueError) as error:
        text = error.args[0] if error.args else error
        text = text.decode() if isinstance(text, bytes) else str(text)
        raise NoScore("no speech found in the reference" if "utterance" in text.lower() else text) from error


def _utterances(x: np.ndarray, sample_rate: int) -> int:
    """Count utterances as P.862 does, with and without a telephone's band; the larger count."""
    spectrum, frequency = np.fft.rfft(x), np.fft.rfftfreq(x.size, 1 / sample_rate)
    spectrum[(frequency < _SPEECH_BAND[0]) | (frequency > _SPEECH_BAND[1])] = 0
    return max(_stretches(x, sample_rate), _stretches(np.fft.irfft(spectrum, x.size), sample_rate))


def _stretches(x: np.ndarray, sample_rate: int) -> int:
    """The activity detector of P.862: stretches of 0.16 s or more, those under 0.2 s apart joined."""
    window = sample_rate // 250
    power = np.square(x[: x.size // window * window]).reshape(-1, window).mean(axis=1)
    power = np.maximum(power, power.max() * 1e-4)
    threshold = power.mean()
    for _ in range(12):
        noise = power[power <= threshold]
        if noise.size:
            threshold = 1.001 * (noise.mean() + 2 * noise.std())
    edges = np.flatnonzero(np.diff(power > threshold, prepend=False, append=False))
    start, end = edges[::2], edges[1::2]
    start, end = start[end - start > 4], end[end - start > 4]
    if not start.size:
        return 0
    apart = start[1:] - end[:-1] > 50
    start, end = start[np.r_[True, apart]], end[np.r_[apart, True]]
    return int(np.count_nonzero(end - start >= 40))
