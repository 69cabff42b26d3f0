"""A trained model on windows of sound: fixed grid, safe levels, repeatable sampling noise."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

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
    from diffgmm.diffusion.sampler_options import Estimate

WINDOW_SECONDS, OVERLAP_SECONDS, SHORTEST_SECONDS = 4.0, 0.5, 1.0
ROWS = {"cpu": 1}  # windows given to the model at once: more gain nothing on a CPU and cost memory
ROWS_ELSEWHERE = 16

Note = Callable[[np.ndarray, "Tensor", "Enhanced", np.ndarray], None]
"""``note(rows, noisy [B, 1, T], enhanced, exponents [B, 1])``: the model saw these rows times 2 ** -exponent."""


class Enhancer(Protocol):
    """What :class:`Denoiser` needs of a model; :class:`diffgmm.diffusion.model.MixtureDenoiser` is one."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    def enhance(
        self,
        noisy: Tensor,
        *,
        nfe: int = 1,
        estimate: Estimate = "mean",
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> Enhanced:
        """Denoise ``[B, 1, T]`` at :attr:`sample_rate`."""


def _frame_hop(representation: Any) -> int:
    """:func:`diffgmm.diffusion.expected_error.frame_hop`, without PyTorch where the representation has frames."""
    if hasattr(representation, "hop"):
        return int(representation.hop)
    from diffgmm.diffusion.expected_error import FRAME

    return FRAME


class WindowModel:
    """A model, where it runs, what its description says, and the grid of windows that it runs on.

    Args:
        model: maps noisy windows ``[B, 1, T]`` to clean ones.
        description: what :func:`diffgmm.diffusion.saving.load_model` returned: ``sampler`` defaults, ``card``.
        device: where the model runs.
        window_seconds, overlap_seconds: the grid; ``None``: the model's own, else 4 s and 0.5 s.
        rows: what computes the mean after one call; ``None``: the model, as for everything else.
        trust: packages that a solver's function may come from.
    """

    def __init__(
        self,
        model: Enhancer | Later,
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
    def model(self) -> Enhancer:
        """The model, loaded when first asked for."""
        import torch

        with self._loading:
            if self._threads is not None:
                torch.set_num_threads(self._threads)
            model: Any = self._model.load() if isinstance(self._model, Later) else self._model
            if isinstance(model, torch.nn.Module) and not self._placed:
                model = model.to(self.device).eval()
            self._model, self._placed = model, True
        found: Enhancer = model
        return found

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
        return lambda rows, keys: self.run(rows, keys, options, seed)

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
        rows: np.ndarray,
        keys: list[tuple[int, int]],
        options: SamplerConfig,
        seed: int = 0,
        note: Note | None = None,
    ) -> np.ndarray:
        """Denoise windows ``[B, T]``; ``note`` is told what the model answered for those that are not silent."""
        # Sampling noise belongs to a channel and a place, whatever shares a batch with them.
        if not options.is_random():
            return self._enhance(rows, np.arange(len(rows)), options, None, note)
        from diffgmm.utils.random import keyed_generator

        outputs = [
            self._enhance(rows, np.array([i]), options, keyed_generator(self.device, seed, *key), note)
            for i, key in enumerate(keys)
        ]
        return np.concatenate(outputs)

    def _enhance(
        self,
        rows: np.ndarray,
        chosen: np.ndarray,
        options: SamplerConfig,
        generator: torch.Generator | None,
        note: Note | None,
    ) -> np.ndarray:
        """The ``chosen`` ones of ``[B, T]`` through the model at a level that no floor or overflow in it can touch."""
        outputs = np.zeros((len(chosen), rows.shape[1]), np.float32)
        peaks = np.abs(rows[chosen]).max(axis=1)
        sounding = np.flatnonzero(peaks)  # digital silence stays digital silence
        if not len(sounding):
            return outputs
        heard = chosen[sounding]
        _, exponents = np.frexp(peaks[sounding, None])  # powers of two, so scaling loses nothing
        safe = np.ldexp(rows[heard], -exponents)
        if note is None and self._default is not None and is_default(options):
            clean = self._default(safe)
        else:
            clean = self._by_model(safe, heard, exponents, options, generator, note)
        if not np.isfinite(clean).all():
            raise ModelError(
                "the model's output is not finite; its weights are damaged or it was not trained well"
            )
        outputs[sounding] = np.ldexp(clean, exponents)
        return outputs

    def _by_model(
        self,
        safe: np.ndarray,
        heard: np.ndarray,
        exponents: np.ndarray,
        options: SamplerConfig,
        generator: torch.Generator | None,
        note: Note | None,
    ) -> np.ndarray:
        import torch

        noisy = torch.from_numpy(safe[:, None]).to(self.device)
        with torch.inference_mode():
            enhanced = self.model.enhance(noisy, generator=generator, **options.options())
            if note is not None:
                note(heard, noisy, enhanced, exponents)
        clean: np.ndarray = enhanced.waveform[:, 0].float().cpu().numpy()
        return clean
