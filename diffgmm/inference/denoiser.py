"""Denoising of audio of any length, rate, channel count and level with a trained model; knows no training."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from diffgmm.diffusion.pretrained import ModelError, check_likelihood, model_path, read_description
from diffgmm.diffusion.sampler_options import SamplerConfig, Sampling, whole_number
from diffgmm.inference.any_rate import ThroughRate, blocks_of, check_settings, recording
from diffgmm.inference.backends import Later, Rows, is_default, open_backend, open_torch
from diffgmm.inference.drift import without_drift
from diffgmm.inference.uncertainty_tracks import Uncertain
from diffgmm.inference.window_grid import Enhance, WindowGrid

if TYPE_CHECKING:  # PyTorch takes seconds to load, and a back end does without
    import torch
    from torch import Tensor
    from typing_extensions import Unpack

    from diffgmm.diffusion.model import Enhanced

    Audio = TypeVar("Audio", np.ndarray, Tensor)

WINDOW_SECONDS, OVERLAP_SECONDS, SHORTEST_SECONDS = 4.0, 0.5, 1.0
STRETCH_SECONDS = 1.5  # a recording up to 5.5 s is one window, and no last window hears less than 2 s
ROWS = {"cpu": 1}  # windows given to the model at once: more gain nothing on a CPU and cost memory
ROWS_ELSEWHERE = 16

Note = Callable[[np.ndarray, "Tensor", "Enhanced", np.ndarray], None]
"""``note(batch, noisy [B, 1, T], enhanced, exponents [B, 1])``: windows by number, as heard times 2 ** -exponent."""


class Denoiser:
    """A trained model made fit for real files.

    Windows of 4 s (or what the model asks for) at fixed positions are cross-faded, so audio of any length needs
    constant memory and the result does not depend on the pieces it comes in. Channels are independent. Other rates
    are resampled; the band above the model's loses what is steady in it, and follows the gain of the model's own top
    band (:class:`diffgmm.inference.any_rate.ThroughRate`).

    Args:
        model: maps noisy windows ``[B, 1, T]`` to clean ones by ``enhance``, and has a ``sample_rate``, like
            :class:`diffgmm.diffusion.model.MixtureDenoiser`.
        description: what :func:`diffgmm.diffusion.saving.load_model` returned: ``sampler`` defaults, ``card``.
        device: where the model runs.
        window_seconds, overlap_seconds: the grid; ``None``: the model's own, else 4 s and 0.5 s, the last window being
            2 s to 5.5 s long. A length that the caller or the model gives holds for all windows.
        rows: what computes the mean after one call; ``None``: the model, as for everything else.
        trust: packages that a solver's function may come from.

    Example:
        >>> import numpy as np
        >>> denoiser = Denoiser.from_pretrained("base")                 # doctest: +SKIP
        >>> denoiser.denoise(np.zeros((2, 44100), np.float32), 44100)   # doctest: +SKIP
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
        # Every n-th sample starts a frame of the model or of its uncertainty.
        representation = getattr(model, "representation", None)
        hop: Any = getattr(representation, "hop", 1 if representation is None else None)
        if hop is None:
            from diffgmm.diffusion.expected_error import FRAME as hop  # noqa: N811
        self.align = int(hop)
        self._rows = ROWS.get(self._device.partition(":")[0], ROWS_ELSEWHERE)
        own = window_seconds or getattr(representation, "window_seconds", None)
        window = own or WINDOW_SECONDS
        overlap = overlap_seconds or min(OVERLAP_SECONDS, window / 4)
        seconds = window, overlap, SHORTEST_SECONDS, 0.0 if own else STRETCH_SECONDS
        samples, over, shortest, stretch = (round(s * self.sample_rate) for s in seconds)
        self._sizes = samples, over, shortest, stretch

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "base",
        device: str | torch.device = "cpu",
        backend: str = "auto",
        threads: int | None = None,
        trust: Collection[str] = (),
    ) -> Denoiser:
        """Load a shipped model by name, or a saved model or Lightning checkpoint by path.

        Args:
            name: a name of :func:`available_models` or a .json, .safetensors or .ckpt file.
            device: where PyTorch runs; other back ends know the CPU alone.
            backend: what computes the default setting (one network call, the mixture's mean): ``torch``,
                ``onnxruntime``, or ``auto``: onnxruntime on a CPU where it is installed and the model has a graph, else
                PyTorch. Any other setting is PyTorch's, which is then loaded when it is needed.
            threads: of the other back ends; PyTorch's are set by ``torch.set_num_threads``.
            trust: packages whose classes and functions the file and the settings may name beside this one's; they
                are imported.

        Raises:
            ModelError: unknown name, missing or unusable file, or the back end asked for is not there.
        """
        path = model_path(name)
        if str(device) == "cpu":
            weights = path.with_suffix(".safetensors") if path.suffix == ".json" else path
            rows = open_backend(weights, backend, threads)
            if rows is not None:
                description = read_description(path.with_suffix(".json"))
                later = Later(path, description, trust)
                graph_rate = getattr(rows, "sample_rate", None)
                if graph_rate not in (None, str(later.sample_rate)):
                    rates = f"{later.sample_rate} Hz, the graph beside it {graph_rate:.20} Hz"
                    raise ModelError(f"{path}: has {rates}")
                return cls(later, description, rows=rows, trust=trust)
        elif backend not in ("auto", "torch"):
            raise ModelError(f"back end {backend}: runs on the cpu, not on {device}")
        model, description, rows = open_torch(path, device, trust)
        return cls(model, description, device=device, rows=rows, trust=trust)

    def denoise(
        self,
        x: np.ndarray,
        sample_rate: int,
        *,
        seed: int = 0,
        strength: float = 1.0,
        **sampling: Unpack[Sampling],
    ) -> np.ndarray:
        """Denoise a whole recording.

        Args:
            x: float ``[channels, samples]`` or ``[samples]``, any length and level.
            sample_rate: of ``x`` in Hz, any.
            seed: of the sampling noise; same seed, same result.
            strength: 0 returns ``x``, 1 the model's output, between them a mixture.
            sampling: ``sampler``, a :class:`diffgmm.diffusion.sampler_options.SamplerConfig`, or its fields by name
                (``nfe``, ``estimate``, ``samples`` ...); what is left out or ``None`` is the model's default.

        Returns:
            float32 of the shape of ``x``, at its rate and level; silence stays silence.

        Raises:
            ValueError: a setting out of range, ``x`` of another shape, or NaN or Inf in it.
        """
        x = recording(x)
        y, done = np.empty(np.atleast_2d(x).shape, np.float32), 0
        settings: Any = {"seed": seed, "strength": strength, **sampling}
        for piece in self.denoise_blocks(blocks_of(x), sample_rate, len(y), **settings):
            y[:, done : done + piece.shape[1]] = piece
            done += piece.shape[1]
        return y.reshape(x.shape)

    def denoise_blocks(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        channels: int,
        *,
        seed: int = 0,
        strength: float = 1.0,
        **sampling: Unpack[Sampling],
    ) -> Iterator[np.ndarray]:
        """Denoise piece by piece in constant memory; arguments as in :meth:`denoise`.

        Args:
            blocks: float ``[channels, n]`` of any sizes, for example :func:`diffgmm.audio.read_blocks`.
            sample_rate: of the blocks, Hz.
            channels: of every block.

        Yields:
            float32 ``[channels, m]``; all of them together are as long as the input.
        """
        check_settings(sample_rate, channels, strength)
        grid = self.grid(self.enhancer(seed=seed, **sampling), channels)
        return ThroughRate(sample_rate, self.sample_rate, channels, grid, strength).run(blocks)

    def denoise_with_uncertainty(
        self,
        x: np.ndarray,
        sample_rate: int,
        *,
        seed: int = 0,
        bins: bool = True,
        **sampling: Unpack[Sampling],
    ) -> Uncertain:
        """Denoise a whole recording and estimate the model's uncertainty; arguments as in :meth:`denoise`.

        Args:
            bins: also give the map of time and frequency: four bytes a bin for the standard deviation and for each
                component, about 1 GB for an hour.

        Returns:
            The waveform that :meth:`denoise` gives (to the rounding of another back end: this is PyTorch's), its
            standard deviation and confidence sample by sample, and the map. Above the model's own band nothing is
            known, and nothing is counted.

        Raises:
            ValueError: as :meth:`denoise`, or the model gives no mixture, or one that was trained by no likelihood.
        """
        from diffgmm.inference.uncertainty import UncertainStream

        x = recording(x)
        channels = len(np.atleast_2d(x))
        check_settings(sample_rate, channels, 1.0)
        options, kept_seconds = self.options(**sampling), float("inf") if bins else 0.0
        stream = UncertainStream(self, sample_rate, channels, options, seed, kept_seconds)
        empty = np.zeros((3, channels, 0), np.float32)
        tracks = np.concatenate([empty, *map(np.stack, stream.run(blocks_of(x)))], axis=2)
        waveform, std, confidence = tracks.reshape(3, *x.shape)
        return Uncertain(waveform, std, confidence, sample_rate, stream.bins() if bins else None)

    def posterior_samples(
        self, x: np.ndarray, sample_rate: int, n: int, *, seed: int = 0, **sampling: Unpack[Sampling]
    ) -> np.ndarray:
        """``n`` draws from what the speech may have been, each by its own reverse run.

        Args:
            x, sample_rate: as in :meth:`denoise`.
            n: how many, at least 1. Draw i is ``denoise(..., estimate="sample", samples=1, seed=seed + i)``.
            sampling: as in :meth:`denoise`, but ``nfe`` is 4 if left out: one step draws every bin for itself, more
                make them agree.

        Returns:
            float32 ``[n, *x.shape]``.

        Raises:
            ValueError: as :meth:`denoise`, ``n`` below 1, or a mixture that was trained by no likelihood.
        """
        check_likelihood(self.description)
        n, seed = whole_number("n", n, 1), whole_number("seed", seed, 0)
        given: Sampling = {"nfe": 4, **sampling}
        given["estimate"], given["samples"] = "sample", 1
        return np.stack([self.denoise(x, sample_rate, seed=seed + i, **given) for i in range(n)])

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
        return WindowGrid(enhance, channels, *self._sizes, self._rows, self.align, self.prepare)

    def prepare(self, windows: np.ndarray) -> np.ndarray:
        """Windows ``[B, T]`` as the model is to see them: without an offset (``Prepare`` of the window grid)."""
        return without_drift(windows, self.sample_rate)

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
                import torch

                from diffgmm.utils.random import keyed_generator

                noisy = torch.from_numpy(safe[:, None]).to(self.device)
                key = (seed, *keys[batch[0]])
                generator = keyed_generator(self.device, *key) if options.is_random() else None
                with torch.inference_mode():
                    enhanced = self.model.enhance(noisy, generator=generator, **options.options())
                    if note is not None:
                        note(batch, noisy, enhanced, exponents)
                clean = enhanced.waveform[:, 0].float().cpu().numpy()
            if not np.isfinite(clean).all():
                why = "its weights are damaged or it was not trained well"
                raise ModelError(f"the model's output is not finite; {why}")
            outputs[batch] = np.ldexp(clean, exponents)
        return outputs


