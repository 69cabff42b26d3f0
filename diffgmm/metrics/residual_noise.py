"""Residual noise: what is left in the pauses between the words."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from diffgmm.metrics.base import NoScore, metric

_FRAME = 0.02  # seconds
_RANGE_DB = 35.0  # frames of the reference this far below its loudest frame are pause
_SHORTEST = 4  # frames of a pause; its first and last are left out, where words fade
_FLOOR_DB = -80.0


@metric(unit="dB", higher_is_better=False, seconds=0.2)
def residual_noise(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Level of the estimate in the pauses between first and last word, re the clean speech's active level.

    The difference between two signals, such as enhanced minus noisy, is the noise reduction in the pauses of
    one speaker, in the sense of NPLR of ITU-T G.160. Pauses are found in the clean reference: at least 80 ms
    of 20 ms frames more than 35 dB below the loudest, between its first and last active frame; the frames at
    both edges of a pause do not count. Before the first and after the last word nothing is measured, since a
    denoiser that has not heard speech yet mutes more than one that has. A reference with noise of its own in
    the pauses bounds what an estimate equal to it can reach, not what a denoiser can.

    Args:
        estimate: processed speech, float ``[samples]``.
        reference: clean speech, float ``[samples]``, aligned with ``estimate``.
        sample_rate: Hz.

    Returns:
        dB, lower is better, at least -80; NaN when the reference has no pause between words, either signal is
        silent or holds NaN, or they are shorter than 0.2 s.

    Raises:
        ValueError: signals of unequal length.

    >>> import numpy as np
    >>> word, pause = np.full(8000, 0.5), np.zeros(8000)
    >>> clean = np.concatenate([word, pause, word])
    >>> round(residual_noise(clean + 0.005, clean, 16000), 2)
    -40.0
    """
    size = round(_FRAME * sample_rate)
    frames = reference.size // size
    signals = (x[: frames * size].reshape(frames, size) for x in (estimate, reference))
    processed, clean = (np.square(x).mean(axis=1) for x in signals)
    active = clean >= clean.max() * 10 ** (-_RANGE_DB / 10)
    pause = pauses_between(active)
    if not pause.any():
        raise NoScore("no pause between words in the reference")
    ratio = processed[pause].mean() / clean[active].mean()
    return max(_FLOOR_DB, 10 * float(np.log10(max(ratio, np.finfo(np.float64).tiny))))


def pauses_between(active: np.ndarray) -> np.ndarray:
    """Frames inside the pauses between active ones, without the first and last frame of each: bool ``[frames]``."""
    inside = np.zeros(active.size, dtype=bool)
    places = np.flatnonzero(active)
    for before, after in pairwise(places):
        if after - before - 1 >= _SHORTEST:
            inside[before + 2 : after - 1] = True
    return inside
