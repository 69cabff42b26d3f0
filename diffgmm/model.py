"""The denoiser without Lightning: representation, network, head and process; saved and loaded as plain data."""

from __future__ import annotations

import importlib
import json
import pickle
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diffgmm.audio import replacing
from diffgmm.mixture import GaussianMixture
from diffgmm.networks import MixtureHead, UNet
from diffgmm.process import Bridge, Process
from diffgmm.representation import SILENCE_RMS, Complex, Representation
from diffgmm.samplers import Estimate, Solver, grid_for, reverse
from diffgmm.shipped import ModelError as ModelError

FORMAT = 1
"""Version of the saved layout."""


class Enhanced(NamedTuple):
    """Result of :meth:`MixtureDenoiser.enhance`."""

    waveform: Tensor  # [B, 1, T]
    noise: Tensor  # [B, 1, T]: noisy - waveform
    uncertainty: Tensor  # [B, *S]: standard deviation per real dimension, in the representation's units
    posterior: GaussianMixture | None = (
        None  # of the noise given the noisy window alone: the first call's answer
    )


class MixtureDenoiser(nn.Module):
    """``q(n | x_t, y, t)`` from a network, and the reverse process that turns it into clean speech.

    Args:
        representation: what the process runs on.
        network: features from state, noisy signal and time.
        head: features to mixture.
        process: blend or bridge.

    Example:
        >>> model = MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), UNet([8, 8], [[4, 1], [2, 1]]))
        >>> model.enhance(torch.randn(1, 1, 16000)).waveform.shape
        torch.Size([1, 1, 16000])
    """

    def __init__(
        self,
        representation: Representation | None = None,
        network: UNet | None = None,
        head: MixtureHead | None = None,
        process: Process | None = None,
    ) -> None:
        super().__init__()
        self.representation = representation if representation is not None else Complex()
        self.network = network if network is not None else UNet()
        self.head = head if head is not None else MixtureHead()
        self.process = process if process is not None else Bridge()
        channels, dims = self.representation.channels, self.representation.dims
        if self.network.dims != dims:
            raise ValueError(
                f"the network has {self.network.dims} axes, {type(self.representation).__name__} needs {dims}: "
                "give kernel and strides one number per axis"
            )
        inputs = channels * (2 if self.process.conditions_on_noisy else 1) + (channels == 2)
        self.network.attach(inputs)
        self.head.attach(self.network.features, channels, dims)

    @property
    def sample_rate(self) -> int:
        """Hz; audio at other rates is resampled by :class:`diffgmm.inference.Denoiser`."""
        return self.representation.sample_rate

    def answer(self, state: Tensor, noisy: Tensor, time: Tensor) -> GaussianMixture:
        """Mixture of the noise, in the representation's units.

        Args:
            state: ``x_t``, ``[B, C, *S]``.
            noisy: ``y``, ``[B, C, *S]``; left unread by a process that does not condition on it.
            time: ``[B]`` in (0, 1].
        """
        factor, offset = self.representation.state_affine
        reference = noisy if self.process.conditions_on_noisy else state
        parts = [state, noisy] if self.process.conditions_on_noisy else [state]
        parts = [factor * part + offset for part in parts]
        if reference.shape[1] == 2:  # a phase-free view of the input saves the network from computing it
            parts.append(reference.square().sum(1, keepdim=True).clamp_min(1e-12).sqrt())
        features = self.network(torch.cat(parts, dim=1), time)
        scale, shift = self.representation.noise_affine
        scaled = self.head(features, (reference + shift) * scale, (state + shift) * scale)
        return scaled if (scale, shift) == (1.0, 0.0) else scaled.affine(1.0 / scale, -shift)

    def judged(self, noisy: Tensor, clean: Tensor) -> tuple[GaussianMixture, Tensor]:
        """The mixture of the noise given the noisy signal alone (t = 1), and the true noise ``[B, C, *S]``.

        Args:
            noisy, clean: pairs, ``[B, 1, T]``.
        """
        context = self.representation.context(noisy)
        encoded = self.representation.encode(noisy, context)
        noise = encoded - self.representation.encode(clean, context)
        return self.answer(encoded, encoded, torch.ones(len(noisy), device=noisy.device)), noise

    @torch.no_grad()
    def enhance(
        self,
        noisy: Tensor,
        *,
        nfe: int = 1,
        estimate: Estimate = "mean",
        samples: int = 1,
        generator: torch.Generator | None = None,
        solver: Solver = "step",
        substeps: int = 1,
        grid_power: float = 1.0,
        temperature: float = 1.0,
    ) -> Enhanced:
        """Denoise ``noisy`` ``[B, 1, T]`` in [-1, 1].

        Args:
            nfe: network calls.
            estimate: ``mean``, ``sample`` or ``mode`` (see :mod:`diffgmm.samplers`).
            samples: reverse runs that are averaged; more than one makes sense with ``sample``.
            generator: makes sampling repeatable.
            solver: ``step``, ``flow`` or ``heun``; ``nfe`` counts the network calls of each.
            substeps: closed-form steps between two network calls (``step`` and ``flow`` on a bridge).
            grid_power: above 1 puts more of the steps near the clean end (:func:`diffgmm.process.time_grid`).
            temperature: multiplies the standard deviations of every answer, and so the uncertainty.

        Raises:
            ValueError: if a number is out of range, a name unknown, or the options contradict each other.
        """
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")

        first: GaussianMixture | None = None

        def answer(state: Tensor, y: Tensor, time: Tensor) -> GaussianMixture:
            nonlocal first
            found = self.answer(state, y, time)
            found = found if temperature == 1.0 else found.tempered(temperature)
            first = found if first is None else first
            return found

        context = self.representation.context(noisy)
        encoded = self.representation.encode(noisy, context)
        grid = grid_for(nfe, solver, grid_power)
        clean, variance = torch.zeros_like(encoded), torch.zeros_like(encoded)
        for _ in range(samples):
            run = reverse(
                answer, encoded, self.process, grid, estimate=estimate, solver=solver, substeps=substeps,
                calls=nfe, generator=generator,
            )  # fmt: skip
            clean = clean + run.clean / samples
            variance = variance + run.mixture.variance() / samples
        if self.representation.rule is not None:
            clean = self.representation.remove(encoded, encoded - clean)
        waveform = self.representation.decode(clean, context)
        audible = noisy.square().mean(dim=(1, 2), keepdim=True).sqrt() > SILENCE_RMS
        waveform = torch.where(audible, waveform, torch.zeros_like(waveform))
        return Enhanced(waveform, noisy - waveform, variance.mean(1).sqrt(), first)