load = Denoiser.from_pretrained
"""The denoiser of a shipped model by name, or of a saved model or Lightning checkpoint by path.

Arguments and errors are those of :meth:`diffgmm.inference.denoiser.Denoiser.from_pretrained`.

Example:
    >>> import diffgmm
    >>> diffgmm.load("base").sample_rate
    16000
"""


def denoise(
    x: Audio,
    sample_rate: int,
    *,
    model: Denoiser | str | os.PathLike[str] = "base",
    seed: int = 0,
    strength: float = 1.0,
    **sampling: Unpack[Sampling],
) -> Audio:
    """Denoise a recording; an array gives an array, a tensor a tensor.

    Args:
        x: float array or tensor ``[channels, samples]`` or ``[samples]`` in -1..1, of any length, level and device.
        sample_rate: of ``x`` in Hz, any.
        model: a denoiser, or what :func:`load` takes. A model that is named is loaded once and then kept; a tensor on a
            GPU is denoised there.
        seed, strength, sampling: as in :meth:`diffgmm.inference.denoiser.Denoiser.denoise`.

    Returns:
        ``x`` without its noise, of the same shape and rate; a tensor has the device and the dtype of ``x``, an array is
        float32. No gradient flows through it.

    Raises:
        ModelError: the model can't be used.
        ValueError: a setting out of range, ``x`` of another shape, or NaN or Inf in it.

    Example:
        >>> import diffgmm, numpy
        >>> diffgmm.denoise(numpy.zeros((2, 44100), "float32"), 44100).shape
        (2, 44100)
    """
    # A tensor can only be one of a PyTorch that is loaded already: arrays need none.
    torch: Any = sys.modules.get("torch")
    tensor = torch is not None and isinstance(x, torch.Tensor)
    given: Any = x
    samples = given.detach().cpu() if tensor else given
    if tensor and samples.dtype in (torch.float16, torch.bfloat16):  # NumPy knows no bfloat16
        samples = samples.float()
    denoiser = _denoiser(model, str(given.device) if tensor else "cpu")
    y: Any = denoiser.denoise(samples, sample_rate, seed=seed, strength=strength, **sampling)
    return torch.from_numpy(y).to(device=given.device, dtype=given.dtype) if tensor else y


def _denoiser(model: Denoiser | str | os.PathLike[str], device: str) -> Denoiser:
    if isinstance(model, Denoiser):
        return model
    path = model_path(model)
    files = [path.with_suffix(ending) for ending in (".json", ".safetensors", ".ckpt", ".onnx")]
    changed = tuple(file.stat().st_mtime_ns for file in files if file.is_file())
    return _kept(os.path.abspath(path), device, changed)


@lru_cache(maxsize=4)
def _kept(path: str, device: str, _changed: tuple[int, ...]) -> Denoiser:
    """The denoiser of a file, loaded again only once the file has changed."""
    return Denoiser.from_pretrained(path, device)
