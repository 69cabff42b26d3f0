"""Denoise audio of any length, rate, channel count and level with a trained model; knows no training."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from diffgmm.diffusion.pretrained import (
    PRETRAINED,
    ModelError,
    available_models,
    check_likelihood,
    model_path,
    read_description,
)
from diffgmm.diffusion.sampler_options import whole_number
from diffgmm.inference.any_rate import ThroughRate, blocks_of, check_settings, recording
from diffgmm.inference.backends import open_backend
from diffgmm.inference.backends.later import Later
from diffgmm.inference.uncertainty_tracks import Tracks, Uncertain
from diffgmm.inference.window_model import WindowModel

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from diffgmm.diffusion.sampler_options import Sampling

__all__ = ["PRETRAINED", "Denoiser", "available_models", "model_path"]


class Denoiser(WindowModel):
    """A trained model made fit for real files.

    Windows of 4 s (or what the model asks for) at fixed positions are cross-faded, so audio of any length needs
    constant memory and the result does not depend on the pieces it comes in. Channels are independent. Other
    rates are resampled;
    the band above the model's loses what is steady in it, and follows the gain of the model's own top band
    (:class:`diffgmm.inference.any_rate.ThroughRate`).

    Args:
        model: maps noisy windows ``[B, 1, T]`` to clean ones.
        description: what :func:`diffgmm.diffusion.saving.load_model` returned: ``sampler`` defaults, ``card``.
        device: where the model runs.
        window_seconds, overlap_seconds: the grid; ``None``: the model's own, else 4 s and 0.5 s.

    Example:
        >>> import numpy as np
        >>> denoiser = Denoiser.from_pretrained("base")                 # doctest: +SKIP
        >>> denoiser.denoise(np.zeros((2, 44100), np.float32), 44100)   # doctest: +SKIP
    """

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
                    raise ModelError(
                        f"{path}: has {later.sample_rate} Hz, the graph beside it {graph_rate:.20} Hz"
                    )
                return cls(later, description, rows=rows, trust=trust)
        elif backend not in ("auto", "torch"):
            raise ModelError(f"back end {backend}: runs on the cpu, not on {device}")
        from diffgmm.inference.backends.torch import load

        model, description, rows = load(path, device, trust)
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
        y = np.empty(np.atleast_2d(x).shape, np.float32)
        done = 0
        for piece in self.denoise_blocks(
            blocks_of(x), sample_rate, len(y), seed=seed, strength=strength, **sampling
        ):
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
        """Denoise a whole recording and tell how sure the model is; arguments as in :meth:`denoise`.

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
        from diffgmm.inference.uncertainty import whole

        x = recording(x)
        check_settings(sample_rate, np.atleast_2d(x).shape[0], 1.0)
        return whole(self, x, sample_rate, self.options(**sampling), seed=seed, bins=bins)

    def uncertain_blocks(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        channels: int,
        *,
        seed: int = 0,
        **sampling: Unpack[Sampling],
    ) -> Iterator[Tracks]:
        """:meth:`denoise_blocks` with standard deviation and confidence, in constant memory; no map of bins.

        Yields:
            Waveform, standard deviation and confidence, float32 ``[channels, m]`` each.
        """
        from diffgmm.inference.uncertainty import UncertainStream

        check_settings(sample_rate, channels, 1.0)
        return UncertainStream(self, sample_rate, channels, self.options(**sampling), seed).run(blocks)

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
