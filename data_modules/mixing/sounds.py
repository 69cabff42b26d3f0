"""The recorded sounds a mixture is made of: a speaker's utterances with pauses, looped noises, babble.

Every function draws from the generator it is given and from nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from data_modules.augment.base import Range
from data_modules.pools.pool import Pool
from diffgmm.audio.levels import active_power

LOOP_FADE_SECONDS = 0.02
EVENT_SECONDS = 0.4  # a clip shorter than this is an event: in a loop it would rattle


def to_level(samples: np.ndarray, sample_rate: int, level: float = 0.0) -> np.ndarray:
    """Scaled to an active level in dBFS; silence stays silence."""
    power = active_power(samples, sample_rate)
    if power <= 1e-18:
        return np.zeros_like(samples)
    return samples * np.float32(10.0 ** (level / 20.0) / np.sqrt(power))


def draw_voice(
    pool: Pool, group: int, samples: int, rng: Generator, *, join: float = 0.3, pause: Range = (0.1, 0.8)
) -> np.ndarray:
    """A stretch of one speaker: the inside of an utterance, or several with pauses between them.

    Args:
        pool: of speech.
        group: the speaker.
        samples: how long.
        rng: where randomness comes from.
        join: probability that a long utterance is cut at its end and followed by a pause and another one;
            utterances shorter than the stretch always are.
        pause: shortest and longest pause in seconds.

    Returns:
        float32 [samples]
    """
    clip = pool.draw_clip(rng, group)
    length = int(pool.length[clip])
    if length >= samples and rng.random() >= join:
        return pool.read(clip, int(rng.integers(length - samples + 1)), samples)

    def silence() -> int:
        return int(rng.uniform(*pause) * pool.sample_rate)

    out = np.zeros(samples, dtype=np.float32)
    if length >= samples:
        keep = int(rng.integers(samples // 8, max(samples // 8 + 1, samples * 7 // 8)))
        position = 0
        piece = pool.read(clip, length - keep)
    else:
        # A short utterance may be cut off at the left or start late, so that all positions occur.
        position = int(rng.integers(-(length // 2), samples - length + 1))
        if position > silence():
            position = silence()
        piece = pool.read(clip, max(0, -position))
        position = max(0, position)
    while True:
        piece = piece[: samples - position]
        out[position : position + len(piece)] = piece
        position += len(piece) + silence()
        if position >= samples:
            return out
        piece = pool.read(pool.draw_clip(rng, group), 0, samples - position)


def loop(clip: np.ndarray, samples: int, start: int, fade: int) -> np.ndarray:
    """A short clip repeated without a click: its end is cross-faded (equal power) into its beginning.

    Args:
        clip: float32 [length]
        samples: how long the result is.
        start: position in the loop where it begins.
        fade: length of the cross-fade in samples; at most half the clip is used.

    Returns:
        float32 [samples]
    """
    fade = min(fade, len(clip) // 2)
    body = clip[: len(clip) - fade].copy()
    if fade:
        phase = (np.arange(fade, dtype=np.float32) + 0.5) * np.float32(np.pi / 2 / fade)
        body[:fade] = body[:fade] * np.sin(phase) + clip[len(clip) - fade :] * np.cos(phase)
    start %= len(body)
    repeats = -(-(start + samples) // len(body))
    return np.tile(body, repeats)[start : start + samples]


def repeat_event(clip: np.ndarray, samples: int, rng: Generator, gap: tuple[int, int]) -> np.ndarray:
    """A short event (a bark, a knock) that occurs now and then, with random gaps between."""
    out = np.zeros(samples, dtype=np.float32)
    position = int(rng.integers(-(len(clip) // 2), max(1, samples - len(clip) // 2)))
    while position < samples:
        first, stop = max(0, position), min(samples, position + len(clip))
        out[first:stop] = clip[first - position : stop - position]
        position += len(clip) + int(rng.integers(gap[0], gap[1] + 1))
    return out


def noise_stretch(pool: Pool, clip: int, samples: int, rng: Generator, events: float = 0.0) -> np.ndarray:
    """A recorded noise of a given length: a stretch of a long clip, or a short one looped or as repeated events.

    Args:
        pool: of noise.
        clip: which.
        samples: how long.
        rng: where randomness comes from.
        events: probability that a clip shorter than the window recurs with gaps of 0.1 to 1.5 s instead of in
            a loop; clips below 0.4 s always do.

    Returns:
        float32 [samples]
    """
    length = int(pool.length[clip])
    rate = pool.sample_rate
    if length >= samples:
        floor = 10.0 ** ((float(pool.level[clip]) - 35.0) / 10.0)
        for _ in range(4):  # not one of the silent stretches of the clip
            out = pool.read(clip, int(rng.integers(length - samples + 1)), samples)
            if float(np.dot(out, out)) > floor * samples:
                break
        return out
    recording = pool.read(clip)
    if length < EVENT_SECONDS * rate or rng.random() < events:
        return repeat_event(recording, samples, rng, (int(0.1 * rate), int(1.5 * rate)))
    return loop(recording, samples, int(rng.integers(length)), int(LOOP_FADE_SECONDS * rate))


def draw_babble(
    pool: Pool, samples: int, rng: Generator, voices: tuple[int, int], exclude: int | None, balance: float
) -> np.ndarray | None:
    """Several other speakers at once, each at its own level (6 dB more or less).

    Args:
        pool: of speech.
        samples: how long.
        rng: where randomness comes from.
        voices: fewest and most speakers.
        exclude: who is not among them.
        balance: see `Pool.draw_group`.

    Returns:
        float32 [samples], or None if the pool has no other speaker than the excluded one.
    """
    if len(pool.groups) - (exclude is not None) < 1:
        return None
    out = np.zeros(samples, dtype=np.float32)
    for _ in range(int(rng.integers(voices[0], voices[1] + 1))):
        voice = draw_voice(pool, pool.draw_group(rng, exclude, balance), samples, rng)
        out += to_level(voice, pool.sample_rate, rng.uniform(-6.0, 6.0))
    return out


def envelope(samples: int, rng: Generator, depth: float) -> np.ndarray:
    """A gain that wanders by up to `depth` dB up and down over two to six points, float32 [samples]."""
    points = int(rng.integers(2, 7))
    steps = 64  # straight lines between so many points of the curve in dB are close enough to it, and quick
    heights = rng.uniform(-depth, depth, points)
    curve = np.interp(np.linspace(0.0, points - 1.0, steps + 1), np.arange(points), heights)
    gain = (10.0 ** (curve / 20.0)).astype(np.float32)
    size = -(-samples // steps)
    slope = np.arange(size, dtype=np.float32) / np.float32(size)
    return (gain[:-1, None] + np.diff(gain)[:, None] * slope).reshape(-1)[:samples]
