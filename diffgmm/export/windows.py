"""The windows that live sound is cut into, for whoever runs an exported graph on it."""

from __future__ import annotations

from diffgmm.streaming import AHEAD_SECONDS, CONTEXT_SECONDS, FADE_SECONDS, STEP_SECONDS


def streaming_window(sample_rate: int, hop: int) -> dict[str, int]:
    """``context``, ``step``, ``ahead`` and ``fade`` of :class:`diffgmm.streaming.TrailingGrid`, in samples.

    A window is context + step + ahead samples long; context and step are whole frames.
    """
    names = ("context", "step", "ahead", "fade")
    seconds = (CONTEXT_SECONDS, STEP_SECONDS, AHEAD_SECONDS, FADE_SECONDS)
    sizes = {name: round(s * sample_rate) for name, s in zip(names, seconds, strict=True)}
    return {name: n + -n % hop if name in ("context", "step") else n for name, n in sizes.items()}
