"""Maps of how unsure a model is, made anew for the examples by models whose weights are those of the results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from diffgmm.evaluation.results import Results
from diffgmm.report import audio
from diffgmm.report.audio import Sound
from diffgmm.utils.errors import UserError
from diffgmm.utils.files import sha256_of


def maps_for(
    results: Results, model: str | None = None
) -> Callable[[Sound], dict[str, tuple[str, float]]] | None:
    """A function that makes maps, or None where no model is at hand.

    Args:
        results: their models are looked for among the shipped ones and those that their configuration names; they
            count only if the checksum of the weights is the same.
        model: instead, this shipped model or file.

    Raises:
        ModelError: ``model`` can't be used.
    """
    from diffgmm.inference import Denoiser

    if model is not None:
        chosen = {Path(model).stem: model}
    else:
        wanted = {system.settings.get("weights") for system in results.systems if system.kind == "model"}
        chosen = _known(results.config.get("models"), wanted - {None})
    if not chosen:
        return None
    denoisers = {name: Denoiser.from_pretrained(path) for name, path in chosen.items()}

    def maps(noisy: Sound) -> dict[str, tuple[str, float]]:
        return {name: _map(denoiser, noisy) for name, denoiser in denoisers.items()}

    return maps


def _known(given: Any, wanted: set[Any]) -> dict[str, str]:
    """Models by name, shipped or given as to ``--models``, whose weights have one of the checksums."""
    from diffgmm.diffusion.pretrained import available_models, model_path

    entries = given.split(",") if isinstance(given, str) else list(given or ())
    paths: dict[str, str] = {}
    for entry in (*filter(None, entries), *available_models()) if wanted else ():
        label, _, name = entry.rpartition("=")
        try:
            path = model_path(name)
            digest = sha256_of(path.with_suffix(".safetensors") if path.suffix == ".json" else path)
        except (OSError, UserError):
            continue  # it was elsewhere when the results were made
        if digest in wanted:
            wanted = wanted - {digest}
            paths[label or path.stem] = name
    return paths


def _map(denoiser: Any, noisy: Sound) -> tuple[str, float]:
    """Standard deviation per bin in the model's representation as a picture (bright is unsure), and its upper kHz."""
    import torch

    from diffgmm.audio import resample

    x = resample(noisy.x, noisy.sample_rate, denoiser.sample_rate)
    with torch.inference_mode():
        enhanced = denoiser.model.enhance(torch.from_numpy(np.ascontiguousarray(x))[None, None])
    values = enhanced.uncertainty[0].float().cpu().numpy()
    if values.shape[0] == 1:  # the waveform domain: one value a sample
        values = np.repeat(values, 2, axis=0)
    uri = audio.picture_uri(values, "viridis", 0.0, float(np.percentile(values, 99.5)))
    return uri, denoiser.sample_rate / 2000