def describe(part: Any) -> dict[str, Any]:
    """``{"class_path", "init_args"}`` of plain types for a part of a model, or a whole one."""
    cls = type(part)
    path = f"{cls.__module__}.{cls.__qualname__}"
    if isinstance(part, MixtureDenoiser):
        names = ("representation", "network", "head", "process")
        return {"class_path": path, "init_args": {name: describe(getattr(part, name)) for name in names}}
    if is_dataclass(part) and not isinstance(part, type):
        return {"class_path": path, "init_args": asdict(part)}
    return {"class_path": path, "init_args": dict(part.init_args)}


def build(spec: dict[str, Any]) -> Any:
    """The object that :func:`describe` described; only classes of this package are made.

    Raises:
        ModelError: if the description names something else or does not fit the class.
    """
    path = str(spec.get("class_path", ""))
    module, _, name = path.rpartition(".")
    if not module.startswith("diffgmm."):
        raise ModelError(f"model description names {path!r}, which is not a class of diffgmm")
    args = {
        key: build(value) if isinstance(value, dict) and "class_path" in value else value
        for key, value in spec.get("init_args", {}).items()
    }
    try:
        return getattr(importlib.import_module(module), name)(**args)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ModelError(
            f"model description of {path} does not fit this version of diffgmm: {error}"
        ) from error


def save_model(
    stem: str | Path, model: MixtureDenoiser, card: dict[str, Any], sampler: dict[str, Any]
) -> None:
    """Write ``STEM.safetensors`` and ``STEM.json`` (each atomically, the description last).

    Args:
        stem: path without suffix.
        model: what to save.
        card: plain facts for people: training data, licence, scores, limits.
        sampler: default arguments of :meth:`MixtureDenoiser.enhance`.
    """
    from safetensors.torch import save

    stem = Path(stem)
    state = {name: value.detach().contiguous().cpu() for name, value in model.state_dict().items()}
    description = {
        "format": FORMAT,
        "sample_rate": model.sample_rate,
        "model": describe(model),
        "sampler": sampler,
        "card": card,
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    for suffix, content in ((".safetensors", save(state)), (".json", text.encode())):
        with replacing(stem.with_name(stem.name + suffix)) as part:
            part.write_bytes(content)


def load_model(path: str | Path) -> tuple[MixtureDenoiser, dict[str, Any]]:
    """Model in evaluation mode and its description (``sampler``, ``card``, of a checkpoint ``steps``...).

    Args:
        path: ``STEM``, ``STEM.json`` or ``STEM.safetensors`` written by :func:`save_model`, or a Lightning
            checkpoint (``.ckpt``) of :class:`diffgmm.denoiser.DiffGMM`.

    Raises:
        ModelError: if a file is missing, is not a model, or does not fit this version.
    """
    path = Path(path)
    if path.suffix == ".ckpt":
        description, state = _read_checkpoint(path)
    else:
        stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
        description, state = _read_stem(stem)
    if not isinstance(description, dict) or not isinstance(description.get("model"), dict):
        raise ModelError(f"{path}: describes no model")
    if description.get("format") != FORMAT:
        raise ModelError(f"{path}: model format {description.get('format')!r}, this version reads {FORMAT}")
    model: MixtureDenoiser = build(description["model"])
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path}: weights do not fit their description: {error}") from error
    return model.eval(), description


def _read_stem(stem: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights, text = stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + ".json")
    for file in (weights, text):
        if not file.is_file():
            raise ModelError(f"{file}: no such file (a model is NAME.safetensors with NAME.json beside it)")
    try:
        return json.loads(text.read_text(encoding="utf-8")), load_file(weights)
    except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise ModelError(f"{stem}: not a diffgmm model: {error}") from error


def _read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"{path}: not a checkpoint that loads safely: {first}") from error
    if "diffgmm" not in checkpoint:
        raise ModelError(f"{path}: a checkpoint, but not one of diffgmm's")
    prefix = "model."
    state = {k[len(prefix) :]: v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    return {**checkpoint["diffgmm"], "steps": checkpoint.get("global_step")}, state
