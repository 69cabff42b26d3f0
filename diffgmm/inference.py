"""Denoise audio of any length, rate, channel count and level with a trained model; knows no training."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from diffgmm.audio import BLOCK
from diffgmm.longform import Enhance, WindowGrid
from diffgmm.model import Enhanced, ModelError, load_model
from diffgmm.networks import fused
from diffgmm.rates import ThroughRate
from diffgmm.samplers import ESTIMATES, Estimate, keyed_generator

PRETRAINED = Path(__file__).with_name("pretrained")
WINDOW_SECONDS, OVERLAP_SECONDS, SHORTEST_SECONDS = 4.0, 0.5, 1.0
ROWS = {"cpu": 1}  # windows given to the model at once: more gain nothing on a CPU and cost memory
ROWS_ELSEWHERE = 16


class Enhancer(Protocol):
    """What :class:`Denoiser` needs of a model; :class:`diffgmm.model.MixtureDenoiser` is one."""

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


def available_models() -> list[str]:
    """Names of the models that come with the package."""
    stems = (path.with_suffix("") for path in PRETRAINED.glob("*.json"))
    return sorted(stem.name for stem in stems if stem.with_suffix(".safetensors").is_file())


def model_path(name: str | os.PathLike[str]) -> Path:
    """File of a model, given a name of :func:`available_models` or a .json, .safetensors or .ckpt file.

    Raises:
        ModelError: neither; the message lists the names.
    """
    if str(name) in available_models():
        return PRETRAINED / f"{name}.json"
    path = Path(name)
    if path.suffix not in (".json", ".safetensors", ".ckpt"):
        known = ", ".join(available_models()) or "none"
        raise ModelError(
            f"unknown model {str(name)!r}; shipped: {known}; or give a .ckpt, .json or .safetensors file"
        )
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    return path


class Denoiser:
    """A trained model made fit for real files.

    Windows of 4 s at fixed positions are cross-faded, so audio of any length needs constant memory and the
    result does not depend on the pieces it comes in. Channels are independent. Other rates are resampled;
    the band above the model's follows the gain of the model's own top band
    (:class:`diffgmm.rates.ThroughRate`).

    Args:
        model: maps noisy windows ``[B, 1, T]`` to clean ones.
        description: what :func:`diffgmm.model.load_model` returned: ``sampler`` defaults, ``card``.
        device: where the model runs.
        window_seconds, overlap_seconds: the grid.

    Example:
        >>> import numpy as np
        >>> denoiser = Denoiser.from_pretrained("base")                 # doctest: +SKIP
        >>> denoiser.denoise(np.zeros((2, 44100), np.float32), 44100)   # doctest: +SKIP
    """

    def __init__(
        self,
        model: Enhancer,
        description: Mapping[str, Any] | None = None,
        *,
        device: str | torch.device = "cpu",
        window_seconds: float = WINDOW_SECONDS,
        overlap_seconds: float = OVERLAP_SECONDS,
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device).eval() if isinstance(model, torch.nn.Module) else model
        self.sample_rate = model.sample_rate
        self.description: dict[str, Any] = dict(description or {})
        # Every n-th sample starts a frame of the model; 1 for a model without frames.
        self.align = int(getattr(getattr(model, "representation", None), "hop", 1))
        self._rows = ROWS.get(self.device.type, ROWS_ELSEWHERE)
        self._window, self._overlap = (round(s * self.sample_rate) for s in (window_seconds, overlap_seconds))

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str] = "base", device: str | torch.device = "cpu"
    ) -> Denoiser:
        """Load a shipped model by name, or a saved model or Lightning checkpoint by path.

        Raises:
            ModelError: unknown name, missing or unusable file.
        """
        model, description = load_model(model_path(name))
        return cls(fused(model), description, device=device)

    def denoise(
        self,
        x: np.ndarray,
        sample_rate: int,
        *,
        nfe: int | None = None,
        estimate: Estimate | None = None,
        samples: int | None = None,
        seed: int = 0,
        strength: float = 1.0,
    ) -> np.ndarray:
        """Denoise a whole recording.

        Args:
            x: float ``[channels, samples]`` or ``[samples]``, any length and level.
            sample_rate: of ``x`` in Hz, any.
            nfe: network calls per window; ``None`` for the model's default (as for the next two).
            estimate: ``mean``, ``sample`` or ``mode``.
            samples: reverse runs that are averaged.
            seed: of the sampling noise; same seed, same result.
            strength: 0 returns ``x``, 1 the model's output, between them a mixture.

        Returns:
            float32 of the shape of ``x``, at its rate and level; silence stays silence.

        Raises:
            ValueError: a setting out of range, ``x`` of another shape, or NaN or Inf in it.
        """
        x = np.asarray(x)
        if x.ndim not in (1, 2) or not np.issubdtype(x.dtype, np.floating):
            raise ValueError(
                f"expected float [channels, samples] or [samples], got {x.dtype} {list(x.shape)}"
            )
        channels = np.atleast_2d(x)
        pieces = (channels[:, i : i + BLOCK] for i in range(0, channels.shape[1], BLOCK))
        y = np.empty(channels.shape, np.float32)
        done = 0
        for piece in self.denoise_blocks(
            pieces, sample_rate, channels.shape[0],
            nfe=nfe, estimate=estimate, samples=samples, seed=seed, strength=strength,
        ):  # fmt: skip
            y[:, done : done + piece.shape[1]] = piece
            done += piece.shape[1]
        return y.reshape(x.shape)

    def denoise_blocks(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        channels: int,
        *,
        nfe: int | None = None,
        estimate: Estimate | None = None,
        samples: int | None = None,
        seed: int = 0,
        strength: float = 1.0,
    ) -> Iterator[np.ndarray]:
        """Denoise piece by piece in constant memory; arguments as in :meth:`denoise`.

        Args:
            blocks: float ``[channels, n]`` of any sizes, for example :func:`diffgmm.audio.read_blocks`.
            sample_rate: of the blocks, Hz.
            channels: of every block.

        Yields:
            float32 ``[channels, m]``; all of them together are as long as the input.
        """
        if not 0.0 <= strength <= 1.0:
            raise ValueError(f"strength must be in 0..1, got {strength}")
        if sample_rate <= 0 or channels <= 0:
            raise ValueError(f"need rate > 0 and channels > 0, got {sample_rate} and {channels}")
        enhance = self.enhancer(nfe=nfe, estimate=estimate, samples=samples, seed=seed)
        shortest = round(SHORTEST_SECONDS * self.sample_rate)
        grid = WindowGrid(enhance, channels, self._window, self._overlap, shortest, self._rows, self.align)
        path = ThroughRate(sample_rate, self.sample_rate, channels, grid)
        for block in blocks:
            for x, y in path.push(checked(block, channels)):
                yield mixed_back(x, y, strength)
        for x, y in path.finish():
            yield mixed_back(x, y, strength)

    def enhancer(
        self,
        *,
        nfe: int | None = None,
        estimate: Estimate | None = None,
        samples: int | None = None,
        seed: int = 0,
    ) -> Enhance:
        """The model as a function of windows (:data:`diffgmm.longform.Enhance`); arguments as in :meth:`denoise`."""
        defaults = self.description.get("sampler", {})
        options: dict[str, Any] = {
            "nfe": defaults.get("nfe", 1) if nfe is None else nfe,
            "estimate": defaults.get("estimate", "mean") if estimate is None else estimate,
            "samples": defaults.get("samples", 1) if samples is None else samples,
        }
        if options["nfe"] < 1 or options["samples"] < 1:
            raise ValueError(
                f"nfe and samples must be at least 1, got {options['nfe']} and {options['samples']}"
            )
        if options["estimate"] not in ESTIMATES:
            raise ValueError(f"estimate must be one of {', '.join(ESTIMATES)}, got {options['estimate']!r}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        # Sampling noise belongs to a channel and a window, whatever shares a batch with them.
        random = options["estimate"] == "sample" or options["nfe"] > 1

        def enhance(rows: np.ndarray, keys: list[tuple[int, int]]) -> np.ndarray:
            if not random:
                return self._enhance(rows, options, None)
            outputs = []
            for row, key in zip(rows, keys, strict=True):
                outputs.append(self._enhance(row[None], options, keyed_generator(self.device, seed, *key)))
            return np.concatenate(outputs)

        return enhance

    def _enhance(
        self, rows: np.ndarray, options: dict[str, Any], generator: torch.Generator | None
    ) -> np.ndarray:
        """``[B, T]`` through the model at a level that no floor or overflow in it can touch."""
        outputs = np.zeros_like(rows)
        peaks = np.abs(rows).max(axis=1)
        heard = np.flatnonzero(peaks)  # digital silence stays digital silence
        if not len(heard):
            return outputs
        _, exponents = np.frexp(peaks[heard, None])  # powers of two, so scaling loses nothing
        noisy = torch.from_numpy(np.ldexp(rows[heard], -exponents)[:, None]).to(self.device)
        with torch.inference_mode():
            enhanced = self.model.enhance(noisy, generator=generator, **options).waveform
        clean = enhanced[:, 0].float().cpu().numpy()
        if not np.isfinite(clean).all():
            raise ModelError(
                "the model's output is not finite; its weights are damaged or it was not trained well"
            )
        outputs[heard] = np.ldexp(clean, exponents)
        return outputs


def checked(block: np.ndarray, channels: int) -> np.ndarray:
    """``block`` as float32.

    Raises:
        ValueError: not ``[channels, n]``, or NaN or Inf in it.
    """
    if block.ndim != 2 or block.shape[0] != channels:
        raise ValueError(f"expected blocks of [{channels}, samples], got {list(block.shape)}")
    if not np.isfinite(block).all():
        raise ValueError("audio holds NaN or Inf")
    return block.astype(np.float32, copy=False)


def mixed_back(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Between the input ``x`` (strength 0) and the output ``y`` (strength 1)."""
    return y if strength == 1.0 else x + np.float32(strength) * (y - x)
