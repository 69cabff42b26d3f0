"""Active level, the level of a sound while it lasts, not counting pauses and DC; mixing to a ratio of levels."""

from __future__ import annotations

import math

import numpy as np

FRAME_SECONDS = 0.02
ACTIVE_RANGE_DB = 40.0
PEAK = 0.99
_NO_OFFSET = 1e-4  # share of the power up to which an offset changes no level by more than 0.0005 dB
_SILENCE = 1e-18  # mean square of what is taken for silence after filters (-180 dB)


def frame_powers(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean square of each 20 ms frame, [frames]; a rest at the end is left out unless it is all there is.

    A constant offset of the whole signal doesn't count: it is no sound.
    """
    size = max(1, round(FRAME_SECONDS * sample_rate))
    frames = len(samples) // size
    if frames == 0:
        size, frames = max(1, len(samples)), min(1, len(samples))
    cut = samples[: frames * size].reshape(frames, size)
    powers = np.matmul(cut[:, None, :], cut[:, :, None])[:, 0, 0] / size  # faster than squaring and summing
    offset = float(samples.mean()) if frames else 0.0
    if offset * offset <= _NO_OFFSET * float(powers.mean() if frames else 0.0):
        return powers
    cut = cut - np.asarray(offset, dtype=cut.dtype)
    return np.matmul(cut[:, None, :], cut[:, :, None])[:, 0, 0] / size


def without_offset(samples: np.ndarray) -> np.ndarray:
    """A sound without its constant offset, where that matters for its level (above -40 dB re the sound)."""
    offset = float(samples.mean()) if len(samples) else 0.0
    if offset * offset <= _NO_OFFSET * float(np.dot(samples, samples)) / max(1, len(samples)):
        return samples
    return samples - np.asarray(offset, dtype=samples.dtype)


def to_mono(channels: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """The mean of all channels, or the strongest one where the mean would cancel them (out-of-phase stereo).

    Args:
        channels: float32 [channels, samples].
        like: decides which channel is kept, if any: another version of the same channels; None: they themselves.

    Returns:
        float32 [samples]
    """
    kept = kept_channel(channels if like is None else like)
    return channels.mean(axis=0, dtype=np.float32) if kept is None else channels[kept].astype(np.float32)


def kept_channel(channels: np.ndarray) -> int | None:
    """The strongest of the channels if their mean would cancel them; ``None`` if it doesn't."""
    if len(channels) < 2 or channels.shape[1] == 0:
        return None
    mean = channels.mean(axis=0, dtype=np.float32)
    powers = np.einsum("ct,ct->c", channels, channels)
    # Independent channels lose 3 dB each time their number doubles; ten times more is no coincidence.
    if float(np.dot(mean, mean)) < 0.1 * float(powers.mean()) / len(channels):
        return int(powers.argmax())
    return None


def active_power(samples: np.ndarray, sample_rate: int) -> float:
    """Mean square over the active frames: those within 40 dB of the loudest. Zero for silence.

    Args:
        samples: float [samples].
        sample_rate: in Hz.
    """
    powers = frame_powers(samples, sample_rate)
    top = float(powers.max(initial=0.0))
    if not top > 0.0:
        return 0.0
    active = powers >= top * 10.0 ** (-ACTIVE_RANGE_DB / 10.0)
    return float(np.dot(powers, active)) / int(np.count_nonzero(active))


def active_level(samples: np.ndarray, sample_rate: int) -> float:
    """Active level in dBFS (a full-scale square wave has 0); minus infinity for silence.

    >>> round(active_level(np.concatenate([np.zeros(16000), 0.1 * (-1.0) ** np.arange(16000)]), 16000), 3)
    -20.0
    """
    power = active_power(samples, sample_rate)
    return 10.0 * math.log10(power) if power > 0.0 else -math.inf


def at_snr(
    speech: np.ndarray,
    noise: np.ndarray,
    sample_rate: int,
    snr: float,
    level: float,
    late: np.ndarray | None = None,
    floor: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Scales speech to an active level and noise to a signal-to-noise ratio below it.

    Without speech the noise gets the level. Where the sum would pass full scale everything is lowered.

    Args:
        speech, noise: float32 [samples]; either may be silence.
        sample_rate: in Hz.
        snr: wanted ratio of active levels in dB.
        level: wanted active level of the speech in dBFS.
        late: late reverberation of the speech, scaled with it and added to the noise.
        floor: the noise is scaled as if its active power were at least this.

    Returns:
        clean, noise (float32 [samples]) and the ratio reached (NaN if either is silence; more than asked for
        if the noise lies below the floor).
    """
    target = 10.0 ** (level / 20.0)
    voice_power, noise_power = active_power(speech, sample_rate), active_power(noise, sample_rate)
    clean, scaled, reached = np.zeros_like(speech), np.zeros_like(noise), math.nan
    if noise_power > _SILENCE:
        raised_from = max(noise_power, floor)
        ratio = snr if voice_power > _SILENCE else 0.0
        scaled = noise * np.float32(target / math.sqrt(raised_from) * 10.0 ** (-ratio / 20.0))
    if voice_power > _SILENCE:
        factor = np.float32(target / math.sqrt(voice_power))
        clean = speech * factor
        if noise_power > _SILENCE:
            reached = snr + 10.0 * math.log10(raised_from / noise_power)
        if late is not None:
            scaled = scaled + late * factor
    return *_below_full_scale(clean, scaled), reached


def at_factor(
    speech: np.ndarray, noise: np.ndarray, sample_rate: int, factor: float, late: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Speech at its own level, and noise times a factor; where the sum would pass full scale both are lowered.

    Returns:
        clean, noise (float32 [samples]) and the ratio of active levels in dB (NaN if either is silence).
    """
    noise = noise * np.float32(factor)
    powers = [active_power(part, sample_rate) for part in (speech, noise)]
    reached = 10.0 * math.log10(powers[0] / powers[1]) if min(powers) > _SILENCE else math.nan
    return *_below_full_scale(speech, noise if late is None else noise + late), reached


def _below_full_scale(clean: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both lowered by the same factor where their sum, or the clean signal alone, would pass full scale."""
    noisy = clean + noise
    peak = float(max(noisy.max(), -noisy.min(), clean.max(), -clean.min()))
    if peak <= PEAK:
        return clean, noise
    lower = np.float32(PEAK / peak)
    return clean * lower, noise * lower
