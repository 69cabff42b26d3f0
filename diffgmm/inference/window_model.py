"""A trained model on windows of sound: fixed grid, safe levels, repeatable sampling noise."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.sampler_options import SamplerConfig, Sampling, whole_number
from diffgmm.inference.backends import Rows, is_default
from diffgmm.inference.backends.later import Later
from diffgmm.inference.drift import without_drift
from diffgmm.inference.window_grid import Enhance, WindowGrid

if TYPE_CHECKING:  # PyTorch takes seconds to load, and a back end does without
    import torch
    from torch import Tensor
    from typing_extensions import Unpack

    from diffgmm.diffusion.model import Enhanced

WINDOW_SECONDS, OVERLAP_SECONDS, SHORTEST_SECONDS = 4.0, 0.5, 1.0
ROWS = {"cpu": 1}  # windows given to the model at once: more gain nothing on a CPU and cost memory
ROWS_ELSEWHERE = 16

Note = Callable[[np.ndarray, "Tensor", "Enhanced", np.ndarray], None]
"""``note(batch, noisy [B, 1, T], enhanced, exponents [B, 1])``: windows by number, as heard times 2 ** -exponent."""


def _frame_hop(representation: Any) -> int:
    """:func:`diffgmm.diffusion.expected_error.frame_hop`, without PyTorch where the representation has frames."""
    if hasattr(representation, "hop"):
        return int(representation.hop)
    from diffgmm.diffusion.expected_error import FRAME

    return FRAME


class WindowModel:
    """A model, where it runs, what its description says, and the grid of windows that it runs on.

    Args:
        model: maps noisy windows ``[B, 1, T]`` to clean ones by ``enhance``, and has a ``sample_rate``, like
            :class:`diffgmm.diffusion.model.MixtureDenoiser`.
        description: what :func:`diffgmm.diffusion.saving.load_model` returned: ``sampler`` defaults, ``card``.
        device: where the model runs.
        window_seconds, overlap_seconds: the grid; ``None``: the model's own, else 4 s and 0.5 s.
        rows: what computes the mean after one call; ``None``: the model, as for everything else.
        trust: packages that a solver's function may come from.
    """

    def __init__(
        self,
        model: Any,
        description: Mapping[str, Any] | None = None,
        *,
        device: str | torch.device = "cpu",
        window_seconds: float | None = None,
        overlap_seconds: float | None = None,
        rows: Rows | None = None,
        trust: Collection[str] = (),
    ) -> None:
        self._trust = trust
        self._device, self._model, self._default = str(device), model, rows
        self._loading, self._placed = threading.Lock(), False
        self._threads: int | None = None
        self.sample_rate = model.sample_rate
        self.description: dict[str, Any] = dict(description or {})
        # Every n-th sample starts a frame of the model, or of what is told of its uncertainty.
        representation = getattr(model, "representation", None)
        self.align = 1 if representation is None else _frame_hop(representation)
        self._rows = ROWS.get(self._device.partition(":")[0], ROWS_ELSEWHERE)
        window = window_seconds or getattr(representation, "window_seconds", None) or WINDOW_SECONDS
        overlap = overlap_seconds or min(OVERLAP_SECONDS, window / 4)
        self._window, self._overlap = (round(s * self.sample_rate) for s in (window, overlap))

    def limit_threads(self, threads: int) -> None:
        """Let PyTorch compute with so many threads, in this whole process, as soon as it computes."""
        self._threads = threads
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        import torch

        return torch.device(self._device)

    @property
    def model(self) -> Any:
        """The model, loaded when first asked for."""
        import torch

        with self._loading:
            if self._threads is not None:
                torch.set_num_threads(self._threads)
            model = self._model.load() if isinstance(self._model, Later) else self._model
            if isinstance(model, torch.nn.Module) and not self._placed:
                model = model.to(self.device).eval()
            self._model, self._placed = model, True
        return model

    def options(self, **sampling: Unpack[Sampling]) -> SamplerConfig:
        """What the model is asked for: the given settings, and its own defaults for the others.

        Raises:
            ValueError: a value out of range, or a solver of a package that is not trusted.
        """
        own = SamplerConfig.saved(self.description.get("sampler") or {})
        return own.changed(**sampling).resolved(self._trust)

    def enhancer(self, *, seed: int = 0, **sampling: Unpack[Sampling]) -> Enhance:
        """The model as a function of windows (``Enhance`` of the window grid); arguments as in :meth:`denoise`."""
        options = self.options(**sampling)
        seed = whole_number("seed", seed, 0)
        return lambda windows, keys: self.run(windows, keys, options, seed)

    def grid(self, enhance: Enhance, channels: int) -> WindowGrid:
        """The fixed grid of windows, running ``enhance``."""
        shortest = round(SHORTEST_SECONDS * self.sample_rate)
        return WindowGrid(
            enhance, channels, self._window, self._overlap, shortest, self._rows, self.align, self.prepare
        )

    def prepare(self, rows: np.ndarray) -> np.ndarray:
        """Windows ``[B, T]`` as the model is to see them: without an offset (``Prepare`` of the window grid)."""
        return without_drift(rows, self.sample_rate)

    def run(
        self,
        windows: np.ndarray,
        keys: list[tuple[int, int]],
        options: SamplerConfig,
        seed: int = 0,
        note: Note | None = None,
    ) -> np.ndarray:
        """Denoise windows ``[B, T]``; ``note`` is shown what the model gave for those that are not silent.

        The model hears them at a level that no floor or overflow in it can touch; digital silence stays as it is.
        """
        outputs = np.zeros(windows.shape, np.float32)
        peaks = np.abs(windows).max(axis=1)
        heard = np.flatnonzero(peaks)
        # Sampling noise belongs to a channel and a place, whatever shares a batch with them.
        batches = heard[:, None] if options.is_random() else [heard] if len(heard) else []
        for batch in batches:
            _, exponents = np.frexp(peaks[batch, None])  # powers of two, so scaling loses nothing
            safe = np.ldexp(windows[batch], -exponents)
            if note is None and self._default is not None and is_default(options):
                clean = self._default(safe)
            else:
                key = (seed, *keys[batch[0]]) if options.is_random() else None
                clean = self._by_model(safe, batch, exponents, options, key, note)
            if not np.isfinite(clean).all():
                raise ModelError(
                    "the model's output is not finite; its weights are damaged or it was not trained well"
                )
            outputs[batch] = np.ldexp(clean, exponents)
        return outputs

    def _by_model(
        self,
        safe: np.ndarray,
        batch: np.ndarray,
        exponents: np.ndarray,
        options: SamplerConfig,
        key: tuple[int, ...] | None,
        note: Note | None,
    ) -> np.ndarray:
        import torch

        from diffgmm.utils.random import keyed_generator

        noisy = torch.from_numpy(safe[:, None]).to(self.device)
        generator = None if key is None else keyed_generator(self.device, *key)
        with torch.inference_mode():
            enhanced = self.model.enhance(noisy, generator=generator, **options.options())
            if note is not None:
                note(batch, noisy, enhanced, exponents)
        clean: np.ndarray = enhanced.waveform[:, 0].float().cpu().numpy()
        return clean
